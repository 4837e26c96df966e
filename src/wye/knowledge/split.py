"""Texts to passages: small enough for a vector to mean one thing, large enough to be an answer. A passage never goes
beyond its page, so that a citation's page is always true."""

from __future__ import annotations

import re
from collections.abc import Iterator

from wye.ports.reading import Extracted
from wye.ports.store import Passage

MOST = 1200
"""Characters of a passage: about 300 tokens of English."""
FEW = 400
"""What is shorter is joined with what follows it on its page."""
_BREAKS = tuple(map(re.compile, (r"\n\s*\n", r"\n", r"(?<=[.!?…。！？])\s+", r"(?<=[,;:])\s+", r"\s+")))
"""Where a text is best cut: between paragraphs, lines, sentences, clauses, words."""
_SPACES = re.compile(r"[ \t\r\f\v\xa0]+")


def split(extracted: Extracted) -> list[Passage]:
    """The passages in their order, numbered from 0."""
    passages: list[Passage] = []
    for part in extracted.parts:
        text = _SPACES.sub(" ", part.text).strip()
        for piece in _packed(_pieces(text, 0)):
            passages.append(Passage(number=len(passages), text=piece, page=part.number, heading=part.heading))
    return passages


def _packed(pieces: Iterator[tuple[str, str]]) -> Iterator[str]:
    """Join neighbours while they fit: short ones always, a longer one begins a passage of its own at a paragraph."""
    text = ""
    for space, piece in pieces:
        fits = len(text) + len(space) + len(piece) <= MOST
        if text and (not fits or ("\n\n" in space and len(text) >= FEW)):
            yield text
            text = piece
        else:
            text += (space if text else "") + piece
    if text:
        yield text


def _pieces(text: str, level: int) -> Iterator[tuple[str, str]]:
    """The parts between breaks, each no longer than a passage, with what joins it to the one before."""
    if level == len(_BREAKS):
        yield from (("", text[start : start + MOST]) for start in range(0, len(text), MOST))
        return
    joint = ("\n\n", "\n", " ", " ", " ")[level]
    for part in _BREAKS[level].split(text):
        if len(part) <= MOST and part.strip():
            yield joint, part.strip()
        elif part.strip():
            inner = _pieces(part.strip(), level + 1)
            _, first = next(inner)
            yield joint, first
            yield from inner
