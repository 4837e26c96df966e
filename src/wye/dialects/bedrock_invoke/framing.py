"""A family's chunks in their frames: AWS's, where each is an event `chunk` with the payload `{"bytes": base64 of the
chunk}`, or server-sent events.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from wye.canon.events import End, Event, Failure
from wye.dialects.aws_errors import encode_error, refusal, stream_error_type
from wye.dialects.dialect import StreamDecoder, StreamEncoder
from wye.kernel import eventstream, sse
from wye.kernel.errors import BadAnswer, WyeError
from wye.kernel.json import JsonError, as_object, decode, encode
from wye.kernel.sse import Frame


class ChunkReader(Protocol):
    """The chunks of a family's stream, out of their frames, to events."""

    def read(self, frames: list[Frame]) -> list[Event]:
        """Each frame's data is one chunk. What cannot be understood is a Failure, never an exception."""
        ...

    def close(self) -> list[Event]:
        """The stream has ended: what was still owed."""
        ...


class _Decoder(StreamDecoder):
    """`cut` makes frames of bytes, `rest` those of the stream's end."""

    def __init__(
        self, reader: ChunkReader, cut: Callable[[bytes], Iterable[Frame]], rest: Callable[[], list[Frame]]
    ) -> None:
        self._reader = reader
        self._cut = cut
        self._rest = rest
        self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        if self._over:
            return []
        frames: list[Frame] = []
        error: WyeError | None = None
        try:
            frames.extend(self._cut(chunk))
        except WyeError as found:
            error = found
        # What came before a frame that cannot be read is good.
        events = self._reader.read(frames)
        self._over = bool(events) and isinstance(events[-1], End | Failure)
        if error is not None and not self._over:
            self._over = True
            events.append(Failure(error))
        return events

    def close(self) -> list[Event]:
        if self._over:
            return []
        self._over = True
        try:
            frames = self._rest()
        except WyeError as error:
            # What is left is no whole frame: a complete answer is judged by what came before.
            ended = self._reader.close()
            return ended if isinstance(ended[-1], End) else [Failure(error)]
        return self._reader.read(frames) + self._reader.close()


def sse_decoder(reader: ChunkReader) -> _Decoder:
    frames = sse.SseDecoder()
    return _Decoder(reader, frames.feed, frames.close)


def aws_decoder(reader: ChunkReader) -> _Decoder:
    messages = eventstream.EventStreamDecoder()

    def cut(chunk: bytes) -> Iterable[Frame]:
        for message in messages.feed(chunk):
            if message.text(":message-type") != "event":
                raise _refusal(message)
            if message.text(":event-type") == "chunk":
                yield _frame(message.payload)

    def rest() -> list[Frame]:
        messages.close()
        return []

    return _Decoder(reader, cut, rest)


class _Chunk(msgspec.Struct):
    bytes: str
    """Beside it may stand `p`, padding against traffic analysis."""


_chunks = msgspec.json.Decoder(_Chunk)


def _frame(payload: bytes) -> Frame:
    try:
        return Frame(a2b_base64(_chunks.decode(payload).bytes, strict_mode=True))
    except (msgspec.MsgspecError, UnicodeDecodeError, Base64Error) as error:
        raise BadAnswer(f"The upstream sent a stream chunk that cannot be read: {error}") from None


def _refusal(message: eventstream.Message) -> WyeError:
    try:
        body = as_object(decode(message.payload)) or {}
    except JsonError:
        body = {}
    if message.text(":message-type") == "exception":
        return refusal(message.text(":exception-type"), body)
    # The service's own failure has no body: its headers say it.
    return refusal(message.text(":error-code"), {"message": message.text(":error-message"), **body})


class AwsEncoder(StreamEncoder):
    """Events to AWS's frames. `inner` says the chunks in them as server-sent events."""

    def __init__(self, inner: StreamEncoder) -> None:
        self._inner = inner

    def encode(self, event: Event) -> bytes:
        if isinstance(event, Failure):
            return encode_stream_error(event.error, "")
        wire = self._inner.encode(event)
        at = wire.find(b"data: {")
        if at >= 0 and wire.find(b"\n\n") == len(wire) - 2:
            return _framed(wire[at + 6 : -2])  # nearly always it is one frame
        return b"".join([_framed(found.data) for found in sse.parse(wire) if found.data != b"[DONE]"]) if wire else wire


def _framed(chunk: bytes) -> bytes:
    return eventstream.message("chunk", b'{"bytes":"%b"}' % b2a_base64(chunk, newline=False))


def encode_stream_error(error: WyeError, request_id: str) -> bytes:
    return eventstream.exception(stream_error_type(error), encode(encode_error(error, request_id)))
