"""What is text already, and what is text between marks."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from wye.knowledge.parse.office import named_row
from wye.knowledge.parse.piece import End, Piece, Refused, Said

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_MARKDOWN_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_UNSEEN = ("script", "style", "noscript", "template", "svg", "head", "nav")
_BLOCKS = re.compile(
    r"^(p|div|section|article|li|ul|ol|table|tr|br|hr|h[1-6]|blockquote|pre|dt|dd|main|header|footer|figure|form)$"
)
_SPACES = re.compile(r"[ \t\r\f\v\xa0]+")
_ROWS_A_PIECE = 200


def by_text(path: Path) -> Iterator[Said]:
    yield Piece(text_of(path), share=1.0)
    yield End()


def by_markdown(path: Path) -> Iterator[Said]:
    heading: str | None = None
    lines: list[str] = []
    fenced = False
    for line in text_of(path).splitlines():
        fenced ^= _FENCE.match(line) is not None
        found = None if fenced else _MARKDOWN_HEADING.match(line)
        if found:
            yield Piece("\n".join(lines), heading=heading)
            heading, lines = found[2] or None, []
        lines.append(line)
    yield Piece("\n".join(lines), heading=heading, share=1.0)
    yield End()


def by_html(path: Path) -> Iterator[Said]:
    parser: Any = import_module("selectolax.lexbor").LexborHTMLParser(text_of(path))
    title = parser.css_first("title")
    heading: str | None = " ".join(str(title.text()).split()) or None if title is not None else None
    for name in _UNSEEN:
        for node in parser.css(name):
            node.decompose()
    words: list[str] = []
    for kind, text in _walk(parser.body):
        if kind == "heading":
            yield Piece(_tidy(words), heading=heading)
            heading, words = " ".join(text.split()) or heading, [text]
        else:
            words.append(text)
    yield Piece(_tidy(words), heading=heading, share=1.0)
    yield End()


def _walk(body: Any) -> Iterator[tuple[str, str]]:
    """Texts and headings in their order, new lines between blocks. Without recursion: pages may be nested at will."""
    node, depth = body, 0
    while node is not None:
        if node.tag == "-text":
            yield "text", str(node.text_content or "")
        elif re.fullmatch("h[1-6]", node.tag or ""):
            yield "heading", str(node.text())
        elif _BLOCKS.match(node.tag or ""):
            yield "text", "\n"
        inner = None if re.fullmatch("h[1-6]", node.tag or "") else node.child
        if inner is not None:
            node, depth = inner, depth + 1
            continue
        while node is not None and node.next is None:
            node, depth = node.parent, depth - 1
            if depth <= 0:
                return
        node = node.next if node is not None else None


def _tidy(words: list[str]) -> str:
    lines = (_SPACES.sub(" ", line).strip() for line in "".join(words).splitlines())
    return "\n".join(line for line in lines if line)


def by_xml(path: Path) -> Iterator[Said]:
    etree: Any = import_module("lxml.etree")
    # No entity is resolved and nothing fetched: a kilobyte of entities may stand for gigabytes.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    root: Any = None
    with suppress(etree.XMLSyntaxError):
        root = etree.fromstring(path.read_bytes(), parser)
    if root is None:
        yield Refused("It is no XML.")
        return
    yield Piece("\n".join(text for piece in root.itertext() if (text := " ".join(str(piece).split()))), share=1.0)
    yield End()


def by_csv(path: Path) -> Iterator[Said]:
    """A row is a line that names its columns, so that it can be understood alone."""
    text = text_of(path)
    csv.field_size_limit(1_000_000)
    try:
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = csv.reader(text.splitlines(), dialect)
    try:
        header = next(rows, list[str]())
        yield Piece("; ".join(header))
        while lines := [named_row(header, row) for row in islice(rows, _ROWS_A_PIECE)]:
            yield Piece("\n".join(lines))
    except csv.Error as error:
        yield Refused(f"It is no table of comma-separated values: line {rows.line_num}: {error}.")
        return
    yield End()


def by_json(path: Path) -> Iterator[Said]:
    text = text_of(path)
    # As text it is as good where it is no JSON, or too deep to be read as such.
    with suppress(msgspec.DecodeError, RecursionError):
        text = msgspec.json.format(text, indent=1)
    yield Piece(text, share=1.0)
    yield End()


def text_of(path: Path) -> str:
    """By its mark, else UTF-8, else what Windows wrote in the west: that never fails."""
    data = path.read_bytes()
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
