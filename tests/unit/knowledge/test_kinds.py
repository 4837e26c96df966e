from __future__ import annotations

import io
import zipfile

import pytest

from wye.kernel.errors import UnsupportedMedia
from wye.knowledge.kinds import KINDS, demand_readable, kind_of
from wye.knowledge.names import safe_name

PDF, JSON = "application/pdf", "application/json"
DOCX, PPTX, XLSX = list(KINDS)[1:4]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"


def an_archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 100)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        pytest.param(b"%PDF-1.7\n%\x00\xff", "a.txt", PDF, id="pdf-by-content"),
        pytest.param(b"junk before\n%PDF-1.4", "a", PDF, id="pdf-with-junk"),
        pytest.param(an_archive("[Content_Types].xml", "word/document.xml"), "a.bin", DOCX, id="docx"),
        pytest.param(an_archive("[Content_Types].xml", "ppt/presentation.xml"), "a", PPTX, id="pptx"),
        pytest.param(an_archive("[Content_Types].xml", "xl/workbook.xml"), "a.zip", XLSX, id="xlsx"),
        pytest.param(an_archive("evil.exe"), "a.docx", "application/zip", id="zip-named-docx"),
        pytest.param(b"a,b\n1,2\n", "a.CSV", "text/csv", id="csv"),
        pytest.param(b"a\tb\n", "a.tsv", "text/csv", id="tsv"),
        pytest.param(b'{"a": 1}', "a.json", JSON, id="json"),
        pytest.param(b"# A", "a.md", "text/markdown", id="markdown"),
        pytest.param(b"plain", "a", "text/plain", id="text-without-name"),
        pytest.param(b"plain", "a.pdf", "text/plain", id="text-named-pdf"),
        pytest.param(b"print()", "a.py", "text/plain", id="source"),
        pytest.param(b" <!DOCTYPE HTML><p>", "a", "text/html", id="html-by-content"),
        pytest.param(b"\xef\xbb\xbf<?xml version='1.0'?>", "a", "application/xml", id="xml-with-mark"),
        pytest.param("ü".encode("utf-16"), "a.txt", "text/plain", id="utf-16"),
        pytest.param("Größe".encode("latin-1"), "a.txt", "text/plain", id="latin-1"),
        pytest.param(PNG, "a.txt", "image/png", id="png-named-txt"),
        pytest.param(b"\x00\x01\x02\x03" * 9, "a", "application/octet-stream", id="bytes"),
    ],
)
def test_a_kind_is_found_by_content_and_by_name_only_among_texts(content: bytes, name: str, kind: str) -> None:
    assert kind_of(content[:65536], content[-65536:], name) == kind


def test_what_cannot_be_read_is_refused_with_what_can() -> None:
    demand_readable(PDF, "a.pdf")
    with pytest.raises(
        UnsupportedMedia, match=r"'a\.png' is image/png.*pdf, docx, pptx, xlsx, html, md, csv, json"
    ) as e:
        demand_readable("image/png", "a.png")
    assert e.value.status == 415
    assert e.value.details == {"supported": list(KINDS)}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\x.docx", "x.docx"),
        ("a\0b\r\n\x1b[31m.txt", "ab[31m.txt"),
        ("safe\u202egpj.exe", "safegpj.exe"),
        ("Gro\u0308ße 漢.txt", "Größe 漢.txt"),
        ("", "file"),
        ("..", "file"),
        ("a/", "file"),
        ("\ud800.txt", "txt"),
        ("x" * 300 + ".pdf", "x" * 180 + ".pdf"),
        ("x" * 300, "x" * 200),
        ("x." + "y" * 300, "x." + "y" * 198),
    ],
)
def test_a_name_is_made_safe(given: str, name: str) -> None:
    assert safe_name(given) == name
