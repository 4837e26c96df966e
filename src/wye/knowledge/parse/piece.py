"""What a reader of files says while it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec


class Piece(msgspec.Struct, frozen=True, tag=True):
    """A page, a sheet, a section: what one reader takes for a part."""

    text: str
    number: int | None = None
    """Of the page, from 1."""
    heading: str | None = None
    share: float = 0.0
    """How much of the file is read by now, from 0 to 1."""


class End(msgspec.Struct, frozen=True, tag=True):
    """All was read."""

    pages: int | None = None
    notes: tuple[str, ...] = ()


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It cannot be read."""

    reason: str
    """For people: a sentence about "it", the file."""
    for_all: bool = True
    """Whether another reader of the same kind of file would fail, too."""


Said = Piece | End | Refused
Reader = Callable[[Path], Iterator[Said]]
