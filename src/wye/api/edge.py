"""Where HTTP ends: reading a body within its limit, noticing that the caller left, and saying an error properly."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from wye.dialects.dialect import Dialect
from wye.kernel.errors import TooLarge, UnsupportedMedia, WyeError
from wye.kernel.ids import new_id
from wye.kernel.json import encode
from wye.ports.transport import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("wye")

_USABLE_ID = re.compile(rb"[\x21-\x7e]{1,128}\Z")
_WATCH_AFTER_S = 0.05


class CallerLeft(Exception):
    """The caller closed the connection before its request was complete: there is nobody to answer."""


class Head:
    """What the edge itself reads of a request's headers, in one pass."""

    __slots__ = ("accepts_plain_text", "encoding", "length", "request_id", "strict")

    def __init__(self, headers: Headers) -> None:
        self.accepts_plain_text = False
        self.encoding = b""
        self.length = 0
        self.strict = False
        request_id = b""
        for name, value in headers:
            if name == b"content-length":
                self.length = int(value) if value.isdigit() else 0
            elif name == b"x-request-id":
                request_id = value
            elif name == b"content-encoding":
                self.encoding = value
            elif name == b"accept":
                self.accepts_plain_text = b"text/plain" in value
            elif name == b"x-wye-strict":
                self.strict = value.lower() in (b"1", b"true")
        self.request_id = request_id.decode() if _USABLE_ID.match(request_id) else new_id("req_")


async def read_body(receive: Receive, head: Head, limit: int) -> bytes:
    """The request's body. Raises TooLarge, UnsupportedMedia, CallerLeft."""
    if head.encoding not in (b"", b"identity"):
        raise UnsupportedMedia(
            f"Content-Encoding {head.encoding.decode('latin-1')!r} is not supported: send the body as it is"
        )
    if head.length > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerLeft
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    pieces, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit} bytes (server.body_limit_mb sets this limit)")


class Departure:
    """Cancels the running task when the caller leaves. Until a call has lasted a moment this costs a timer, no task."""

    __slots__ = ("_loop", "_receive", "_task", "_timer", "_watcher", "left")

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_WATCH_AFTER_S, self._start)
        self._watcher: asyncio.Task[None] | None = None
        self.left = False

    def _start(self) -> None:
        self._watcher = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self._task.cancel()

    def stop(self) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def forgive(self) -> None:
        """The task's cancellation was ours, and has done its work."""
        self._task.uncancel()


def as_wye_error(error: Exception, request_id: str) -> WyeError:
    """An error that a caller may see. Any other is Wye's own fault: logged whole, told as nothing but its id."""
    if isinstance(error, WyeError):
        if error.status >= 500:
            log.warning("%s: %d %s: %s", request_id, error.status, error.code, error.message)
        return error
    log.error("%s: unexpected error", request_id, exc_info=error)
    return WyeError(f"Wye failed to handle this request; its log has the details under {request_id}")


async def send_error(send: Send, error: WyeError, dialect: Dialect, request_id: str, headers: Headers) -> None:
    body = encode(dialect.encode_error(error, request_id))
    if error.retry_after_s is not None:
        headers = [*headers, (b"retry-after", b"%d" % max(1, -(-error.retry_after_s // 1)))]
    if isinstance(error, TooLarge):
        # What is left of the body will not be read.
        headers = [*headers, (b"connection", b"close")]
    await send_whole(send, error.status, body, [*id_headers(request_id), *headers])


async def send_whole(send: Send, status: int, body: bytes, headers: Headers) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def id_headers(request_id: str) -> Headers:
    """The request's id, under the names that OpenAI's and Anthropic's clients read."""
    value = request_id.encode()
    return [(b"x-request-id", value), (b"request-id", value)]
