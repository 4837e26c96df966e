"""What is read of each kind of file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest

from tests.unit.knowledge.parse import hostile
from wye.knowledge.kinds import KINDS
from wye.knowledge.parse.child import READERS, Job, read_file
from wye.knowledge.parse.office import by_docx, by_pptx, by_xlsx
from wye.knowledge.parse.pdf import by_pdfium, by_pypdf
from wye.knowledge.parse.piece import End, Piece, Reader, Refused
from wye.knowledge.parse.text import by_csv, by_html, by_json, by_markdown, by_text, by_xml

Part = tuple[str, int | None, str | None]


def read(reader: Reader, data: bytes, folder: Path) -> tuple[list[Part], End]:
    path = folder / "file"
    path.write_bytes(data)
    *pieces, end = reader(path)
    assert isinstance(end, End)
    parts = [(p.text, p.number, p.heading) for p in pieces if isinstance(p, Piece) and p.text.strip()]
    assert all(isinstance(piece, Piece) for piece in pieces)
    return parts, end


def refusal(reader: Reader, data: bytes, folder: Path) -> Refused:
    path = folder / "file"
    path.write_bytes(data)
    *_, end = reader(path)
    assert isinstance(end, Refused)
    return end


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


@pytest.mark.parametrize("reader", [by_pdfium, by_pypdf])
def test_both_readers_of_pdf_find_the_same(reader: Reader, tmp_path: Path) -> None:
    parts, end = read(reader, hostile.pdf(2), tmp_path)
    assert [(text.strip(), number) for text, number, _ in parts] == [("Hello 1", 1), ("Hello 2", 2)]
    assert end == End(2)
    parts, end = read(reader, hostile.scan(), tmp_path)
    assert [number for _, number, _ in parts] == [1]
    assert end == End(2, ("Page 2 is a scan without text: run it through OCR to have it found.",))
    assert "password" in refusal(reader, hostile.pdf(1, password="x"), tmp_path).reason


def test_what_pdfium_cannot_open_another_reader_may(tmp_path: Path) -> None:
    refused = refusal(by_pdfium, b"%PDF-1.7 nothing", tmp_path)
    assert (refused.reason[:27], refused.for_all) == ("It is no PDF, or damaged: F", False)


def test_a_pdf_without_pages(tmp_path: Path) -> None:
    empty = hostile.objects(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>")
    assert refusal(by_pypdf, empty, tmp_path) == Refused("It has no pages.")


def test_many_scans_are_told_in_few_words(tmp_path: Path) -> None:
    from wye.knowledge.parse.pdf import _notes

    assert _notes([3, 5]) == ("Pages 3, 5 are scans without text: run it through OCR to have it found.",)
    assert "19, 20 and 5 more are scans" in _notes(list(range(1, 26)))[0]


def test_docx(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("Before")
    document.add_heading("Costs", 1)
    document.add_paragraph("They rose.")
    table = document.add_table(1, 2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Rent", "900"
    parts, end = read(by_docx, saved(document), tmp_path)
    assert parts == [("Before", None, None), ("Costs\nThey rose.\nRent | 900", None, "Costs")]
    assert end == End()


def test_pptx(tmp_path: Path) -> None:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text, slide.placeholders[1].text = "Plan", "Build it"
    slide.notes_slide.notes_text_frame.text = "Say it slowly"
    other = show.slides.add_slide(show.slide_layouts[6])
    table = other.shapes.add_table(1, 2, 0, 0, 100, 100).table
    table.cell(0, 0).text, table.cell(0, 1).text = "a", "b"
    group = other.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "inside"
    parts, end = read(by_pptx, saved(show), tmp_path)
    assert parts == [("Plan\nBuild it\nSay it slowly", 1, "Plan"), ("a | b\ninside", 2, None)]
    assert end == End(2)


def test_xlsx(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Costs"
    for row in (["what", "sum"], ["Rent", 900], [None, None], ["Water", 30, "monthly"]):
        book.active.append(row)
    long = book.create_sheet("Long")
    for number in range(300):
        long.append([number])
    parts, _ = read(by_xlsx, saved(book), tmp_path)
    assert parts[0] == ("what | sum\nwhat: Rent; sum: 900\nwhat: Water; sum: 30; monthly", None, "Costs")
    assert [(len(text.splitlines()), heading) for text, _, heading in parts[1:]] == [(200, "Long"), (100, "Long")]


def test_a_table_with_too_many_cells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wye.knowledge.parse.office._MAX_CELLS", 3)
    book = openpyxl.Workbook()
    book.active.append(["a", "b", "c", "d"])
    assert refusal(by_xlsx, saved(book), tmp_path).reason == "It has more than 3 cells."


@pytest.mark.parametrize(
    ("make", "reader"), [(b"x", by_docx), (b"x", by_pptx), (b"x", by_xlsx)], ids=["docx", "pptx", "xlsx"]
)
def test_what_is_no_archive_is_refused(make: bytes, reader: Reader, tmp_path: Path) -> None:
    assert "no zip archive" in refusal(reader, make, tmp_path).reason


HTML = b"""<!doctype html><html><head><title>A  page</title><style>p {color: red}</style></head><body>
<nav>Home</nav><script>alert(1)</script><p>First <b>bold</b> word.</p><ul><li>one</li><li>two</li></ul>
<h2>Part <i>two</i></h2><div>Deep <span>in</span>side</div></body></html>"""
MARKDOWN = b"intro\n\n# One #\nfirst\n```\n# no heading\n```\n## Two\nsecond\n"
TEXTS: dict[str, tuple[Reader, bytes, list[Part]]] = {
    "html": (
        by_html,
        HTML,
        [("First bold word.\none\ntwo", None, "A page"), ("Part two\nDeep inside", None, "Part two")],
    ),
    "html without a body": (by_html, b"just words", [("just words", None, None)]),
    "markdown": (
        by_markdown,
        MARKDOWN,
        [
            ("intro\n", None, None),
            ("# One #\nfirst\n```\n# no heading\n```", None, "One"),
            ("## Two\nsecond", None, "Two"),
        ],
    ),
    "xml": (by_xml, b"<?xml version='1.0'?><a>x<b> y </b><!-- no --></a>", [("x\ny", None, None)]),
    "csv": (
        by_csv,
        b"name;age\nAda;36\nBob;40\n",
        [("name; age", None, None), ("name: Ada; age: 36\nname: Bob; age: 40", None, None)],
    ),
    "csv of one column": (by_csv, b"name\nAda\n", [("name", None, None), ("name: Ada", None, None)]),
    "json": (by_json, b'{"a":[1,2]}', [('{\n "a": [\n  1,\n  2\n ]\n}', None, None)]),
    "no json": (by_json, b"{nothing", [("{nothing", None, None)]),
    "text": (by_text, "caf\u00e9".encode(), [("caf\u00e9", None, None)]),
    "text with a mark": (by_text, b"\xef\xbb\xbfa", [("a", None, None)]),
    "text of 16 bits": (by_text, "caf\u00e9".encode("utf-16"), [("caf\u00e9", None, None)]),
    "text of Windows": (by_text, b"caf\xe9 \x80", [("caf\u00e9 \u20ac", None, None)]),
}


@pytest.mark.parametrize(("reader", "data", "parts"), TEXTS.values(), ids=list(TEXTS))
def test_texts(reader: Reader, data: bytes, parts: list[Part], tmp_path: Path) -> None:
    assert read(reader, data, tmp_path) == (parts, End())


def test_nothing_of_the_host_gets_into_a_text(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    parts, _ = read(by_xml, hostile.secret_of_the_host(str(secret)), tmp_path)
    assert "key" not in str(parts)


@pytest.mark.parametrize(
    ("reader", "data"),
    [(by_xml, b""), (by_xml, b"x"), (by_csv, b'"' + b"x" * 1_000_001)],
    ids=["nothing", "xml", "csv"],
)
def test_what_is_none_of_its_kind_is_refused(reader: Callable[..., Any], data: bytes, tmp_path: Path) -> None:
    assert refusal(reader, data, tmp_path).reason.startswith("It is no")


def test_every_kind_that_is_supported_has_a_reader() -> None:
    assert set(READERS) == set(KINDS)


def test_a_file_that_holds_too_much_is_refused_as_soon_as_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(MARKDOWN)
    *read_, last = read_file(Job(str(path), "text/markdown", 0, 2**30, 30))
    assert isinstance(last, Refused)
    assert "more than 30 characters" in last.reason
    assert len(read_) == 1
