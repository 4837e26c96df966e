"""One connection of a caller: requests in, one answered after another."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from math import inf
from typing import Any, cast
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.server import ServerState

from wye.api.asgi import Application, Scope
from wye.api.caller import Direct
from wye.api.http.call import Call
from wye.api.http.known_head import KnownHead, learn
from wye.api.http.timed import Timed

log = logging.getLogger("wye")

MAX_HEAD_BYTES = 65_536
"""The most that a request's line and headers may take."""
MAX_UNREAD_BYTES = 262_144
"""The socket is not read further while more than this of a body waits for the application."""
MAX_HELD_BYTES = MAX_HEAD_BYTES
"""A request up to so long is waited for before its call begins, if its head is known: many clients write head and body
apart. No longer one: it would be taken in parts, the first of which is waited for again."""
MAX_LEARNED = 8
"""Heads that a connection learns before it is taken for one whose heads all differ."""
MAX_WAITING = 64
"""Requests that a caller may send ahead of the answers."""
HEAD_S = 30.0
"""From a connection, or a request's first byte, to the end of its headers."""
LINGER_S = 10.0
"""How long the rest of a body is read whose request was answered before it had come."""
BODY_S = 60.0
"""The longest silence within a request's body."""
STALLED_S = 120.0
"""How long a caller may take nothing of its answer while more waits for it, or while the connection is to be closed."""
KEEP_ALIVE_S = 75.0
"""How long an idle connection is kept: longer than clients' pools keep theirs, so that they end it and not we."""

_ASGI = {"version": "3.0", "spec_version": "2.4"}
_WITH_HOST = re.compile(rb"[^:/]+://([^/?#]*)/?(.*)")
_TLS_HELLO = b"\x16\x03"


class Refused(HttpParserError):
    """What the parser would let pass. Raised in its callbacks."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Connection(Timed):
    """uvicorn makes one for each connection it accepts, and calls `shutdown` on all of them when it ends."""

    __slots__ = (
        "_application",
        "_authority",
        "_bare_bytes",
        "_between",
        "_call",
        "_closing",
        "_date",
        "_date_line",
        "_direct",
        "_drained",
        "_headers",
        "_held",
        "_incoming",
        "_known",
        "_learned",
        "_parser",
        "_paused",
        "_peer",
        "_pieces",
        "_queue",
        "_root_path",
        "_scheme",
        "_state",
        "_unstarted",
        "_url",
        "_values",
        "_without_upgrade",
        "on_body",
        "on_message_begin",
        "on_url",
        "writable",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(_loop or asyncio.get_running_loop())
        self._application = cast(Application, config.loaded_app)  # pyright: ignore[reportUnknownMemberType]
        self._direct: Direct | None = getattr(self._application, "direct", None)
        self._root_path = config.root_path
        self._state = server_state
        self._values = app_state
        self.writable = True
        self._scheme = "http"
        self._peer: tuple[str, int] | None = None
        self._authority: tuple[str, int | None] | None = None
        self._bare_bytes = 0
        """That came one after another without any of a body: of a head, of trailers."""
        self._without_upgrade = b""
        """The head of a request that offers another protocol, as it is without the offer."""
        self._incoming: Call | None = None
        """The request whose body is coming in."""
        self._call: Call | None = None
        """The request that is being answered."""
        self._unstarted = False
        """Whether the parser has just found it: it must be through with what came before the answer begins."""
        self._queue: deque[Call] = deque()
        """Requests sent before the one before them was answered."""
        self._paused = False
        self._closing = False
        self._date: Any = None
        self._date_line = b""
        self._drained: asyncio.Event | None = None
        self._headers: dict[bytes, bytes] = {}
        self._known: KnownHead | None = None
        """The last one that may be known again."""
        self._learned = 0
        self._held = b""
        """A request with a known head, but for the rest of its body. The parser has seen none of it."""
        # Filled by the parser itself: no Python frame for each piece.
        self._between = [True]
        """One item while the parser is between two requests, none within one."""
        self.on_message_begin = self._between.clear
        self._url: list[bytes] = []
        self.on_url = self._url.append
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser = HttpRequestParser(self)

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from asyncio's
        self._state.connections.add(cast(Any, self))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._peer = _address(transport.get_extra_info("peername"))
        self._authority = _address(transport.get_extra_info("sockname"))
        self._within(HEAD_S)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        held, self._held = self._held, b""
        if held:
            data = held + data
            self._bare_bytes = 0
        # A request that is found already, and not begun, came before an offer of another protocol in the same bytes.
        between = bool(self._between) and not self._unstarted
        if between and self._call is None and self._known is not None and self._is_known(data, self._known, bool(held)):
            return
        in_body = self._incoming is not None
        if not in_body:
            self._bare_bytes += len(data)
            if self._bare_bytes > MAX_HEAD_BYTES:
                self._take_in_parts(data)
                return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            # No other protocol is spoken here, and a request that offers one is still a request.
            head, self._without_upgrade = self._without_upgrade, b""
            self._parser = HttpRequestParser(self)
            self.data_received(head + data[upgrade.args[0] :])
            return
        except HttpParserError as error:
            if self._unstarted:
                self._start()
            self._refuse(*self._explained(error, data))
            return
        call = self._incoming
        if call is not None:
            if self._pieces:
                self._bare_bytes = 0
                call.on_body(self._pieces)
                self._pieces.clear()
            elif in_body:
                self._bare_bytes += len(data)
                if self._bare_bytes > MAX_HEAD_BYTES:
                    self._refuse(431, f"The request goes on for {MAX_HEAD_BYTES} bytes without a body")
                    return
            if call.unread_bytes > MAX_UNREAD_BYTES:
                self._pause()
            elif not call.ended and not self._paused:
                self._within(BODY_S)
        elif self._call is None and self._bare_bytes == len(data):
            self._within(HEAD_S)
        if self._unstarted:
            if between and self._learned < MAX_LEARNED:
                assert self._call is not None, "it is to be started"
                self._learned += 1
                self._known = learn(data, self._call) or self._known
            self._start()

    def _is_known(self, data: bytes, head: KnownHead, waited: bool) -> bool:
        """Whether this is a request with a known head; its answer begins when it is whole. It is `waited` for once."""
        found = head.read(data)
        if found is None:
            return False
        headers, body, missing = found
        if missing:
            if waited or len(data) + missing > MAX_HELD_BYTES:
                return False
            self._held = data
            self._bare_bytes = len(data)
            self._within(BODY_S)
            return True
        self._bare_bytes = 0
        self._call = call = Call(self, head.method, head.target, "1.1", headers, True, body)
        self._deadline = inf
        self._state.total_requests += 1
        call.start(self._application, self._direct, self._state.tasks, self._loop)
        return True

    def _take_in_parts(self, data: bytes) -> None:
        """Only so can a head that is too long be told from a short one with much body behind it."""
        self._bare_bytes -= len(data)
        room = MAX_HEAD_BYTES - self._bare_bytes
        if room <= 0:
            self._refuse(431, f"The head of the request is longer than {MAX_HEAD_BYTES} bytes")
            return
        self.data_received(data[:room])
        self.data_received(data[room:])

    def eof_received(self) -> None:
        # A caller that ends its side has no more to say, and seldom waits for an answer: as if it had left.
        if self._call is None or self._call.ended:
            self._close()
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()
        self._state.connections.discard(cast(Any, self))
        self._end_timer()
        # The parser knows this object's methods, a call knows its carrier: circles.
        self._call = self._incoming = None
        del self._parser

    def pause_writing(self) -> None:
        self.writable = False
        self._watch(STALLED_S)

    def resume_writing(self) -> None:
        self.writable = True
        self._stalled_at = inf
        if self._closing:
            self._watch(STALLED_S)
        if self._drained is not None:
            self._drained.set()

    # What the parser finds. An exception here stops it.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        headers = self._headers
        if name in headers:
            if name == b"host":
                raise Refused(400, "Two Host headers")
            value = b"%b, %b" % (headers[name], value)
        headers[name] = value

    def on_headers_complete(self) -> None:
        parser = self._parser
        headers, self._headers = self._headers, {}
        target = b"".join(self._url)
        self._url.clear()
        method = parser.get_method()
        version = parser.get_http_version()
        if version == "1.1":
            if b"host" not in headers:
                raise Refused(400, "No Host header")
        elif version != "1.0":
            raise Refused(505, f"HTTP/{version} is not spoken here: set the client to HTTP/1.1")
        if b"transfer-encoding" in headers:
            if version == "1.0":
                raise Refused(400, "HTTP/1.0 has no Transfer-Encoding")
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise Refused(501, "No Transfer-Encoding but chunked is understood")
        if parser.should_upgrade():
            if method == b"CONNECT":
                raise Refused(501, "This is no proxy: CONNECT is not understood")
            del headers[b"upgrade"]
            lines = b"".join(b"%b: %b\r\n" % line for line in headers.items())
            self._without_upgrade = b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), lines)
            return
        if not target.startswith(b"/"):  # https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
            whole = _WITH_HOST.match(target)
            if whole is not None:
                headers[b"host"] = whole[1]
            target = b"/" + (whole[2] if whole is not None else b"")
        self._incoming = call = Call(self, method, target, version, headers, parser.should_keep_alive())
        if self._call is None:
            self._call = call
            self._unstarted = True
        elif len(self._queue) < MAX_WAITING:
            self._queue.append(call)
            self._pause()
        else:
            raise Refused(400, f"More than {MAX_WAITING} requests that did not wait for their answers")

    def on_message_complete(self) -> None:
        call = self._incoming
        self._incoming = None
        self._between.append(True)
        self._bare_bytes = 0
        self._deadline = inf
        if self._headers:
            # Trailers are not of the next request, but may have told the parser how the connection goes on.
            self._headers = {}
            self._known, self._learned = None, MAX_LEARNED
        if call is not None:
            call.on_whole(self._pieces)
            self._pieces.clear()
            if call.ended:
                self._next(call)

    # What a call asks for: `call.Carrier`.

    def scope(self, call: Call) -> Scope:
        raw_path, _, query = call.target.partition(b"?")
        path = raw_path.decode("ascii", "replace")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": call.version,
            "server": self._authority,
            "client": self._peer,
            "scheme": self._scheme,
            "method": call.method.decode("ascii"),
            "root_path": self._root_path,
            "path": self._root_path + (unquote(path) if "%" in path else path),
            "raw_path": raw_path,
            "query_string": query,
            "headers": list(call.headers.items()),
            "state": self._values.copy(),
        }

    def date_line(self) -> bytes:
        lines = self._state.default_headers
        if lines is not self._date:  # uvicorn makes it anew each second
            self._date = lines
            self._date_line = b"".join(b"%b: %b\r\n" % line for line in lines)
        return self._date_line

    async def drained(self) -> None:
        if not self.writable:
            if self._drained is None:
                self._drained = asyncio.Event()
            self._drained.clear()
            await self._drained.wait()

    def want_body(self) -> None:
        if self._paused and not self._queue:
            self._resume()
        self._within(BODY_S)

    def finish(self, call: Call) -> None:
        if call.whole:
            self._next(call)
            return
        # What is left of its body is read and forgotten: to close on it would take back the answer too.
        # https://www.rfc-editor.org/rfc/rfc9112#section-9.6-9
        if not call.keep_alive and self.transport.can_write_eof():
            self.transport.write_eof()
        self._within(LINGER_S)
        self._resume()

    def abort(self) -> None:
        self._lose()
        self.transport.abort()

    def shutdown(self) -> None:
        """uvicorn ends: what is being answered may be answered to its end, and then the connection is closed."""
        if self._held:
            self._known = None
            self.data_received(b"")
        if self._call is None:
            self._close()
        else:
            self._call.keep_alive = False

    # The rest.

    def _next(self, call: Call) -> None:
        """A request and its answer are over."""
        self._call = None
        if not call.keep_alive:
            self._close()
        elif self._queue:
            self._call = following = self._queue.popleft()
            self._loop.call_soon(self._start)
            if following.whole:
                self._deadline = inf
            else:
                self._within(BODY_S)
            if not self._queue:
                self._resume()
        else:
            self._within(HEAD_S if self._bare_bytes else KEEP_ALIVE_S)

    def _start(self) -> None:
        self._unstarted = False
        # Its turn came a round ago: meanwhile its connection may have been lost, or it itself refused.
        if self._call is not None and not self._call.ended:
            self._state.total_requests += 1
            self._call.start(self._application, self._direct, self._state.tasks, self._loop)

    def _refuse(self, status: int, reason: str) -> None:
        """What came is no request: say so, unless answers are under way, and take no more."""
        log.info("Refused bytes of %s: %s", self._peer, reason)
        self._closing = True
        call, incoming = self._call, self._incoming
        if call is not None and call is not incoming:
            if self._queue and self._queue[-1] is incoming:
                self._queue.pop()
            last = self._queue[-1] if self._queue else call
            last.keep_alive = False
        elif call is not None and call.ended:
            self._close()
        elif call is not None and call.begun:
            self.abort()
        else:
            if call is not None:
                call.on_lost()
            # Never whole: whatever else comes is read and forgotten for a while.
            self._call = refusal = Call(self, b"GET", b"/", "1.1", {}, keep_alive=False)
            refusal.refuse(status, reason)

    def _explained(self, error: HttpParserError, data: bytes) -> tuple[int, str]:
        cause = error.__context__
        if isinstance(cause, Refused):
            return cause.status, str(cause)
        if self._parser.get_method() == b"PRI":
            return 505, "HTTP/2 is not spoken here: set the client to HTTP/1.1"
        if data.startswith(_TLS_HELLO):
            return 400, "TLS is not spoken here: the address begins with http://"
        return 400, f"Not an HTTP/1.1 request: {error}"

    def _close(self) -> None:
        """Say what is left to say, and end."""
        self._closing = True
        if self.transport.get_write_buffer_size():
            self._watch(STALLED_S)
        self.transport.close()

    def _lose(self) -> None:
        """Nobody is there to speak to."""
        self._closing = True
        self.writable = True
        if self._drained is not None:
            self._drained.set()
        waiting, self._queue = self._queue, deque()
        for call in (self._call, *waiting):
            if call is not None:
                call.on_lost()

    def _pause(self) -> None:
        self._deadline = inf
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def _on_late(self) -> None:
        call = self._call
        if (self._incoming is not None or self._bare_bytes) and not self._closing and not (call and call.ended):
            self._refuse(408, "The request did not come to its end in time")
        else:
            self._close()


def _address(name: Any) -> tuple[str, int] | None:
    """A unix socket's callers have none."""
    return (name[0], name[1]) if isinstance(name, tuple) else None  # pyright: ignore[reportUnknownVariableType]
