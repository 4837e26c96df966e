"""Whoever sent a request, and the way back to it: the same words whether Wye's own server or another one runs below."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from wye.api.asgi import Message, Receive, Scope, Send
from wye.ports.transport import HeaderMap

DIRECT = "wye.caller"
"""The name in a scope's extensions under which a server offers a Caller beside ASGI's messages."""


class Caller(Protocol):
    headers: HeaderMap
    left: bool
    """Whether it closed the connection before its answer was complete."""

    def read_at_once(self, limit: int) -> bytes | None:
        """All that is left of the body, where that has come; None where it must be waited for, or is longer than
        `limit`: then nothing is taken."""
        ...

    async def read(self) -> bytes | None:
        """The next of the request's body; b"" at its end, None when the caller left before that."""
        ...

    def cancel_if_left(self) -> None:
        """From now on cancel the running task when the caller leaves before its answer is complete."""
        ...

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        """The head of the answer. `lines` are ready header lines, each ended by CRLF, without content-length and
        connection; `length` is the body's in bytes, None when it goes out in pieces, as it comes."""
        ...

    def say(self, data: bytes) -> bool:
        """More of the answer's body. False: await `drained` before saying more."""
        ...

    @property
    def say_chunks(self) -> Callable[[bytes], bool] | None:
        """`say` for what is framed as chunks of HTTP/1.1 already. None as long as the body does not go out so."""
        ...

    async def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """A whole answer: `begin`, `say` and `end` in one."""
        ...

    async def drained(self) -> None:
        """Until the caller has taken most of what was said."""
        ...

    async def end(self) -> None:
        """The answer is complete. This and `drained` raise OSError when the server says by it that the caller left."""
        ...


class DirectCaller(Caller, Protocol):
    """One that a server of our own serves, which needs no task."""

    def serve(self, work: Coroutine[Any, Any, None]) -> Serving:
        """Go on with a coroutine, in a task that begins at once."""
        ...

    def served_by(self, serving: Serving) -> None:
        """From now on this serves it; it calls `over` at its end."""
        ...

    def answer_at_once(self, status: int, lines: bytes, body: bytes) -> None:
        """The same as `answer`."""
        ...

    def over(self, error: BaseException | None) -> None:
        """Nobody serves it any more; `error` is what that one raised."""
        ...


class Serving(Protocol):
    """What serves a caller, without a task."""

    def cancel(self, msg: object = None) -> bool: ...


Direct = Callable[[DirectCaller, bytes, bytes], bool]
"""What an application that has a method `direct` makes of a caller, its method and its target (path and query): whether
it serves it. False when that takes ASGI's words."""


def caller_of(scope: Scope, receive: Receive, send: Send) -> Caller:
    extensions: dict[str, Any] = scope.get("extensions") or {}
    return extensions.get(DIRECT) or AsgiCaller(scope, receive, send)


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> HeaderMap:
    """Of a name that came twice, both values: https://www.rfc-editor.org/rfc/rfc9110#section-5.3"""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return found


class AsgiCaller:
    """By ASGI's messages, under any server that speaks it."""

    say_chunks = None

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers: HeaderMap = header_map(scope["headers"])
        self._receive = receive
        self._send = send
        self._unsent: list[Message] = []
        self._whole = False
        self._watcher: asyncio.Task[None] | None = None
        self.left = False

    def read_at_once(self, limit: int) -> bytes | None:
        return None  # a server gives it in messages, and those must be awaited

    async def read(self) -> bytes | None:
        while not self._whole:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.left = True
                return None
            self._whole = not message.get("more_body")
            if body := message.get("body"):
                return body
        return b""

    def cancel_if_left(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is served by a task"
        self._watcher = watcher = asyncio.get_running_loop().create_task(self._watch(task))
        task.add_done_callback(lambda _: watcher.cancel())

    async def _watch(self, task: asyncio.Task[Any]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        task.cancel()

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        headers = [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n")[:-1]]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        self._unsent.append({"type": "http.response.start", "status": status, "headers": headers})

    def say(self, data: bytes) -> bool:
        self._unsent.append({"type": "http.response.body", "body": data, "more_body": True})
        return False

    async def answer(self, status: int, lines: bytes, body: bytes) -> None:
        self.begin(status, lines, len(body))
        self.say(body)
        await self.end()

    async def drained(self) -> None:
        unsent, self._unsent = self._unsent, []
        try:
            for message in unsent:
                await self._send(message)
        except OSError:
            self.left = True
            raise

    async def end(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        last = self._unsent[-1] if self._unsent else None
        if last is not None and last["type"] == "http.response.body":
            last["more_body"] = False
        else:
            self._unsent.append({"type": "http.response.body", "body": b""})
        await self.drained()
