"""An answer as it comes in: what the parser finds, and what the reader takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Protocol

from wye.drivers.http.wakeup import Wakeup
from wye.kernel.clock import monotonic_s
from wye.kernel.errors import BadAnswer, ClockExpired, StreamCut, UpstreamError
from wye.ports.transport import HeaderMap, Reply, Sent, Sink

_UNREAD_BYTES = 65_536
"""A body that comes in more is read as it comes: the socket is not read on where nobody takes what came."""


class Carrier(Protocol):
    """What an answer needs of the connection that carries it."""

    def end(self, error: UpstreamError) -> None: ...
    def drained(self) -> None: ...
    def wait(self, timeout_s: float, clock: str) -> None:
        """Start the clock of a wait."""
        ...

    def leave(self, reply: HttpReply) -> None:
        """Whoever waited for more of the answer was cancelled."""
        ...


class HttpReply(Wakeup):
    """One answer; see the port. To await it is to wait until it has a head; it is given back, or its error raised."""

    __slots__ = (
        "bodiless",
        "carrier",
        "complete",
        "enough",
        "error",
        "headers",
        "refusal",
        "reusable",
        "sink",
        "status",
        "unread",
    )

    def __init__(self, carrier: Carrier, loop: asyncio.AbstractEventLoop, bodiless: bool) -> None:
        Wakeup.__init__(self, loop)  # one is made for each call, and `super()` costs as much as a call
        self.carrier = carrier
        self.bodiless = bodiless
        self.status = 0
        """0 until the head has come to its end."""
        self.headers: HeaderMap = {}
        self.unread: list[bytes] = []
        self.complete = False
        self.reusable = True
        """Whether the connection can carry another exchange after this one."""
        self.error: UpstreamError | None = None
        self.sink: Sink | None = None
        """Takes what comes, while somebody pours."""
        self.enough: bool
        """Whether it took a piece and wants no more for now."""
        self.refusal: UpstreamError | None
        """What the sink raised."""

    def __await__(self) -> Generator[HttpReply, None, HttpReply]:
        self._asyncio_future_blocking = True
        try:
            yield self
            self.result()
        except asyncio.CancelledError:
            self.carrier.leave(self)
            raise
        if self.error is not None and not self.status:
            raise self.error
        return self

    async def head(self) -> HttpReply:
        """The same for one that something may have come of already."""
        if not self.status and self.error is None:
            return await self
        if self.error is not None and not self.status:
            raise self.error
        return self

    # What one asks who does not wait in a task; see the port.

    def tell(self, told: Callable[[Sent], object], timeout_s: float | None = None) -> None:
        self._resume = told
        self._context = None
        if timeout_s is not None:
            self.carrier.wait(timeout_s, "gap_s")

    @property
    def more(self) -> bool:
        if not self.status or self.complete or self.error is not None:
            return False
        return sum(map(len, self.unread)) < _UNREAD_BYTES

    def body_at_once(self, limit: int) -> bytes | None:
        if not self.complete or b"content-encoding" in self.headers:
            return None
        body = b"".join(self.unread)  # of one piece it is that piece
        return body if len(body) <= limit else None

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        if not self.unread:
            if not self.complete and self.error is None:
                self.carrier.wait(timeout_s, clock)
                await self
            if not self.unread:
                if self.error is not None:
                    raise self.error
                return b""
        return self._take()

    def _take(self) -> bytes:
        """All that waits to be read."""
        unread = self.unread
        data = unread[0] if len(unread) == 1 else b"".join(unread)
        unread.clear()
        if not self.complete:
            self.carrier.drained()
        return data

    async def pour(self, sink: Sink, clock: str) -> bool:
        self.enough = False
        self.refusal = None
        while True:
            if self.unread and not sink.take(self._take()):
                return False
            if self.complete:
                return True
            if self.error is not None:
                raise self.error
            self.sink = sink
            self.carrier.wait(sink.deadline_s - monotonic_s(), clock)
            try:
                await self
            finally:
                self.sink = None
            if self.refusal is not None:
                raise self.refusal
            if self.enough:
                self.enough = False
                return False

    def came(self, data: bytes) -> None:
        """More of the body has come, and not its end: to whoever reads or pours."""
        sink = self.sink
        if sink is None:
            self.unread.append(data)
            self.wake()
            return
        try:
            if not sink.take(data):
                self.stop_pouring()
        except UpstreamError as error:
            self.stop_pouring(error)

    def stop_pouring(self, refusal: UpstreamError | None = None) -> None:
        """The sink wants no more for now, or raised this."""
        self.enough = refusal is None
        self.refusal = refusal
        self.sink = None  # given no more, also when the next piece comes before the task runs that pours
        self.wake()

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        if self.complete:
            body = b"".join(self.unread)
            if len(body) <= limit:
                self.unread.clear()
                return body
        return await read_whole(self, limit, timeout_s)

    def close(self) -> None:
        self.unread.clear()
        if not self.complete and self.error is None:
            self.carrier.end(StreamCut("The answer was closed before it was read to its end"))

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
