"""How a file becomes passages that can be found: the steps, each of them replaceable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from wye.ports.store import Passage


class PageText(msgspec.Struct, frozen=True):
    """The text of one page, or of a part that has no pages: a sheet, a slide, the whole of a file."""

    text: str
    number: int | None = None
    """From 1; None for what has no pages."""
    heading: str | None = None


class Extracted(msgspec.Struct, frozen=True):
    """What is in a file."""

    parts: list[PageText]
    pages: int | None = None
    """None for what has no pages."""
    notes: tuple[str, ...] = ()
    """What a reader should know: `Page 3 is a scan without text`."""


Progress = Callable[[float], Awaitable[None]]
"""Told how much of a step is done, from 0 to 1."""


class Reader(Protocol):
    """Every step may raise `ports.jobs.GiveUp` with a reason for people; any other error is tried again."""

    async def extract(self, path: Path, content_type: str, progress: Progress) -> Extracted: ...

    def split(self, extracted: Extracted) -> list[Passage]:
        """The passages in their order, numbered from 0."""
        ...

    @property
    def embedding_model(self) -> str | None:
        """Who makes vectors of passages; None where they are found by their words alone."""
        ...

    @property
    def away(self) -> str | None:
        """Why no vectors could be made when that was tried last; None when they could."""
        ...

    async def index(self, document_id: str, passages: Sequence[Passage], progress: Progress) -> str | None:
        """Make the passages of a document, which the store has by now, findable by what they mean: again the same when
        it was done before. The model whose vectors all of them have now; None where it cannot be had at this moment.
        Raises StoreAway."""
        ...
