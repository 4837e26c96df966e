"""PDF, by two libraries: what one cannot read the other often can."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from wye.knowledge.parse.piece import End, Piece, Refused, Said

_PASSWORD = Refused("It is protected by a password. Remove the password and upload it again.")
_LISTED = 20


def by_pdfium(path: Path) -> Iterator[Said]:
    pdfium: Any = import_module("pypdfium2")  # an extra, loaded in this process only
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        yield _PASSWORD if "password" in str(error).lower() else Refused(f"It is no PDF, or damaged: {error}", False)
        return
    image = pdfium.raw.FPDF_PAGEOBJ_IMAGE
    pages, scans = len(document), list[int]()
    for number in range(1, pages + 1):
        page = document[number - 1]
        text_page = page.get_textpage()
        text = str(text_page.get_text_bounded())
        if not text.strip() and any(True for _ in page.get_objects([image], max_depth=3)):
            scans.append(number)
        text_page.close()
        page.close()
        yield Piece(text, number, share=number / pages)
    yield End(pages, _notes(scans))


def by_pypdf(path: Path) -> Iterator[Said]:
    pypdf: Any = import_module("pypdf")
    document = pypdf.PdfReader(path)
    if document.is_encrypted and not document.decrypt(""):
        yield _PASSWORD
        return
    pages, scans = len(document.pages), list[int]()
    for number in range(1, pages + 1):
        page = document.pages[number - 1]
        text = str(page.extract_text())
        if not text.strip() and "/XObject" in (page.get("/Resources") or {}):
            scans.append(number)
        yield Piece(text, number, share=number / pages)
    yield End(pages, _notes(scans)) if pages else Refused("It has no pages.")


def _notes(scans: list[int]) -> tuple[str, ...]:
    if not scans:
        return ()
    listed = ", ".join(map(str, scans[:_LISTED])) + (
        f" and {len(scans) - _LISTED} more" if len(scans) > _LISTED else ""
    )
    what = f"Page {listed} is a scan" if len(scans) == 1 else f"Pages {listed} are scans"
    return (f"{what} without text: run it through OCR to have it found.",)
