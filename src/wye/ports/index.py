"""Passages that can be found: by their words, and by what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from wye.ports.store import Passage

Vector = Sequence[float]


class Found(msgspec.Struct, frozen=True):
    """A passage, with the document it is of."""

    document_id: str
    passage: Passage


class Index(Protocol):
    """Over the passages of the store: what is kept there can be found by its words at once. Nobody's rights are
    checked: the caller knows whose documents these are. Any operation may raise StoreAway."""

    async def put(self, document_id: str, model: str, vectors: Mapping[int, Vector]) -> None:
        """Keep the vectors that a model made of passages, by their numbers; in place of any before. Those whose
        passages are gone are left out. Raises ConfigError where the database cannot keep vectors."""
        ...

    async def missing(self, document_id: str, model: str) -> list[int]:
        """The numbers of the passages that have no vector of that model."""
        ...

    async def by_words(self, document_ids: Sequence[str], words: str, limit: int) -> list[Found]:
        """The passages that have most of the words, rare ones first, in whatever form the words have."""
        ...

    async def by_vector(self, document_ids: Sequence[str], model: str, vector: Vector, limit: int) -> list[Found]:
        """The passages whose vectors of that model are nearest by their angle."""
        ...
