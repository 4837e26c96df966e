"""Where HTTP ends: reading a body within its limit, noticing that the caller left, and saying an error properly."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from math import ceil
from typing import Any

from wye.dialects.dialect import Dialect
from wye.kernel.errors import TooLarge, UnsupportedMedia, WyeError
from wye.kernel.ids import new_id
from wye.kernel.json import encode
from wye.ports.transport import HeaderMap, Headers

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

    def __init__(self, headers: HeaderMap) -> None:
        length = headers.get(b"content-length", b"")
        # Twenty digits are beyond any limit; int() itself refuses some thousands of them.
        self.length = int(length[:20]) if length.isdigit() else 0
        self.encoding = headers.get(b"content-encoding", b"")
        accept = headers.get(b"accept", b"")
        # Some clients accept plain text by default, after what they want; they do not ask for it.
        self.accepts_plain_text = b"text/plain" in accept and b"json" not in accept and b"event-stream" not in accept
        self.strict = headers.get(b"x-wye-strict", b"").lower() in (b"1", b"true")
        request_id = headers.get(b"x-request-id")
        if request_id is not None and _USABLE_ID.match(request_id):
            self.request_id = request_id.decode()
        else:
            self.request_id = new_id("req_")


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
    pieces, size = [body], len(body)
    if size > limit:
        raise _too_large(limit)
    if not message.get("more_body"):
        return body
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


class Departures:
    """Notices callers that leave. One timer looks after all calls: one that is over within a moment costs no task."""

    def __init__(self) -> None:
        self._young: deque[Departure] = deque()
        self._looking = False

    def watch(self, receive: Receive) -> Departure:
        """Cancel the running task when its caller leaves, until `Departure.stop`."""
        departure = Departure(receive)
        self._young.append(departure)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._look)
        return departure

    def _look(self) -> None:
        """Watch the calls that have lasted since the last look; forget those that are over."""
        young, self._young = self._young, deque()
        for departure in young:
            departure.start()
        self._looking = bool(young)
        if young:
            asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._look)


class Departure:
    __slots__ = ("_receive", "_task", "_watcher", "left")

    def __init__(self, receive: Receive) -> None:
        self._task = asyncio.current_task()
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None
        self.left = False

    def start(self) -> None:
        if self._task is not None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch(self._task))

    async def _watch(self, task: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        task.cancel()

    def stop(self) -> None:
        self._task = None
        if self._watcher is not None:
            self._watcher.cancel()


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
    await send_whole(send, error.status, body, [*id_headers(request_id, dialect), *error_headers(error), *headers])


def error_headers(error: WyeError) -> Headers:
    """What HTTP says about an error beside its body. https://www.rfc-editor.org/rfc/rfc9110"""
    headers: Headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after_s))))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, TooLarge):
        # What is left of the body will not be read.
        headers.append((b"connection", b"close"))
    return headers


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


def id_headers(request_id: str, dialect: Dialect) -> Headers:
    """The request's id, also under the name that the dialect's own clients read."""
    value = request_id.encode()
    headers = [(b"x-request-id", value)]
    if dialect.request_id_header is not None:
        headers.append((dialect.request_id_header, value))
    return headers
