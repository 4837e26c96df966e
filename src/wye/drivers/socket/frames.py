"""What goes over the socket: four bytes of length, then one array in MessagePack. Both ends are the same
version of Wye.

https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

LARGEST = 64 * 1024 * 1024
"""The longest frame, in bytes. What is longer is not shared."""
_PREFIX = 4


class Asked(msgspec.Struct, array_like=True):
    """An operation of `ports.state.State`, by its name. Each is answered, in the order of asking."""

    operation: str
    arguments: list[Any] = []


class Told(msgspec.Struct, array_like=True):
    """The answer to the oldest question that has none; or, with a topic, a message that was published there."""

    value: Any = None
    topic: str | None = None
    error: str | None = None


_encoder = msgspec.msgpack.Encoder()
decode_asked = msgspec.msgpack.Decoder(Asked).decode
decode_told = msgspec.msgpack.Decoder(Told).decode


def frame_of(message: Asked | Told) -> bytes | None:
    """The frame; None when it would be too long."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_PREFIX, "big") + body if len(body) <= LARGEST else None


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame's body. Raises EOFError at the end, and where what comes is none."""
    length = int.from_bytes(await reader.readexactly(_PREFIX), "big")
    if length > LARGEST:
        raise EOFError("A frame longer than any")
    return await reader.readexactly(length)
