"""A family's chunks in AWS's frames: each is an event `chunk` with the payload `{"bytes": base64 of the chunk}`.

The families' codecs speak server-sent events; here their frames are exchanged for the binary ones.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from contextlib import suppress

import msgspec

from wye.canon.events import Event, Failure
from wye.dialects.aws_errors import encode_error, refusal, stream_error_type
from wye.dialects.dialect import StreamDecoder, StreamEncoder
from wye.kernel import eventstream, sse
from wye.kernel.errors import BadAnswer, StreamCut, WyeError
from wye.kernel.json import JsonError, as_object, decode, encode


class _Chunk(msgspec.Struct):
    bytes: str
    """Beside it may stand `p`, padding against traffic analysis."""


_chunks = msgspec.json.Decoder(_Chunk)


class FramedDecoder:
    """AWS's frames to events. `inner` decodes the chunks in them."""

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner
        self._frames = eventstream.EventStreamDecoder()
        self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        try:
            for message in self._frames.feed(chunk):
                events += self._inner.feed(_chunk_of(message))
        except WyeError as error:
            self._over = True
            events.append(Failure(error))
        return events

    def close(self) -> list[Event]:
        if self._over:
            return []
        self._over = True
        # A message that was cut off is none: the answer is judged by what came before it.
        with suppress(StreamCut):
            self._frames.close()
        return self._inner.close()


def _chunk_of(message: eventstream.Message) -> bytes:
    """A message's chunk as a server-sent event; b"" for an event that is no chunk. Raises UpstreamRefused."""
    kind = message.text(":message-type")
    if kind == "event":
        if message.text(":event-type") != "chunk":
            return b""
        try:
            data = a2b_base64(_chunks.decode(message.payload).bytes, strict_mode=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, Base64Error) as error:
            raise BadAnswer(f"The upstream sent a stream chunk that cannot be read: {error}") from None
        # A line break can only stand between a chunk's members: within a string it is escaped.
        return sse.frame(data.replace(b"\n", b" ").replace(b"\r", b" "))
    try:
        body = as_object(decode(message.payload)) or {}
    except JsonError:
        body = {}
    if kind == "exception":
        raise refusal(message.text(":exception-type"), body)
    # The service's own failure has no body: its headers say it.
    raise refusal(message.text(":error-code"), {"message": message.text(":error-message"), **body})


class FramedEncoder:
    """Events to AWS's frames. `inner` encodes the chunks in them."""

    def __init__(self, inner: StreamEncoder) -> None:
        self._inner = inner

    def encode(self, event: Event) -> bytes:
        if isinstance(event, Failure):
            return encode_stream_error(event.error, "")
        wire = self._inner.encode(event)
        return b"".join([_framed(data) for data, _ in sse.parse(wire) if data != b"[DONE]"]) if wire else wire


def _framed(chunk: bytes) -> bytes:
    return eventstream.message("chunk", b'{"bytes":"%b"}' % b64encode(chunk))


def encode_stream_error(error: WyeError, request_id: str) -> bytes:
    return eventstream.exception(stream_error_type(error), encode(encode_error(error, request_id)))
