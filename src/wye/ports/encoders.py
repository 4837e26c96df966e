"""Texts to numbers, for whoever needs them inside Wye."""

from __future__ import annotations

from typing import Protocol

import msgspec

from wye.ports.engine import LocalModel


class Vectors(msgspec.Struct, frozen=True):
    vectors: list[list[float]]
    """In the order of the texts."""
    tokens: int
    """Of all texts, the model's own marks included."""


class Encoders(Protocol):
    """Small models on this machine that read a text once."""

    def models(self) -> list[LocalModel]: ...

    async def embed(self, model: str, texts: list[str], purpose: str | None = None) -> Vectors:
        """A vector of length 1 for each text; `purpose` as in `canon.embedding.EmbeddingRequest`.

        Raises NotFound, BadRequest for a text that the model cannot hold (with the numbers), Overloaded when too many
        ask, NoDeployment and MissingExtra when the model is not here.
        """
        ...

    async def rank(self, model: str, question: str, passages: list[str]) -> list[float]:
        """How well each passage answers the question: higher is better, comparable for one question only. What the
        model cannot hold of a passage is cut off. Raises as `embed` does."""
        ...

    async def load(self, model: str) -> LocalModel: ...

    async def unload(self, model: str) -> LocalModel:
        """Idempotent. Raises NotFound."""
        ...

    async def close(self) -> None: ...
