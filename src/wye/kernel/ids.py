"""Identifiers in the shapes that clients know. Unique, not secret."""

from __future__ import annotations

import random
from typing import Final

_random: Final = random.SystemRandom()
_source = random.Random(_random.getrandbits(256))  # noqa: S311 - ids need to be unique, not unguessable


def new_id(prefix: str) -> str:
    """`prefix` and 128 random bits in hex: `chatcmpl-4f...`."""
    return prefix + _source.getrandbits(128).to_bytes(16, "big").hex()


def reseed() -> None:
    """Called in a forked child, which would repeat its parent's ids."""
    _source.seed(_random.getrandbits(256))
