"""How bytes reach an upstream and come back: HTTP/1.1 over TCP, TLS or a unix socket.

A driver keeps connections alive in a pool per origin, retries once when a kept connection turns out closed before any
byte of an answer came, and closes a connection whose answer was not read to its end. Every failure is an UpstreamError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

Headers = list[tuple[bytes, bytes]]
"""Header lines in order; names in lower case."""

HeaderMap = Mapping[bytes, bytes]
"""Headers by their name in lower case. Of a name that came twice, an upstream's last value, a caller's both."""


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Where connections go: the key of a pool."""

    scheme: str
    """`http`, `https` or `unix` (plain HTTP over a unix socket)."""
    host: str = ""
    port: int = 0
    socket_path: str = ""

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        if self.scheme == "unix":
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


# The last two are kept by the relay, through `Reply.read`.
class Clocks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The four clocks of a deployment, in seconds."""

    connect_s: float = 5.0
    """To a connection, TLS included."""
    headers_s: float = 300.0
    """From the request to the head of the answer; for an answer that is not streamed, this is the whole generation."""
    first_token_s: float = 120.0
    """From the head of a stream to its first content."""
    gap_s: float = 60.0
    """From one event of a stream to the next; pings and comments are none."""


class Sink(Protocol):
    """Takes a body as it comes, without a task being woken for each piece."""

    deadline_s: float
    """On the clock of `kernel.clock.monotonic_s`: when more must have come. It may move with each piece."""

    def take(self, data: bytes) -> bool:
        """False: no more for now. An UpstreamError comes out of `Reply.pour`."""
        ...

    def take_chunks(self, chunks: bytes) -> bool | None:
        """`take` of what begins where a chunk of HTTP/1.1 does, its framing with it, if the sink knows it for whole
        chunks. None: nothing was taken, it is to be parsed first.
        """
        return None


class Reply(Protocol):
    """An answer whose headers have come. Close it: an unread rest is discarded with its connection."""

    status: int

    @property
    def headers(self) -> HeaderMap: ...

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        """The next bytes of the body as they come; b"" at its end.

        Raises ClockExpired naming `clock` after `timeout_s` without a byte, StreamCut when the connection ends first.
        """
        ...

    async def pour(self, sink: Sink, clock: str) -> bool:
        """Give the body to `sink` as it comes, until it takes no more (False) or the body has ended (True).

        Raises ClockExpired naming `clock` at the sink's deadline, StreamCut when the connection ends first.
        """
        ...

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        """The whole body within `timeout_s`. Raises BadAnswer beyond `limit` bytes, and what `read` raises."""
        ...

    def close(self) -> None:
        """Give the connection back, or end it when the body was not read. Idempotent, never raises, never awaits."""
        ...


class Sent(Protocol):
    """A request on its way, and what has come of its answer, for one who is told of it and does not wait in a task."""

    status: int
    """0 until the head has come."""

    @property
    def headers(self) -> HeaderMap: ...

    def tell(self, told: Callable[[Sent], object], timeout_s: float | None = None) -> None:
        """Call `told`, once, when the head or more of the body has come, the end, or an error: that of the clock
        `gap_s` after `timeout_s`. None leaves the clock of the head."""
        ...

    @property
    def more(self) -> bool:
        """Whether the head has come, and more will; False also where so much has come that somebody should read it."""
        ...

    def body_at_once(self, limit: int) -> bytes | None:
        """The whole body where all of it has come, plain, and within `limit`. Nothing is taken by it."""
        ...


class Transport(Protocol):
    def send_at_once(
        self, origin: Origin, method: bytes, target: bytes, headers: bytes, body: bytes, clocks: Clocks
    ) -> Sent | None:
        """`send` over a connection that is kept; None where there is none, and then nothing is sent."""
        ...

    async def send(
        self,
        origin: Origin,
        method: bytes,
        target: bytes,
        headers: bytes,
        body: bytes,
        clocks: Clocks,
        sent: Sent | None = None,
    ) -> Reply:
        """Send one request and wait for the head of its answer.

        `target` is the path with the query. `headers` are ready lines, each ended by CRLF (`b"accept: */*\\r\\n"`),
        without host, content-length and connection, which the driver adds. Redirects are not followed. Cancelling the
        caller ends the connection. What `send_at_once` has `sent` with the same arguments is gone on with.

        Raises ConnectFailed, ClockExpired (`connect_s`, `headers_s`), StreamCut (reset before headers), BadAnswer.
        """
        ...

    async def close(self) -> None:
        """End all connections, idle and busy."""
        ...
