"""Texts to vectors, whichever dialect asks for it."""

from __future__ import annotations

from typing import Literal

import msgspec

from wye.canon.extras import Extras
from wye.canon.usage import Usage

Input = str | list[int]
"""A text, or the ids of its tokens in the vocabulary of one model."""


class EmbeddingRequest(msgspec.Struct, kw_only=True):
    model: str
    inputs: list[Input]
    """At least one; each becomes one vector."""
    dimensions: int | None = None
    """How long the vectors must be; None for the model's own length."""
    encoding: Literal["float", "base64"] | None = None
    """How the caller wants the vectors: as numbers, or as little-endian float32 in base64."""
    purpose: str | None = None
    """What the vectors are for: `search_query`, `search_document`, `classification`, `clustering`, or the caller's own
    word."""
    user: str | None = None
    """The caller's label for its own user, for abuse detection."""
    extras: Extras | None = None


class Embedding(msgspec.Struct):
    vector: list[float]
    extras: Extras | None = None


class EmbeddingResponse(msgspec.Struct, kw_only=True):
    model: str
    """"" where the dialect does not say."""
    embeddings: list[Embedding]
    """In the order of the inputs."""
    usage: Usage | None = None
    extras: Extras | None = None
