"""Identifiers in the shapes that clients know. Unique, not secret."""

from __future__ import annotations

import random
from typing import Final

_random: Final = random.SystemRandom()
_source = random.Random(_random.getrandbits(256))  # noqa: S311 - ids need to be unique, not unguessable

_AT_ONCE: Final = 128
"""Drawn one by one, ids would cost a call several times as much."""
_drawn: Final[list[str]] = []


def new_id(prefix: str) -> str:
    """`prefix` and 128 random bits in hex: `chatcmpl-4f...`."""
    try:
        return prefix + _drawn.pop()
    except IndexError:
        drawn = _source.randbytes(16 * _AT_ONCE).hex()
        _drawn.extend(drawn[i : i + 32] for i in range(32, len(drawn), 32))
        return prefix + drawn[:32]


def reseed() -> None:
    """Called in a forked child, which would repeat its parent's ids."""
    _source.seed(_random.getrandbits(256))
    _drawn.clear()
