"""One request, and the way back to whoever sent it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from wye.api.asgi import Application, Message, Scope
from wye.api.caller import DIRECT, Direct, Serving
from wye.api.http.eager import EagerTask
from wye.kernel.chunked import framed
from wye.ports.transport import HeaderMap

log = logging.getLogger("wye")

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_BODILESS = (204, 304)
_NOT_IN_NAMES = re.compile(rb"[^!#$%&'*+.^_`|~0-9a-z-]|\A\Z")
_NOT_IN_VALUES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# A larger body is written beside its head: copying both into one buffer would cost more than it saves.
_JOIN_BELOW_BYTES = 32_768


class Carrier(Protocol):
    """What a call needs of the connection that carries it."""

    writable: bool
    """Whether the socket takes more at once."""
    transport: asyncio.Transport

    def scope(self, call: Call) -> Scope: ...
    def date_line(self) -> bytes: ...
    async def drained(self) -> None: ...
    def want_body(self) -> None: ...
    def finish(self, call: Call) -> None: ...
    def abort(self) -> None: ...


class Call:
    """Implements `caller.Caller`, and ASGI's `receive` and `send` in the same terms."""

    __slots__ = (
        "_asked",
        "_bodiless",
        "_body",
        "_cancels",
        "_carrier",
        "_changed",
        "_chunked",
        "_head",
        "_loop",
        "_owed_bytes",
        "_received",
        "_running",
        "_unframed",
        "begun",
        "ended",
        "headers",
        "keep_alive",
        "left",
        "method",
        "serving",
        "target",
        "unread_bytes",
        "version",
        "whole",
    )

    def __init__(
        self,
        carrier: Carrier,
        method: bytes,
        target: bytes,
        version: str,
        headers: HeaderMap,
        keep_alive: bool,
        body: bytes | None = None,
    ) -> None:
        """`body` is that of a request which is there whole."""
        self._carrier = carrier
        self.method = method
        self.target = target
        """The path with the query, as it was sent."""
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        """Whether another request may follow on the connection."""
        self.serving: asyncio.Task[None] | EagerTask | Serving | None = None
        """What does, once it is its turn."""
        self._running: set[Any] | None = None
        """Knows what serves it as long as that does."""
        self.left = False
        self.whole = body is not None
        """Whether the request's body has come to its end."""
        self.begun = False
        """Whether the head of the answer is said."""
        self.ended = False
        """Whether all of the answer is said."""
        self.unread_bytes = len(body) if body else 0
        self._cancels = False
        self._received = False
        self._asked = False
        self._chunked = False
        self._unframed = False
        """Whether the end of the connection is that of the answer."""
        self._owed_bytes = 0
        self._head = b""
        """Said, but not yet written."""
        self._loop: asyncio.AbstractEventLoop
        self._changed: asyncio.Event | None = None
        """Set when one who waits should look again."""
        self._body = [body] if body else []
        self._bodiless = method == b"HEAD"

    def start(
        self, application: Application, direct: Direct | None, running: set[Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._running = running
        try:
            if direct is not None and direct(self, self.method, self.target):
                return
        except Exception as error:  # the last edge, as below
            self.over(error)
            return
        self.serving = task = loop.create_task(self._run(application))
        running.add(task)

    def serve(self, work: Coroutine[Any, Any, None]) -> EagerTask:
        task = EagerTask(work, self._loop, self.over)
        self.served_by(task)
        task.start()
        return task

    def served_by(self, serving: EagerTask | Serving) -> None:
        assert self._running is not None, "it is started"
        self._running.discard(self.serving)
        self._running.add(serving)
        self.serving = serving

    async def _run(self, application: Application) -> None:
        scope = self._carrier.scope(self)
        scope["extensions"] = {DIRECT: self}
        try:
            await application(scope, self.receive, self.send)
        except asyncio.CancelledError as error:
            self.over(error)
            raise
        except Exception as error:  # the last edge: nobody above would tell
            self.over(error)
        else:
            self.over(None)
        finally:
            # Circles would outlive the request, until a collector comes for them.
            scope.pop("extensions", None)

    def over(self, error: BaseException | None) -> None:
        if not self.ended:
            self._give_up(error)
        elif error is not None and not isinstance(error, asyncio.CancelledError):
            self._complain(error)
        if self._running is not None:
            self._running.discard(self.serving)
        self.serving = None

    def _give_up(self, error: BaseException | None) -> None:
        if isinstance(error, asyncio.CancelledError):
            self._fail(503)
            return
        if error is not None:
            self._complain(error)
        elif not self.left:
            log.error("%s got no complete answer", self)
        self._fail(500)

    def _complain(self, error: BaseException) -> None:
        # To speak to a caller who left is no fault.
        log.log(logging.DEBUG if self.left else logging.ERROR, "%s failed", self, exc_info=error)

    def __str__(self) -> str:
        return f"{self.method.decode()} {self.target.partition(b'?')[0].decode('ascii', 'replace')}"

    def _fail(self, status: int) -> None:
        if self.left:
            self.ended = True
        elif self.begun:
            self.ended = True
            self._carrier.abort()
        else:
            self.keep_alive = False
            self.refuse(status, HTTPStatus(status).phrase)

    def refuse(self, status: int, reason: str) -> None:
        """An answer without an application: whole, and for people."""
        body = f"{reason}\n".encode("ascii", "replace")
        self.begin(status, b"content-type: text/plain\r\n", len(body))
        self.say(body)
        self.complete()

    # What the connection tells.

    def on_body(self, pieces: list[bytes]) -> None:
        if not self.ended:
            self._body += pieces
            self.unread_bytes += sum(map(len, pieces))
            self._wake()

    def on_whole(self, pieces: list[bytes]) -> None:
        """With the last of its body."""
        self.whole = True
        if pieces:
            self.on_body(pieces)
        else:
            self._wake()

    def on_lost(self) -> None:
        if not self.ended:
            self.left = True
            self._wake()
            if self._cancels and self.serving is not None:
                self.serving.cancel()

    # What the application asks for and says.

    def read_at_once(self, limit: int) -> bytes | None:
        if not self.whole or self.left or self.unread_bytes > limit:
            return None
        data = b"".join(self._body)  # of one piece it is that piece
        self._body.clear()
        self.unread_bytes = 0
        return data

    async def read(self) -> bytes | None:
        while not self._body and not self.whole and not self.left:
            self._ask()
            await self._wait()
        if self.left:
            return None
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self.unread_bytes = 0
        if not self.whole:
            self._carrier.want_body()
        return data

    def cancel_if_left(self) -> None:
        self._cancels = True
        if self.left and self.serving is not None:
            self.serving.cancel()

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        if not self.left:
            self.begun = True
            # Written with the first of the body: what comes at once, the caller need not ask its socket for twice.
            self._head = self._head_of(status, lines, length)
            if length is not None and not self._bodiless:
                self._owed_bytes = length

    def _head_of(self, status: int, lines: bytes, length: int | None) -> bytes:
        if status in _BODILESS:
            self._bodiless = True
            if status == 204:
                length = None  # https://www.rfc-editor.org/rfc/rfc9110#section-8.6-11
        if not self.whole and not self._asked and self._waits():
            self.keep_alive = False  # it may send its body yet, or its next request in that place
        if length is not None:
            lines += b"content-length: %d\r\n" % length
        elif not self._bodiless:
            if self.version == "1.0":
                self.keep_alive = False
                self._unframed = True
            else:
                self._chunked = True
                lines += b"transfer-encoding: chunked\r\n"
        if not self.keep_alive:
            lines += b"connection: close\r\n"
        elif self.version == "1.0":
            lines += b"connection: keep-alive\r\n"
        status_line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        return b"%b%b%b\r\n" % (status_line, self._carrier.date_line(), lines)

    def say(self, data: bytes) -> bool:
        if data and not self._bodiless and not self.left:
            if self._chunked:
                data = framed(data)
            elif not self._unframed:
                self._owed_bytes -= len(data)
                if self._owed_bytes < 0:
                    raise ValueError("the answer is longer than its content-length")
            if self._head:
                head, self._head = self._head, b""
                self._write(head, data)
            else:
                self._carrier.transport.write(data)
        elif self._head and not self.left:
            head, self._head = self._head, b""
            self._carrier.transport.write(head)
        return self._carrier.writable

    @property
    def say_chunks(self) -> Callable[[bytes], bool] | None:
        return self._say_chunks if self._chunked and not self._head else None

    def _say_chunks(self, chunks: bytes) -> bool:
        if not self.left:
            self._carrier.transport.write(chunks)
        return self._carrier.writable

    def _write(self, head: bytes, data: bytes) -> None:
        transport = self._carrier.transport
        if len(data) < _JOIN_BELOW_BYTES:
            transport.write(head + data)
        else:
            transport.write(head)
            transport.write(data)

    async def answer(self, status: int, lines: bytes, body: bytes) -> None:
        self.answer_at_once(status, lines, body)

    def answer_at_once(self, status: int, lines: bytes, body: bytes) -> None:
        if self.left:
            return
        self.begun = self.ended = True
        head = self._head_of(status, lines, len(body))
        if self._bodiless:
            self._carrier.transport.write(head)
        else:
            self._write(head, body)
        self._leave()

    async def drained(self) -> None:
        await self._carrier.drained()

    async def end(self) -> None:
        self.complete()

    def complete(self) -> None:
        if self.ended or self.left:
            return
        self.ended = True
        head, self._head = self._head, b""
        if self._chunked:
            self._write(head, b"0\r\n\r\n")
        elif head:
            self._carrier.transport.write(head)
        if self._owed_bytes:
            # A caller that counts must not take the next answer for a part of this one.
            log.error("%s: the answer is shorter than it said", self)
            self._wake()
            self._carrier.abort()
        else:
            self._leave()

    def _leave(self) -> None:
        """All is said."""
        self._wake()
        self._body.clear()
        self.unread_bytes = 0
        self._carrier.finish(self)

    # The same as ASGI's messages.

    async def receive(self) -> Message:
        if not self._received:
            data = await self.read()
            if data is not None:
                self._received = self.whole
                return {"type": "http.request", "body": data, "more_body": not self.whole}
        while not self.left and not self.ended:
            await self._wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Raises OSError when the caller has left, RuntimeError for what cannot be said now."""
        kind = message["type"]
        if self.left:
            raise ConnectionResetError("the caller has left")
        if kind == "http.response.start" and not self.begun:
            self._begin(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.begun and not self.ended:
            if not self.say(message.get("body", b"")):
                await self.drained()
            if not message.get("more_body"):
                self.complete()
        else:
            raise RuntimeError(f"{kind} is not what an answer goes on with here")

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        length: int | None = None
        lines: list[bytes] = []
        for given, value in headers:
            name = given.lower()
            if _NOT_IN_NAMES.search(name) or _NOT_IN_VALUES.search(value):
                raise ValueError(f"a control character in the answer's header {given!r}: it could end the line")
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                self.keep_alive = self.keep_alive and value.lower() != b"close"
            elif name != b"transfer-encoding":
                lines.append(b"%b: %b\r\n" % (name, value))
        self.begin(status, b"".join(lines), length)

    def _ask(self) -> None:
        """Ask for the body of a caller that sends it only when asked to."""
        if not self._asked and not self.begun:
            self._asked = True
            if self._waits():
                self._carrier.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _waits(self) -> bool:
        expected = self.headers.get(b"expect", b"")
        return expected.lower() == b"100-continue" and self.version != "1.0"

    async def _wait(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        self._changed.clear()
        await self._changed.wait()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
