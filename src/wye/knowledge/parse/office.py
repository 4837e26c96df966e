"""Office's formats: zip archives of XML."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from wye.knowledge.parse.piece import End, Piece, Refused, Said

_MAX_UNPACKED = 512 * 1024 * 1024
_MAX_CELLS = 2_000_000
_ROWS_A_PIECE = 200


def by_docx(path: Path) -> Iterator[Said]:
    if refused := _too_large(path):
        yield refused
        return
    docx: Any = import_module("docx")
    heading: str | None = None
    lines: list[str] = []
    for block in docx.Document(str(path)).iter_inner_content():
        if hasattr(block, "rows"):
            lines += [_row(cell.text for cell in row.cells) for row in block.rows]
            continue
        text = str(block.text).strip()
        if text and str(block.style and block.style.name).startswith(("Heading", "Title")):
            yield Piece("\n".join(lines), heading=heading)
            heading, lines = text, []
        lines.append(text)
    yield Piece("\n".join(lines), heading=heading)
    yield End()


def by_pptx(path: Path) -> Iterator[Said]:
    """A slide is a page."""
    if refused := _too_large(path):
        yield refused
        return
    pptx: Any = import_module("pptx")
    slides = list(pptx.Presentation(str(path)).slides)
    for number, slide in enumerate(slides, 1):
        title = slide.shapes.title
        lines = list(_shape_lines(slide.shapes))
        if slide.has_notes_slide:
            lines.append(str(slide.notes_slide.notes_text_frame.text))
        heading = str(title.text).strip() or None if title is not None else None
        yield Piece("\n".join(lines), number, heading, number / len(slides))
    yield End(len(slides))


def by_xlsx(path: Path) -> Iterator[Said]:
    """A row is a line that names its columns, so that it can be understood alone."""
    if refused := _too_large(path):
        yield refused
        return
    openpyxl: Any = import_module("openpyxl")
    # As an open file: of a path it wants to see an ending that it knows.
    book = openpyxl.load_workbook(path.open("rb"), read_only=True, data_only=True)
    cells = 0
    for index, sheet in enumerate(book.worksheets):
        sheet.reset_dimensions()  # as the file says them, they may be a billion cells
        lines: list[str] = []
        header: list[str] | None = None
        for row in sheet.iter_rows(values_only=True):
            cells += len(row)
            if cells > _MAX_CELLS:
                yield Refused(f"It has more than {_MAX_CELLS:,} cells.")
                return
            values = ["" if value is None else str(value) for value in row]
            if not any(values):
                continue
            if header is None:
                header = values
                lines.append(_row(values))
            else:
                lines.append(named_row(header, values))
            if len(lines) >= _ROWS_A_PIECE:
                yield Piece("\n".join(lines), heading=sheet.title, share=index / len(book.worksheets))
                lines = []
        yield Piece("\n".join(lines), heading=sheet.title, share=(index + 1) / len(book.worksheets))
    yield End()


def named_row(header: list[str], values: list[str]) -> str:
    names = [*header, *[""] * (len(values) - len(header))]
    return "; ".join(f"{name}: {value}" if name else value for name, value in zip(names, values, strict=False) if value)


def _row(cells: Iterable[str]) -> str:
    return " | ".join(cell.strip() for cell in cells if cell.strip())


def _shape_lines(shapes: Any) -> Iterator[str]:
    for shape in shapes:
        if shape.has_text_frame:
            yield str(shape.text_frame.text)
        if getattr(shape, "has_table", False):
            for row in shape.table.rows:
                yield _row(cell.text for cell in row.cells)
        if hasattr(shape, "shapes"):
            yield from _shape_lines(shape.shapes)


def _too_large(path: Path) -> Refused | None:
    """A small archive may hold terabytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        return Refused("It is damaged: it is no zip archive, as every document of Office is, or one that was cut off.")
    if unpacked > _MAX_UNPACKED:
        return Refused(
            f"Unpacked it would have {unpacked // 1024**2:,} MB, and {_MAX_UNPACKED // 1024**2} at most are read."
        )
    return None
