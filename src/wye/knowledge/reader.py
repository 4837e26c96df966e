"""Implements `ports.reading.Reader`: files to passages that can be found."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from wye.kernel.errors import BadRequest, WyeError
from wye.knowledge.extract import extract
from wye.knowledge.retrieve import Embedder, shown
from wye.knowledge.split import split
from wye.ports.encoders import Encoders
from wye.ports.index import Index, Vector
from wye.ports.reading import Extracted, Progress
from wye.ports.store import Passage, StoreAway

_AT_ONCE = 32
log = logging.getLogger("wye")


class DocumentReader:
    def __init__(self, index: Index, embedder: Embedder | None) -> None:
        """Without an embedder passages are found by their words alone, which the store sees to."""
        self._index = index
        self._embedder = embedder
        self.away: str | None = None

    async def extract(self, path: Path, content_type: str, progress: Progress) -> Extracted:
        return await extract(path, content_type, progress)

    def split(self, extracted: Extracted) -> list[Passage]:
        return split(extracted)

    @property
    def embedding_model(self) -> str | None:
        return self._embedder.model if self._embedder is not None else None

    async def index(self, document_id: str, passages: Sequence[Passage], progress: Progress) -> str | None:
        if self._embedder is None:
            return None
        try:
            await self._embed(self._embedder, document_id, passages, progress)
        except StoreAway:
            raise
        except WyeError as error:
            if self.away is None:
                log.warning("Documents are found by their words alone for now: %s", error.message)
            self.away = error.message
            return None
        self.away = None
        return self._embedder.model

    async def _embed(
        self, embedder: Embedder, document_id: str, passages: Sequence[Passage], progress: Progress
    ) -> None:
        # What a process that died has done is not done again.
        missing = set(await self._index.missing(document_id, embedder.model))
        left = [passage for passage in passages if passage.number in missing]
        for start in range(0, len(left), _AT_ONCE):
            part = left[start : start + _AT_ONCE]
            made = await embedder.embed([shown(passage) for passage in part], "search_document")
            vectors: dict[int, Vector] = {p.number: vector for p, vector in zip(part, made, strict=True)}
            await self._index.put(document_id, embedder.model, vectors)
            await progress((start + len(part)) / len(left))


class LocalEmbedder:
    """Implements `retrieve.Embedder` by a model on this machine."""

    def __init__(self, encoders: Encoders, model: str) -> None:
        self.model = model
        self._encoders = encoders

    async def embed(self, texts: list[str], purpose: str) -> list[list[float]]:
        return [await self._one(text, purpose) for text in texts]

    async def _one(self, text: str, purpose: str) -> list[float]:
        """A passage has as many characters as suits English; of another script, that may be too many tokens."""
        while True:
            try:
                return (await self._encoders.embed(self.model, [text], purpose)).vectors[0]
            except BadRequest as error:
                if error.code != "context_length_exceeded":
                    raise
                text = text[: len(text) * 2 // 3]
