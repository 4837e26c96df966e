"""One connection of a caller: requests in, one answered after another."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, cast
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.server import ServerState

from wye.api.asgi import Application, Scope
from wye.api.caller import DIRECT
from wye.api.http.call import Call
from wye.ports.transport import Headers

log = logging.getLogger("wye")

MAX_HEAD_BYTES = 65_536
"""The most that a request's line and headers may take."""
MAX_UNREAD_BYTES = 262_144
"""The socket is not read further while more than this of a body waits for the application."""
MAX_WAITING = 64
"""Requests that a caller may send ahead of the answers."""
HEAD_S = 30.0
"""From a connection, or a request's first byte, to the end of its headers."""
LINGER_S = 10.0
"""How long the rest of a body is read whose request was answered before it had come."""
BODY_S = 60.0
"""The longest silence within a request's body."""
STALLED_S = 120.0
"""How long a caller may take nothing of its answer while more waits for it."""
KEEP_ALIVE_S = 75.0
"""How long an idle connection is kept: longer than clients' pools keep theirs, so that they end it and not we."""

_TIMER_RESOLUTION_S = 0.002  # timers of an event loop may fire this much early
_ASGI = {"version": "3.0", "spec_version": "2.4"}
_HTTP2_PREFACE = b"PRI * HTTP/2.0"


class Connection(asyncio.Protocol):
    """uvicorn makes one for each connection it accepts, and calls `shutdown` on all of them when it ends."""

    # Defaults of the class: see Call.
    writable = True
    _scheme = "http"
    _peer: tuple[str, int] | None = None
    _authority: tuple[str, int | None] | None = None
    _url = b""
    _head_bytes = 0
    """Of the head that is coming in."""
    _incoming: Call | None = None
    """The request whose body is coming in."""
    _call: Call | None = None
    """The request that is being answered."""
    _paused = False
    _closing = False
    _date: Any = None
    _date_line = b""
    _drained: asyncio.Future[None] | None = None
    _deadline = inf
    _timer: asyncio.TimerHandle | None = None
    _timer_at = inf

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._application = cast(Application, config.loaded_app)  # pyright: ignore[reportUnknownMemberType]
        self._root_path = config.root_path
        self._state = server_state
        self._values = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self.write: Callable[[bytes], None]
        self._headers: dict[bytes, bytes] = {}
        # Filled by the parser itself: no Python frame for each piece of a body.
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser = HttpRequestParser(self)
        self._queue: deque[Call] = deque()
        """Requests sent before the one before them was answered."""

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from asyncio's
        self.write = self._transport.write
        self._state.connections.add(cast(Any, self))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._peer = _address(transport.get_extra_info("peername"))
        self._authority = _address(transport.get_extra_info("sockname"))
        self._within(HEAD_S)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._incoming is None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._take_in_parts(data)
                return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            # No other protocol is spoken here, and a request that offers one is still a request.
            self._parser = HttpRequestParser(self)
            self.data_received(data[upgrade.args[0] :])
            return
        except HttpParserError as error:
            self._refuse(400, _explained(error, data))
            return
        call = self._incoming
        if call is not None:
            self._take_body(call)
            if call.unread_bytes > MAX_UNREAD_BYTES:
                self._pause()
            elif not call.ended:
                self._within(BODY_S)
        elif self._head_bytes and self._call is None:
            self._within(HEAD_S)

    def _take_in_parts(self, data: bytes) -> None:
        """Only so can a head that is too long be told from a short one with much body behind it."""
        room = MAX_HEAD_BYTES - (self._head_bytes - len(data))
        self._head_bytes -= len(data)
        if room <= 0:
            self._refuse(431, f"The head of the request is longer than {MAX_HEAD_BYTES} bytes")
            return
        self.data_received(data[:room])
        self.data_received(data[room:])

    def eof_received(self) -> None:
        # A caller that ends its side has no more to say, and seldom waits for an answer: as if it had left.
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self.writable = True
        self._state.connections.discard(cast(Any, self))
        if self._timer is not None:
            self._timer.cancel()
        self._wake()
        for call in (self._call, *self._queue):
            if call is not None:
                call.on_lost()
        self._queue.clear()

    def pause_writing(self) -> None:
        self.writable = False
        self._within(STALLED_S)

    def resume_writing(self) -> None:
        self.writable = True
        self._deadline = inf
        self._wake()

    # What the parser finds. An exception here stops it.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        parser = self._parser
        headers = self._headers
        scope = self._scope(parser.get_method().decode("ascii"), parser.get_http_version(), list(headers.items()))
        self._headers = {}
        self._url = b""
        self._incoming = call = Call(self, scope, headers, parser.should_keep_alive())
        scope["extensions"] = {DIRECT: call}
        if self._call is None:
            self._begin(call)
        elif len(self._queue) < MAX_WAITING:
            self._queue.append(call)
            self._pause()
        else:
            raise HttpParserError("too many requests that do not wait for their answers")

    def on_message_complete(self) -> None:
        call, self._incoming = self._incoming, None
        self._head_bytes = 0
        self._deadline = inf
        if call is not None:
            self._take_body(call)
            call.on_whole()
            if call.ended:
                self._next(call)

    def _take_body(self, call: Call) -> None:
        if self._pieces:
            call.on_body(self._pieces)
            self._pieces.clear()

    # What a call asks for: `call.Carrier`.

    def date_line(self) -> bytes:
        lines = self._state.default_headers
        if lines is not self._date:  # uvicorn makes it anew each second
            self._date = lines
            self._date_line = b"".join(b"%b: %b\r\n" % line for line in lines)
        return self._date_line

    async def drained(self) -> None:
        if not self.writable:
            self._drained = self._loop.create_future()
            await self._drained

    def want_body(self) -> None:
        if self._paused and not self._queue:
            self._resume()
        self._within(BODY_S)

    def finish(self, call: Call) -> None:
        if call.whole:
            self._next(call)
            return
        # What is left of its body is read and forgotten: closing on it would take back the answer too.
        self._within(LINGER_S)
        if self._paused:
            self._resume()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()

    def shutdown(self) -> None:
        """uvicorn ends: what is being answered may be answered to its end, and then the connection is closed."""
        if self._call is None:
            self._close()
        else:
            self._call.keep_alive = False

    # The rest.

    def _next(self, call: Call) -> None:
        """A request and its answer are over."""
        self._call = None
        if self._closing or not call.keep_alive:
            self._close()
            return
        self._within(KEEP_ALIVE_S)
        if self._queue:
            self._begin(self._queue.popleft())
        if self._paused and not self._queue:
            self._resume()

    def _scope(self, method: str, version: str, headers: Headers) -> Scope:
        raw_path, _, query = self._url.partition(b"?")
        if not raw_path.startswith(b"/"):  # a proxy's form: http://host/path
            raw_path = b"/" + raw_path.partition(b"://")[2].partition(b"/")[2]
        path = raw_path.decode("ascii", "replace")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self._authority,
            "client": self._peer,
            "scheme": self._scheme,
            "method": method,
            "root_path": self._root_path,
            "path": self._root_path + (unquote(path) if "%" in path else path),
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": self._values.copy(),
        }

    def _begin(self, call: Call) -> None:
        self._call = call
        self._state.total_requests += 1
        running = self._state.tasks
        call.task = task = self._loop.create_task(call.run(self._application, running))
        running.add(task)

    def _refuse(self, status: int, reason: str) -> None:
        """What came is no request: say so, unless an answer is being said, and read no more."""
        log.info("Refused bytes of %s: %s", self._peer, reason)
        self._closing = True
        call = self._call
        if call is not None:
            call.keep_alive = False
            if self._incoming is not call:
                return
            call.on_lost()
            if call.begun:
                self.abort()
                return
        refusal = Call(self, self._scope("GET", "1.1", []), {}, keep_alive=False)
        refusal.whole = True
        body = f"{reason}\n".encode("ascii", "replace")
        refusal.begin(status, b"content-type: text/plain\r\n", len(body))
        refusal.say(body)
        refusal.complete()

    def _close(self) -> None:
        self._closing = True
        self._transport.close()

    def _pause(self) -> None:
        self._deadline = inf
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if not self._closing:
            self._transport.resume_reading()

    def _wake(self) -> None:
        waiter, self._drained = self._drained, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _within(self, seconds: float) -> None:
        """The connection ends unless something happens in time. The timer is moved only when it fires."""
        self._deadline = deadline = self._loop.time() + seconds
        if deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = inf
        if self._deadline == inf:
            return
        if self._loop.time() < self._deadline - _TIMER_RESOLUTION_S:
            self._within(self._deadline - self._loop.time())
        elif not self.writable:
            self.abort()
        elif self._head_bytes and not (self._call is not None and self._call.ended):
            self._refuse(408, "The request did not come to its end in time")
        else:
            self._close()


def _address(name: Any) -> tuple[str, int] | None:
    """A unix socket's callers have none."""
    return (name[0], name[1]) if isinstance(name, tuple) else None  # pyright: ignore[reportUnknownVariableType]


def _explained(error: HttpParserError, data: bytes) -> str:
    if data.startswith(_HTTP2_PREFACE):
        return "HTTP/2 is not spoken here: set the client to HTTP/1.1"
    return f"Not an HTTP/1.1 request: {error}"
