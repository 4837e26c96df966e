"""Which kinds of file can be read, and which kind a file is: by its content; by its name where the content leaves it
open, as among texts."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, cast

from wye.kernel.errors import UnsupportedMedia

KINDS: dict[str, tuple[str, ...]] = {
    "application/pdf": ("pdf",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("docx",),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ("pptx",),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("xlsx",),
    "text/html": ("html", "htm", "xhtml"),
    "text/markdown": ("md", "markdown"),
    "text/csv": ("csv", "tsv"),
    "application/json": ("json",),
    "application/x-ndjson": ("jsonl", "ndjson"),
    "application/xml": ("xml",),
    "text/plain": ("txt", "text", "log"),
}
"""Media types with the endings of file names they go by."""
_BY_ENDING = {ending: kind for kind, endings in KINDS.items() for ending in endings}
_OFFICE = {
    b"word/document.xml": _BY_ENDING["docx"],
    b"ppt/presentation.xml": _BY_ENDING["pptx"],
    b"xl/workbook.xml": _BY_ENDING["xlsx"],
}
"""A name in the zip archive that each of Office's formats is."""
_TEXTS = {kind for kind in KINDS if kind.startswith("text/")} | {
    _BY_ENDING["json"],
    _BY_ENDING["jsonl"],
    _BY_ENDING["xml"],
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""Bytes that no encoding of text has, but UTF-16 and UTF-32, which begin with a mark."""
_MARKS = (b"\xff\xfe", b"\xfe\xff")

SNIFFED_BYTES = 65536
"""How much of a file's beginning, and of its end, `kind_of` wants to see."""


def kind_of(head: bytes, tail: bytes, filename: str) -> str:
    """The media type of a file; one that is not in KINDS for what cannot be read."""
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    if head.startswith(b"PK\x03\x04"):
        found = [kind for name, kind in _OFFICE.items() if name in tail or name in head]
        return found[0] if found else "application/zip"
    ending = PurePath(filename).suffix[1:].lower()
    if head.startswith(_MARKS) or not _CONTROL.search(head):
        named = _BY_ENDING.get(ending)
        return named if named in _TEXTS else _text_kind(head)
    return _other_kind(head, filename)


def demand_readable(content_type: str, filename: str) -> None:
    """Raises UnsupportedMedia, with the list of what is supported."""
    if content_type not in KINDS:
        endings = ", ".join(ending for endings in KINDS.values() for ending in endings[:1])
        raise UnsupportedMedia(
            f"{filename!r} is {content_type}, which cannot be read. Supported are: {endings}",
            param="file",
            details={"supported": list(KINDS)},
        )


def _text_kind(head: bytes) -> str:
    start = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    return "application/xml" if start.startswith(b"<?xml") else "text/plain"


def _other_kind(head: bytes, filename: str) -> str:
    """Only to be told to people: what is no text, and none of what can be read."""
    import puremagic  # noqa: PLC0415 - an extra, and only where something is wrong

    try:
        # It tells its types in part only.
        known = cast(Any, puremagic).from_string(head[:4096], mime=True, filename=filename)
        return str(known or "application/octet-stream")
    except (puremagic.PureError, ValueError):
        return "application/octet-stream"
