"""AWS's binary event stream, without I/O: bytes to messages and back.

A message is a prelude (its length, that of its headers, a CRC-32 of both), headers, a payload and a CRC-32 of all that.
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple, assert_never
from zlib import crc32

from wye.kernel.errors import BadAnswer, StreamCut
from wye.kernel.json import is_object

CONTENT_TYPE = b"application/vnd.amazon.eventstream"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""A longer message ends the stream with an error: memory stays bounded whatever the other side sends."""

HeaderValue = bool | int | bytes | str
"""Integers of every width and timestamps (milliseconds) are int, a UUID is its 16 bytes."""

_LENGTHS = struct.Struct(">II")
_CRC = struct.Struct(">I")
_PRELUDE = struct.Struct(">III")
_LEAST = _PRELUDE.size + _CRC.size

_TRUE, _FALSE, _INT64, _BYTES, _STRING = 0, 1, 5, 6, 7
_SIZED = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8}
"""The types of integers, and how many bytes each takes."""
_UUID = 9


class Message(NamedTuple):
    headers: Mapping[str, HeaderValue]
    payload: bytes

    def text(self, name: str) -> str:
        """A header that is a string; "" for one that is absent or is none."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class FrameSplitter:
    """Cuts a byte stream after each message: `feed` gives back the complete ones, as they came.

    Raises BadAnswer for what is no prelude, and for a message beyond MAX_MESSAGE_BYTES. A message's own checksum is for
    its reader to check.
    """

    __slots__ = ("_bad", "_needed", "held")

    def __init__(self) -> None:
        self.held = bytearray()
        self._bad: BadAnswer | None = None
        """What is wrong after the messages that were given back last."""
        self._needed = _PRELUDE.size
        """How many bytes must be held before there is anything new to know."""

    def feed(self, chunk: bytes) -> bytes:
        """All complete messages so far, in one piece; b"" when none ended yet."""
        held = self.held
        if self._bad is not None:
            raise self._bad
        if not held and len(chunk) >= _LEAST and _length(chunk, 0) == len(chunk):
            return chunk
        held += chunk
        if len(held) < self._needed:
            return b""
        end = 0
        self._needed = _PRELUDE.size
        try:
            while len(held) - end >= _PRELUDE.size:
                length = _length(held, end)
                if len(held) - end < length:
                    self._needed = length
                    break
                end += length
        except BadAnswer as error:
            # The messages before it are good, and were it another chunk, they would have been given back.
            self._bad = error
            if not end:
                raise
        whole = bytes(held[:end])
        del held[:end]
        return whole

    def close(self) -> bytes:
        """b"": a message says itself where it ends. Raises StreamCut for one that has begun and not ended."""
        if self._bad is not None:
            raise self._bad
        if self.held:
            raise StreamCut("The upstream's stream ended in the middle of a message")
        return b""


def _length(held: bytes | bytearray, at: int) -> int:
    length, headers_length, crc = _PRELUDE.unpack_from(held, at)
    if crc32(held[at : at + 8]) != crc:
        raise BadAnswer("The upstream sent a stream message whose beginning does not match its checksum")
    if length < _LEAST + headers_length:
        raise BadAnswer("The upstream sent a stream message that is shorter than its own headers")
    if length > MAX_MESSAGE_BYTES:
        raise BadAnswer(f"The upstream sent a stream message of more than {MAX_MESSAGE_BYTES} bytes")
    return length


def split(whole: bytes) -> list[bytes]:
    """Whole messages, one by one, as they came."""
    pieces: list[bytes] = []
    at = 0
    while at < len(whole):
        end = at + int.from_bytes(whole[at : at + 4])
        pieces.append(whole[at:end])
        at = end
    return pieces


def parse(whole: bytes) -> Iterator[Message]:
    """The messages in bytes that hold whole ones. Raises BadAnswer when it comes to one that was damaged."""
    return map(_parse, split(whole))


def _parse(piece: bytes) -> Message:
    if crc32(piece[: -_CRC.size]) != int.from_bytes(piece[-_CRC.size :]):
        raise BadAnswer("The upstream sent a stream message that does not match its checksum")
    border = _PRELUDE.size + int.from_bytes(piece[4:8])
    return Message(_parse_headers(piece[_PRELUDE.size : border]), piece[border : -_CRC.size])


@lru_cache(maxsize=64)
def _parse_headers(block: bytes) -> Mapping[str, HeaderValue]:
    """Headers repeat from message to message: the same bytes are read once."""
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(block):
            border = at + 1 + block[at]
            name = block[at + 1 : border].decode()
            headers[name], at = _parse_value(block, border)
    except (IndexError, struct.error, UnicodeDecodeError):
        raise BadAnswer("The upstream sent a stream message whose headers cannot be read") from None
    return headers


def _parse_value(block: bytes, at: int) -> tuple[HeaderValue, int]:
    """The value whose type stands at `at`, and where it ends."""
    kind = block[at]
    at += 1
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    size = _SIZED.get(kind)
    if size is not None:
        return int.from_bytes(_taken(block, at, size), "big", signed=True), at + size
    if kind == _UUID:
        return _taken(block, at, 16), at + 16
    if kind not in (_BYTES, _STRING):
        raise IndexError(kind)
    size = int.from_bytes(_taken(block, at, 2), "big")
    value = _taken(block, at + 2, size)
    return value.decode() if kind == _STRING else value, at + 2 + size


def _taken(block: bytes, at: int, size: int) -> bytes:
    if at + size > len(block):
        raise IndexError(at)
    return block[at : at + size]


class EventStreamDecoder:
    """Chunks in, messages out."""

    __slots__ = ("_splitter",)

    def __init__(self) -> None:
        self._splitter = FrameSplitter()

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Raises BadAnswer, here or when the iteration comes to a damaged message."""
        return parse(self._splitter.feed(chunk))

    def close(self) -> None:
        """Raises StreamCut when the end comes within a message."""
        self._splitter.close()


def is_plain(whole: bytes) -> bool:
    """Whether whole messages are undamaged events with JSON objects in them. Any other is for the decoder to judge:
    what a caller cannot parse must not reach it."""
    try:
        return all(found.text(":message-type") == "event" and is_object(found.payload) for found in parse(whole))
    except BadAnswer:
        return False


def encode_message(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    """One message on the wire. Integers are written with 64 bits.

    A header's name may take 255 bytes, its value 65535: what Wye sends is shorter, and a longer one a ValueError.
    """
    return _sealed(_encode_headers(headers), payload)


def message(event_type: str, payload: bytes) -> bytes:
    """An event with JSON in it."""
    return _sealed(_typed("event", event_type), payload)


def exception(exception_type: str, payload: bytes) -> bytes:
    """An error that ends the stream: `exception_type` is a member of the operation's output, `throttlingException`."""
    return _sealed(_typed("exception", exception_type), payload)


@lru_cache(maxsize=128)
def _typed(kind: str, name: str) -> bytes:
    return _encode_headers({f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind})


def _encode_headers(headers: Mapping[str, HeaderValue]) -> bytes:
    block = bytearray()
    try:
        for name, value in headers.items():
            encoded = name.encode()
            block += struct.pack(">B", len(encoded)) + encoded
            match value:
                case bool():
                    block.append(_TRUE if value else _FALSE)
                case int():
                    block += struct.pack(">Bq", _INT64, value)
                case bytes():
                    block += struct.pack(">BH", _BYTES, len(value)) + value
                case str():
                    text = value.encode()
                    block += struct.pack(">BH", _STRING, len(text)) + text
                case _:
                    assert_never(value)
    except struct.error as error:
        raise ValueError(f"A header of the stream message is too long: {error}") from None
    return bytes(block)


def _sealed(headers: bytes, payload: bytes) -> bytes:
    lengths = _LENGTHS.pack(_LEAST + len(headers) + len(payload), len(headers))
    said = b"".join((lengths, _CRC.pack(crc32(lengths)), headers, payload))
    return said + _CRC.pack(crc32(said))
