"""Files that try to harm whoever reads them, and files that are simply broken."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable

from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
HTML, XML, CSV, JSON, TEXT = "text/html", "application/xml", "text/csv", "application/json", "text/plain"


def pdf(pages: int, words: str = "Hello", password: str | None = None) -> bytes:
    out = io.BytesIO()
    encrypt = StandardEncryption(password, canPrint=0) if password else None
    drawing = canvas.Canvas(out, encrypt=encrypt)
    for number in range(1, pages + 1):
        drawing.drawString(72, 700, f"{words} {number}")
        drawing.showPage()
    drawing.save()
    return out.getvalue()


def scan() -> bytes:
    """A page with text, then one that is an image."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    out = io.BytesIO()
    drawing = canvas.Canvas(out)
    drawing.drawString(72, 700, "Text")
    drawing.showPage()
    drawing.drawImage(ImageReader(Image.new("RGB", (8, 8))), 0, 0, 200, 200)
    drawing.showPage()
    drawing.save()
    return out.getvalue()


def objects(*bodies: bytes, root: int = 1) -> bytes:
    """A PDF of these objects, numbered from 1."""
    out, offsets = b"%PDF-1.7\n", list[int]()
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(bodies) + 1
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
    return out + b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, root, start)


def page_of(content: bytes, resources: bytes = b"<<>>", *more: bytes) -> bytes:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources %b>>" % resources
    return objects(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, content, *more)


def flate_bomb(times: int) -> bytes:
    """A page's content: 40 MB of nothing in some bytes, packed as often as it is said."""
    data = b" " * 40_000_000
    for _ in range(times):
        data = zlib.compress(data, 9)
    filters = b"[" + b"/FlateDecode" * times + b"]"
    return page_of(b"<</Length %d/Filter%b>>stream\n%b\nendstream" % (len(data), filters, data))


def calls_itself() -> bytes:
    """A form whose content draws the form."""
    form = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 5 0 R>>>>/Length 5>>stream\n"
    content = b"<</Length 5>>stream\n/F Do\nendstream"
    return page_of(content, b"<</XObject<</F 5 0 R>>>>", form + b"/F Do\nendstream")


def own_parent() -> bytes:
    return objects(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>")


def many_pages(count: int) -> bytes:
    """All with the same content."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 3 0 R/Resources<</Font<</F 4 0 R>>>>>>"
    content = b"BT /F 12 Tf 72 700 Td (Hello) Tj ET"
    kids = b" ".join(b"%d 0 R" % number for number in range(5, 5 + count))
    return objects(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, count),
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *[page] * count,
    )


def deep_arrays() -> bytes:
    return page_of(b"<</Length 4>>stream\n" + b"[" * 200_000 + b"\nendstream", b"[" * 100_000 + b"]" * 100_000)


def zipped(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" ")
        archive.filelist[0].file_size = 600 * 1024**2
    return out.getvalue()


def docx(document: bytes) -> bytes:
    kinds = (
        b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        b'<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        b'wordprocessingml.document.main+xml"/></Types>'
    )
    links = (
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
        b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        b'Target="word/document.xml"/></Relationships>'
    )
    return zipped(("[Content_Types].xml", kinds), ("_rels/.rels", links), ("word/document.xml", document))


def body(text: bytes, before: bytes = b"") -> bytes:
    space = b'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    return before + b"<w:document %b><w:body><w:p><w:r><w:t>%b</w:t></w:r></w:p></w:body></w:document>" % (space, text)


def laughs(inner: Callable[[bytes, bytes], bytes]) -> bytes:
    """Entities of entities: ten to the ninth of one word."""
    entities = b'<!ENTITY a0 "lol">' + b"".join(
        b'<!ENTITY a%d "%b">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 10)
    )
    return inner(b"before &a9; after", b"<!DOCTYPE d [%b]>" % entities)


def plain_xml(text: bytes, before: bytes) -> bytes:
    return before + b"<d>%b</d>" % text


def secret_of_the_host(path: str) -> bytes:
    return b'<!DOCTYPE d [<!ENTITY e SYSTEM "file://%b">]><d>a&e;b</d>' % path.encode()


READ = None
"""Instead of a reason: it is read."""
HOSTILE: dict[str, tuple[str, Callable[[], bytes], str | None]] = {
    "pdf cut off": (PDF, lambda: many_pages(50)[:-2000], "damaged"),
    "pdf cut off early": (PDF, lambda: pdf(3)[:200], "damaged"),
    "pdf of zeros": (PDF, lambda: b"%PDF-1.7\n" + bytes(10_000), "damaged"),
    "pdf of noise": (PDF, lambda: b"%PDF-1.7\n" + os.urandom(10_000), "damaged"),
    "pdf of another kind": (PDF, lambda: b"GIF89a", "damaged"),
    "pdf without pages": (PDF, lambda: objects(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Kids[]/Count 0>>"), "no pages"),
    "pdf with a password": (PDF, lambda: pdf(1, password="x"), "protected by a password. Remove the password"),
    "pdf that calls itself": (PDF, calls_itself, READ),
    "pdf whose pages are their own parents": (PDF, own_parent, "damaged|no pages"),
    "pdf of deep arrays": (PDF, deep_arrays, READ),
    "pdf bomb": (PDF, lambda: flate_bomb(1), READ),
    "pdf bomb in a bomb": (PDF, lambda: flate_bomb(2), READ),
    "pdf of a billion pages": (
        PDF,
        lambda: objects(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 1000000000>>"),
        "damaged|no pages",
    ),
    "pdf of 10,000 pages": (PDF, lambda: many_pages(10_000), READ),
    "docx of another kind": (DOCX, lambda: b"hello", "no zip archive"),
    "docx cut off": (DOCX, lambda: docx(body(b"hello"))[:-40], "no zip archive"),
    "docx without a document": (DOCX, lambda: zipped(("a", b"b")), "damaged"),
    "zip bomb": (DOCX, zip_bomb, "Unpacked it would have 600 MB"),
    "docx of laughs": (DOCX, lambda: docx(laughs(body)), "."),
    "xlsx that is a docx": (XLSX, lambda: docx(body(b"hello")), "damaged"),
    "pptx of nothing": (PPTX, zipped, "damaged"),
    "xml of laughs": (XML, lambda: laughs(plain_xml), READ),
    "html nested deeply": (HTML, lambda: b"<div>" * 20_000 + b"deep", READ),
    "json nested deeply": (JSON, lambda: b"[" * 1_000_000, READ),
    "csv of one field": (CSV, lambda: b'"' + b"x" * 3_000_000, "no table"),
    "text of zeros": (TEXT, lambda: bytes(1_000_000), READ),
}
