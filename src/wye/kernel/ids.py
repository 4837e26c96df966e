"""Identifiers in the shapes that clients know. Unique, not secret."""

from __future__ import annotations

import random
from typing import Final

_random: Final = random.SystemRandom()
_source = random.Random(_random.getrandbits(256))  # noqa: S311 - ids need to be unique, not unguessable


_drawn: Final[list[str]] = []
_AT_ONCE = 256
"""Drawn together: one by one each would cost three times as much."""


def new_id(prefix: str) -> str:
    """`prefix` and 128 random bits in hex: `chatcmpl-4f...`."""
    try:
        return prefix + _drawn.pop()
    except IndexError:
        drawn = _source.randbytes(16 * _AT_ONCE).hex(" ", 16).split()
        last = drawn.pop()  # not of the list that all threads take from
        _drawn.extend(drawn)
        return prefix + last


def reseed() -> None:
    """Called in a forked child, which would repeat its parent's ids."""
    _source.seed(_random.getrandbits(256))
    _drawn.clear()
