"""One HTTP/1.1 connection: a socket that carries one exchange after another."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from wye.drivers.http.reply import HttpReply
from wye.kernel.errors import BadAnswer, ClockExpired, StreamCut, UpstreamError

MAX_HEAD_BYTES = 65_536
"""The most that may come without a byte of body: a head, interim answers, trailers, chunk extensions."""
MAX_UNREAD_BYTES = 262_144
"""The socket is not read further while more than this waits for the reader."""
# A larger body is written beside its head: two buffers for the socket cost less than copying both into one.
_JOIN_BELOW_BYTES = 32_768
_LINE_FEED = 10
# Timers of an event loop may fire this much early.
_TIMER_RESOLUTION_S = 0.002


class KeptConnectionLost(StreamCut):
    """A connection kept from an earlier exchange ended before any byte of an answer: the request may go again.

    Its place in the pool stays with the caller, for `Pool.replace`.
    """


class Keeper(Protocol):
    """What a connection needs of the pool that it belongs to."""

    def keep(self, connection: Connection) -> None:
        """An exchange is over and another may follow."""
        ...

    def lose(self, connection: Connection) -> None:
        """The connection is over. Idempotent."""
        ...


class Connection(asyncio.Protocol):
    """Carries at most one exchange at a time. `peer` names the other side in errors.

    `kept_until` is the loop's time until which the pool keeps it when idle.
    """

    __slots__ = (
        "_between_chunks",
        "_clock",
        "_deadline",
        "_headers",
        "_keeper",
        "_loop",
        "_owed",
        "_parser",
        "_paused",
        "_peer",
        "_pieces",
        "_reply",
        "_silent_bytes",
        "_timeout_s",
        "_timer",
        "_timer_at",
        "_transport",
        "_unread_bytes",
        "_used",
        "closed",
        "kept_until",
        "on_body",
        "on_header",
        "on_message_begin",
    )

    def __init__(self, peer: str, keeper: Keeper) -> None:
        self._peer = peer
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._reply: HttpReply | None = None
        self._clock = ""
        self._timeout_s = 0.0
        self._deadline = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._silent_bytes = 0
        self._unread_bytes = 0
        self._paused = False
        self._used = False
        self._between_chunks = False
        """Whether the next byte begins a chunk."""
        self.closed = False
        self.kept_until = inf
        self._owed: list[bool] = []
        """One item for each head that may come."""
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        # What the parser does by itself, without a Python frame each time. An answer beyond those that are owed makes
        # `pop` fail, and with it the parser.
        self.on_message_begin = self._owed.pop
        self.on_header = self._headers.__setitem__
        self.on_body = self._pieces.append
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def exchange(self, head: bytes, body: bytes, bodiless: bool, headers_s: float) -> HttpReply:
        """Send a request; await its answer's head at once. `bodiless`: the answer to this method has no body."""
        self._reply = reply = HttpReply(self, self._loop, bodiless)
        self._silent_bytes = 0
        self._owed.append(True)
        if len(body) < _JOIN_BELOW_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        self.wait(headers_s, "headers_s")
        return reply

    def wait(self, timeout_s: float, clock: str) -> None:
        """Whoever awaits the reply for longer than `timeout_s` ends the connection; a sink's deadline may move."""
        self._clock = clock
        self._timeout_s = timeout_s
        self._deadline = deadline = self._loop.time() + timeout_s
        if deadline < self._timer_at:
            self._arm(deadline)

    def leave(self, reply: HttpReply) -> None:
        # In this very round the answer may have come to its end and the connection to another caller.
        if self._reply is reply:
            self.end(StreamCut("The call was cancelled"))
        elif isinstance(reply.error, KeptConnectionLost):
            self._keeper.lose(self)  # its place was meant for this caller, who is gone

    def drained(self) -> None:
        """The reader took all there was."""
        self._unread_bytes = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def end(self, error: UpstreamError) -> None:
        """Close the socket at once; a reader who still wants more gets `error`. Idempotent."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        self._parser = None  # it knows this object's methods: a circle
        reply, self._reply = self._reply, None
        if not isinstance(error, KeptConnectionLost):
            self._keeper.lose(self)
        if reply is not None:
            reply.error = error
            reply.wake()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self.end(BadAnswer(f"{self._peer} sent bytes that nobody asked for"))
            return
        if self._between_chunks and reply.sink is not None:
            free = reply.sink.take_chunks(data)
            if free is not None:  # taken, and the parser is where it was: between two chunks
                if not free:
                    reply.stop_pouring()
                return
        in_head = not reply.status
        if in_head and len(data) > (room := MAX_HEAD_BYTES - self._silent_bytes):
            # Only so can a head that is too long be told from a short one with much body behind it.
            self.data_received(data[:room])
            self.data_received(data[room:])
            return
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not reply.complete:
                self._pieces.clear()
                cause = "status 101" if isinstance(error, HttpParserUpgrade) else error
                self.end(BadAnswer(f"{self._peer} sent an answer that is not HTTP/1.1: {cause}"))
                return
            reply.reusable = False
        if data[-1] != _LINE_FEED:
            self._between_chunks = False  # the next one's size may have begun
        pieces = self._pieces
        if not pieces:
            if reply.complete:
                self._finish(reply)
                return
            self._silent_bytes += len(data)
            if self._silent_bytes >= MAX_HEAD_BYTES:
                self.end(BadAnswer(f"{self._peer} sent {MAX_HEAD_BYTES} bytes of headers without an end"))
            elif in_head and reply.status:
                reply.wake()
            return
        body = b"".join(pieces)  # of one piece it is that piece
        pieces.clear()
        if reply.complete:
            reply.unread.append(body)
            self._finish(reply)
            return
        self._silent_bytes = 0
        if reply.sink is None:
            self._unread_bytes += len(body)
            if self._unread_bytes > MAX_UNREAD_BYTES and not self._paused:
                self._paused = True
                self._transport.pause_reading()
        reply.came(body)

    # What the parser finds. An exception here stops it.

    def on_headers_complete(self) -> None:
        reply = self._reply
        parser = self._parser
        assert reply is not None
        assert parser is not None
        status = parser.get_status_code()
        if status < 200:
            self._owed.append(True)  # the answer itself is still to come
        else:
            reply.status = status
            headers = reply.headers = {}
            for name, value in self._headers.items():
                headers[name.lower()] = value
        self._headers.clear()
        if reply.bodiless and reply.status:
            reply.complete = True
            raise HttpParserError("the parser must not look for a body")

    def on_chunk_header(self) -> None:
        self._between_chunks = False

    def on_chunk_complete(self) -> None:
        self._between_chunks = True

    def on_message_complete(self) -> None:
        self._between_chunks = False
        reply = self._reply
        parser = self._parser
        assert reply is not None
        assert parser is not None
        if reply.status:  # not an interim answer
            reply.complete = True
            reply.reusable = parser.should_keep_alive()
            self._headers.clear()  # trailers

    def eof_received(self) -> None:
        # Not left to connection_lost: that waits until the rest of the request is written, which nobody reads now.
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        reply = self._reply
        if reply is None:
            self.end(StreamCut(f"{self._peer} closed an idle connection"))
        elif exc is None and reply.ends_with_connection:
            reply.complete = True
            reply.reusable = False
            self._finish(reply)
        elif self._used and not reply.status and not self._silent_bytes:
            self.end(KeptConnectionLost(f"{self._peer} closed a kept connection"))
        else:
            when = "before its answer was complete" if reply.status else "before it answered"
            self.end(StreamCut(f"{self._peer} closed the connection {when}"))

    def _finish(self, reply: HttpReply) -> None:
        """The answer has come to its end, read or not: what is unread is the reply's, the connection is free."""
        self._reply = None
        self._used = True
        if self._unread_bytes:
            self.drained()
        if reply.reusable and not self._transport.get_write_buffer_size():
            self._keeper.keep(self)
        else:
            self.end(StreamCut(f"{self._peer} does not keep this connection"))
        reply.wake()

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        # The timer is not moved by each wait: it looks at the latest deadline when it fires.
        self._timer = None
        self._timer_at = inf
        reply = self._reply
        if reply is None or not reply.awaited:
            return
        deadline = self._deadline if reply.sink is None else reply.sink.deadline_s
        if self._loop.time() < deadline - _TIMER_RESOLUTION_S:
            self._arm(deadline)
        else:
            self.end(ClockExpired(self._clock, self._timeout_s))
