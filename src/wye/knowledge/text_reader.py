"""Reads what is text. Implements `ports.reading.Reader`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from wye.ports.jobs import GiveUp
from wye.ports.reading import Extracted, PageText, Progress
from wye.ports.store import Passage

_PASSAGE = re.compile(r"\S.{0,1200}(?=\s|\Z)|\S{1,1200}", re.DOTALL)


class TextReader:
    async def extract(self, path: Path, content_type: str, progress: Progress) -> Extracted:
        if not content_type.startswith(("text/", "application/json", "application/xml", "application/x-ndjson")):
            raise GiveUp(f"{content_type} cannot be read")
        data = await asyncio.to_thread(path.read_bytes)
        return Extracted([PageText(decoded(data))])

    def split(self, extracted: Extracted) -> list[Passage]:
        found = [(part, match[0]) for part in extracted.parts for match in _PASSAGE.finditer(part.text)]
        return [Passage(number=i, text=text, page=part.number) for i, (part, text) in enumerate(found)]

    async def index(self, document_id: str, passages: Sequence[Passage], progress: Progress) -> None:
        await progress(1.0)


def decoded(data: bytes) -> str:
    """Text by its mark, else as UTF-8, else as what Windows writes in the West; never fails."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
