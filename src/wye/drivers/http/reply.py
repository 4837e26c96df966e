"""An answer as it comes in: what the parser finds, and what the reader takes."""

from __future__ import annotations

from typing import Protocol

from httptools import HttpParserError, HttpResponseParser

from wye.kernel.clock import monotonic_s
from wye.kernel.errors import BadAnswer, ClockExpired, StreamCut, UpstreamError
from wye.ports.transport import Reply, Sink


class Carrier(Protocol):
    """What an answer needs of the connection that carries it."""

    def wake(self) -> None: ...
    def end(self, error: UpstreamError) -> None: ...
    def drained(self) -> None: ...
    async def wait(self, timeout_s: float, clock: str) -> None: ...
    async def wait_with(self, sink: Sink, clock: str) -> None: ...


class HttpReply:
    """One answer; see the port. The `on_` methods belong to the parser: what they raise stops it."""

    __slots__ = (
        "_carrier",
        "bodiless",
        "chunks",
        "complete",
        "enough",
        "error",
        "headers",
        "on_body",
        "parser",
        "refusal",
        "reusable",
        "sink",
        "status",
    )

    def __init__(self, carrier: Carrier, bodiless: bool) -> None:
        self._carrier = carrier
        self.bodiless = bodiless
        self.status = 0
        """0 until the head has come to its end."""
        self.headers: dict[bytes, bytes] = {}
        self.chunks: list[bytes] = []
        self.on_body = self.chunks.append  # called by the parser itself: no Python frame per chunk
        self.complete = False
        self.reusable = True
        """Whether the connection can carry another exchange after this one."""
        self.error: UpstreamError | None = None
        self.sink: Sink | None = None
        """Takes what comes, while somebody pours."""
        self.enough = False
        """Whether it took a piece and wants no more for now."""
        self.refusal: UpstreamError | None = None
        """What the sink raised."""
        self.parser: HttpResponseParser | None = HttpResponseParser(self)

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        chunks = self.chunks
        if not chunks:
            if not self.complete and self.error is None:
                await self._carrier.wait(timeout_s, clock)
            if not chunks:
                if self.error is not None:
                    raise self.error
                return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if not self.complete:
            self._carrier.drained()
        return data

    async def pour(self, sink: Sink, clock: str) -> bool:
        while True:
            if self.chunks and not self._give(sink):
                if self.refusal is not None:
                    raise self.refusal
                return False
            if self.complete:
                return True
            if self.error is not None:
                raise self.error
            self.sink = sink
            try:
                await self._carrier.wait_with(sink, clock)
            finally:
                self.sink = None
            if self.refusal is not None:
                raise self.refusal
            if self.enough:
                self.enough = False
                return False

    def came(self) -> None:
        """A piece of the body has come, or several, and not its end: to whoever reads or pours."""
        sink = self.sink
        if sink is None:
            self._carrier.wake()
        elif not self._give(sink):
            # Given no more, also when the next piece comes before the task runs that pours.
            self.sink = None
            self.enough = True
            self._carrier.wake()

    def _give(self, sink: Sink) -> bool:
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if not self.complete:
            self._carrier.drained()
        try:
            return sink.take(data)
        except UpstreamError as error:
            self.refusal = error
            return False

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        if self.complete:
            body = b"".join(self.chunks)
            if len(body) <= limit:
                self.chunks.clear()
                return body
        return await read_whole(self, limit, timeout_s)

    def close(self) -> None:
        self.chunks.clear()
        if not self.complete and self.error is None:
            self._carrier.end(StreamCut("The answer was closed before it was read to its end"))

    def on_message_begin(self) -> None:
        if self.complete:
            raise HttpParserError("a second answer, to no question")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # the rest are trailers
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        assert self.parser is not None
        status = self.parser.get_status_code()
        if status < 200:
            self.headers.clear()
            return
        self.status = status
        if self.bodiless:
            self.complete = True
            raise HttpParserError("the parser must not look for a body")
        self._carrier.wake()

    def on_message_complete(self) -> None:
        if self.status:  # not an interim answer
            assert self.parser is not None
            self.complete = True
            self.reusable = self.parser.should_keep_alive()

    @property
    def ends_with_connection(self) -> bool:
        """Whether the connection's end is the body's end: https://www.rfc-editor.org/rfc/rfc9112#section-6.3"""
        if not self.status:
            return False
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers


async def read_whole(reply: Reply, limit: int, timeout_s: float) -> bytes:
    """`Reply.read_all` in terms of `Reply.read`."""
    until = monotonic_s() + timeout_s
    parts: list[bytes] = []
    size = 0
    try:
        while part := await reply.read(until - monotonic_s()):
            size += len(part)
            if size > limit:
                reply.close()
                raise BadAnswer(f"The upstream's answer is longer than {limit} bytes")
            parts.append(part)
    except ClockExpired as error:
        raise ClockExpired(error.clock, timeout_s) from None  # it knew only what was left
    return b"".join(parts)


async def pour_by_reading(reply: Reply, sink: Sink, clock: str) -> bool:
    """`Reply.pour` in terms of `Reply.read`."""
    while data := await reply.read(max(0.0, sink.deadline_s - monotonic_s()), clock):
        if not sink.take(data):
            return False
    return True
