"""From a question to the passages that may answer it: by words and by meaning, fused, then read once more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec

from wye.kernel.errors import CapacityError, OperatorError, WyeError
from wye.knowledge.words import telling_words
from wye.ports.encoders import Encoders
from wye.ports.index import Found, Index
from wye.ports.store import Passage, StoreAway

log = logging.getLogger("wye")

CANDIDATES = 30
"""Of each way to search."""
RERANKED = 12
"""How many of the best are read together with the question: each costs 20 to 100 ms of a core."""
_FUSION = 10
"""Reciprocal rank fusion (Cormack, Clarke, Büttcher, 2009). The larger, the less the first places are worth."""


class Ranking(msgspec.Struct, frozen=True):
    """How passages are put in order."""

    weights: tuple[float, float] = (1.0, 0.5)
    """Of meaning and of words. Of the 24 questions in tests/integration/test_retrieval_quality.py vectors alone answer
    22 among the first three, words alone 11, equal weights at 60 as in the paper 18, these 22, read once more 24."""
    rerank: bool = True
    """Whether the best are read once more."""


USUAL = Ranking()


class Embedder(Protocol):
    model: str
    """The name under which its vectors are kept: those of two models have nothing in common."""

    async def embed(self, texts: list[str], purpose: str) -> list[list[float]]:
        """`purpose` is `search_document` or `search_query`. A text that is too long is cut."""
        ...


class Retriever:
    def __init__(
        self, index: Index, embedder: Embedder | None, encoders: Encoders | None = None, reranker: str | None = None
    ) -> None:
        """Without an embedder passages are found by their words alone. With `reranker`, a model of `encoders`, the
        best are read once more."""
        self._index = index
        self._embedder = embedder
        self._encoders = encoders
        self._reranker = reranker

    async def find(
        self, document_ids: Sequence[str], question: str, limit: int, ranking: Ranking = USUAL
    ) -> list[tuple[Found, float]]:
        """The best passages first, each with how well it fits: from 0 to 1, comparable for one question."""
        if not document_ids:
            return []
        meant = await self._meant(document_ids, question)
        said = await self._index.by_words(
            document_ids, " ".join(telling_words(question)) or question, max(CANDIDATES, limit)
        )
        fused = _fused((meant, said), ranking.weights)
        if self._encoders is None or self._reranker is None or not ranking.rerank:
            return fused[:limit]
        candidates = [found for found, _ in fused[: max(RERANKED, limit)]]
        return await self._reread(self._encoders, self._reranker, question, candidates, limit)

    async def _meant(self, document_ids: Sequence[str], question: str) -> list[Found]:
        if self._embedder is None:
            return []
        try:
            (vector,) = await self._embedder.embed([question], "search_query")
            return await self._index.by_vector(document_ids, self._embedder.model, vector, CANDIDATES)
        except StoreAway:
            raise
        except WyeError as error:
            log.warning("Passages are searched by their words alone: %s", error.message)
            return []

    async def _reread(
        self, encoders: Encoders, reranker: str, question: str, candidates: list[Found], limit: int
    ) -> list[tuple[Found, float]]:
        try:
            scores = await encoders.rank(reranker, question, [shown(found.passage) for found in candidates])
        except (CapacityError, OperatorError) as error:
            log.warning("Passages are not read again: %s", error.message)
            scores = [-float(place) for place in range(len(candidates))]
        order = sorted(zip(candidates, scores, strict=True), key=lambda pair: -pair[1])
        # The model gives the logarithm of the odds.
        return [(found, 1 / (1 + 2.718281828459045 ** -max(-60.0, score))) for found, score in order[:limit]]


def _fused(rankings: Sequence[list[Found]], weights: Sequence[float]) -> list[tuple[Found, float]]:
    scores: dict[tuple[str, int], float] = {}
    found: dict[tuple[str, int], Found] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for place, one in enumerate(ranking, 1):
            key = (one.document_id, one.passage.number)
            found[key] = one
            scores[key] = scores.get(key, 0.0) + weight / sum(weights) * (_FUSION + 1) / (_FUSION + place)
    return [(found[key], score) for key, score in sorted(scores.items(), key=lambda pair: -pair[1])]


def shown(passage: Passage) -> str:
    """As a model reads it: with its heading, which is often what it is about."""
    if passage.heading and not passage.text.lstrip("# ").startswith(passage.heading):
        return f"{passage.heading}\n{passage.text}"
    return passage.text
