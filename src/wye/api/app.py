"""The ASGI application: the hot routes by hand, all others by Starlette. Thin: it decides nothing about an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from wye.api.edge import (
    CallerLeft,
    Departure,
    Departures,
    Head,
    Receive,
    Scope,
    Send,
    as_wye_error,
    id_headers,
    read_body,
    send_error,
    send_whole,
)
from wye.dialects.dialect import Dialect
from wye.gateway.exchange import Exchange, Stream, Whole
from wye.gateway.pipeline import Pipeline
from wye.kernel import clock
from wye.kernel.errors import NotFound
from wye.kernel.json import encode
from wye.ports.provider import Operation
from wye.ports.transport import Headers

HotRoutes = dict[str, tuple[Operation, Dialect]]
Pages = Callable[[Scope, Receive, Send], Awaitable[None]]

_PLAIN_TEXT = b"text/plain; charset=utf-8"


class App:
    """`lifespan` is (start, stop): run before the first request and after the last."""

    def __init__(
        self,
        pipeline: Pipeline,
        hot: HotRoutes,
        pages: Pages,
        *,
        body_limit: int,
        lifespan: tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]],
    ) -> None:
        self.pipeline = pipeline
        self._hot = hot
        self._pages = pages
        self._body_limit = body_limit
        self._departures = Departures()
        self._start, self._stop = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            found = self._hot.get(scope["path"])
            if found is not None and scope["method"] == "POST":
                await self._serve(scope, receive, send, *found)
            elif (path := _plain_path(scope)) != scope["path"]:
                await self({**scope, "path": path, "root_path": ""}, receive, send)
            else:
                await self._pages(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close"})  # before it is accepted: the server answers 403

    async def _serve(self, scope: Scope, receive: Receive, send: Send, operation: Operation, dialect: Dialect) -> None:
        headers = dict(scope["headers"])
        head = Head(headers)
        exchange: Exchange | None = None
        departure: Departure | None = None
        begun = False
        try:
            principal = self.pipeline.auth.principal(headers)
            body = await read_body(receive, head, self._body_limit)
            departure = self._departures.watch(receive)
            exchange = Exchange(head.request_id, dialect, body, headers, principal, clock.monotonic_s(), head.strict)
            if operation == "count_tokens":
                await self._count(exchange, send)
                return
            answer = await self.pipeline.chat(exchange)
            if isinstance(answer, Whole):
                await send_whole(send, 200, answer.body, _headers(exchange))
            else:
                begun = True
                await self._stream(exchange, answer, head, send)
        except CallerLeft:
            return
        except asyncio.CancelledError:
            if departure is None or not departure.left:
                raise
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        except Exception as error:  # the edge: whatever went wrong, the caller gets an answer and the log the rest
            known = as_wye_error(error, head.request_id)
            if not begun:
                await send_error(send, known, dialect, head.request_id, _about(exchange) if exchange else [])
        finally:
            if departure is not None:
                departure.stop()

    async def _stream(self, exchange: Exchange, stream: Stream, head: Head, send: Send) -> None:
        content_type = _PLAIN_TEXT if head.accepts_plain_text else exchange.dialect.framing.content_type
        headers = [(b"content-type", content_type), (b"cache-control", b"no-cache"), *_headers(exchange)]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while chunk := await stream.next():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            self.pipeline.finish(exchange, stream)
        await send({"type": "http.response.body", "body": b""})

    async def _count(self, exchange: Exchange, send: Send) -> None:
        if exchange.dialect.encode_count is None:
            raise NotFound(f"{exchange.dialect.name} has no operation to count tokens")
        tokens, exact = await self.pipeline.count_tokens(exchange)
        if not exact:
            exchange.losses.add("input_tokens", "estimated: this model's tokenizer is not at hand", "info")
        await send_whole(send, 200, encode(exchange.dialect.encode_count(tokens)), _headers(exchange))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:  # the protocol wants the reason as a message; the server ends with it
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})


def _plain_path(scope: Scope) -> str:
    """The path as the table of routes has it: without the prefix of a mount, without a slash at its end."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).rstrip("/") or "/"


def _headers(exchange: Exchange) -> Headers:
    return id_headers(exchange.request_id, exchange.dialect) + _about(exchange)


def _about(exchange: Exchange) -> Headers:
    """What Wye says about an answer besides its content."""
    headers: Headers = []
    if exchange.deployment is not None:
        headers.append((b"x-wye-deployment", exchange.deployment.id_header))
        headers.append((b"x-wye-attempts", b"%d" % exchange.attempts))
    if exchange.losses:
        headers.append((b"x-wye-loss", exchange.losses.header().encode()))
    if exchange.reservation is not None:
        headers += exchange.reservation.headers
    return headers
