"""The ASGI application: the hot routes by hand, all others by Starlette. Thin: it decides nothing about an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from wye.api.asgi import Application, Receive, Scope, Send
from wye.api.caller import Caller, caller_of
from wye.api.edge import (
    JSON_LINE,
    CallerLeft,
    as_wye_error,
    asks_for_plain_text,
    body_at_once,
    header_lines,
    id_lines,
    late_losses,
    read_body,
    request_id_of,
    send_error,
    wants_losses_in_body,
    wants_strict,
    wants_trace,
    with_losses,
)
from wye.api.ingress import Asked, asked, asked_plainly, read_counted
from wye.dialects.dialect import SSE, Dialect
from wye.gateway.exchange import Exchange, Stream, Whole
from wye.gateway.pipeline import Pipeline
from wye.kernel import clock
from wye.kernel.errors import NotFound, Overloaded, WyeError
from wye.kernel.json import encode

_MAX_TRACE = 4000
log = logging.getLogger("wye")

_PLAIN_TEXT = b"text/plain; charset=utf-8"
_STOPPING = Overloaded("The server is being stopped: ask again", retry_after_s=1)
"""Said to callers whose answers take longer than a server that ends may wait."""


class App:
    """`plain` is the dialect of errors for requests that speak none. `lifespan` is (start, stop): run before the first
    request and after the last."""

    def __init__(
        self,
        pipeline: Pipeline,
        pages: Application,
        plain: Dialect,
        *,
        body_limit: int,
        lifespan: tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]],
    ) -> None:
        self.pipeline = pipeline
        self._pages = pages
        self._plain = plain
        self._body_limit = body_limit
        self.start, self.stop = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._answer(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close"})  # before it is accepted: the server answers 403

    def direct(self, caller: Caller, method: bytes, target: bytes) -> Coroutine[Any, Any, None] | None:
        """What serves a caller of a hot route, whose path is all that there is to its target: see `caller.Direct`."""
        found = asked_plainly(target) if method == b"POST" else None
        return self._serve(caller, found) if found is not None else None

    def _answer(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["method"] == "POST":
            try:
                found = asked(scope)
            except WyeError as error:
                caller = caller_of(scope, receive, send)
                return send_error(caller, error, self._plain, request_id_of(caller.headers))
            if found is not None:
                return self._serve(caller_of(scope, receive, send), found, scope)
        path = _plain_path(scope)
        if path != scope["path"]:
            return self._answer({**scope, "path": path, "root_path": ""}, receive, send)
        return self._pages(scope, receive, send)

    async def _serve(self, caller: Caller, found: Asked, scope: Scope | None = None) -> None:
        """`scope` is needed where a request may be signed."""
        headers, auth = caller.headers, self.pipeline.auth
        request_id = request_id_of(headers)
        dialect = found.answer_dialect or found.dialect
        exchange: Exchange | None = None
        begun = False
        try:
            if found.signed:
                assert scope is not None, "a path that tells more than its route is read from a scope"
                body, principal = await self._signed_body(scope, caller)
            else:
                principal = auth.known(headers) or await auth.identify(headers)
                body = body_at_once(caller, self._body_limit)
                if body is None:
                    body = await read_body(caller, self._body_limit)
            caller.cancel_if_left()
            exchange = Exchange(
                request_id,
                found.dialect,
                body,
                headers,
                principal,
                clock.monotonic_s(),
                b"x-wye-strict" in headers and wants_strict(headers),
                found.answer_dialect,
                found.detect,
                found.model,
                found.stream,
            )
            if b"x-wye-trace" in headers and wants_trace(headers):
                exchange.trace = []
            if found.operation == "count_tokens":
                await self._count(exchange, caller)
                return
            if found.embeddings is not None:
                said = await self.pipeline.embed(exchange, found.embeddings)
            else:
                said = await self.pipeline.chat(exchange)
            if type(said) is Whole:
                await _answer_whole(exchange, said.body, caller)
            else:
                begun = True
                await self._stream(exchange, said, caller)
        except CallerLeft:
            return
        except asyncio.CancelledError:
            if not caller.left:
                if not begun:
                    await send_error(caller, _STOPPING, dialect, request_id)
                raise
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        except Exception as error:  # the edge: whatever went wrong, the caller gets an answer and the log the rest
            if caller.left:
                log.debug("%s: nobody is left to be told", request_id, exc_info=error)
                return
            known = as_wye_error(error, request_id)
            if not begun:
                lines: list[bytes] = []
                if exchange is not None:
                    _tell(exchange, lines)
                await send_error(caller, known, dialect, request_id, lines)

    async def _signed_body(self, scope: Scope, caller: Caller) -> tuple[bytes, str]:
        """The body and its sender, where AWS's clients sign it. Raises Forbidden in AWS's words."""
        await self.pipeline.auth.meet(caller.headers)
        known = self.pipeline.auth.aws_caller(caller.headers)
        body = await read_body(caller, self._body_limit)
        known.check(b"POST", scope["raw_path"], scope.get("query_string", b""), caller.headers, body)
        return body, known.principal

    async def _stream(self, exchange: Exchange, stream: Stream, caller: Caller) -> None:
        content_type = _PLAIN_TEXT if asks_for_plain_text(caller.headers) else exchange.speaks.framing.content_type
        lines = _lines(exchange, b"content-type: %b\r\ncache-control: no-cache\r\n" % content_type)
        told = len(exchange.losses)
        try:
            caller.begin(200, lines, None)
            await stream.relay(caller)
            if len(exchange.losses) > told and exchange.speaks.framing is SSE:
                caller.say(late_losses(exchange.losses[told:], caller.headers))
        except asyncio.CancelledError:
            if not caller.left:
                caller.say(stream.cut(_STOPPING))
                await caller.end()
            raise
        finally:
            self.pipeline.finish(exchange, stream)
        await caller.end()

    async def _count(self, exchange: Exchange, caller: Caller) -> None:
        if exchange.dialect.encode_count is None:
            raise NotFound(f"{exchange.dialect.name} has no operation to count tokens")
        read_counted(exchange)
        tokens, exact = await self.pipeline.count_tokens(exchange)
        if not exact:
            exchange.losses.add("input_tokens", "estimated: this model's tokenizer is not at hand", "info")
        await _answer_whole(exchange, encode(exchange.dialect.encode_count(tokens)), caller)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as error:  # the protocol wants the reason as a message; the server ends with it
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _plain_path(scope: Scope) -> str:
    """The path as the table of routes has it: without the prefix of a mount, without a slash at its end."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).rstrip("/") or "/"


def _answer_whole(exchange: Exchange, body: bytes, caller: Caller) -> Awaitable[None]:
    if b"x-wye-loss" in exchange.headers and wants_losses_in_body(exchange.headers):
        body = with_losses(body, exchange.losses)
    return caller.answer(200, _lines(exchange, JSON_LINE), body)


def _lines(exchange: Exchange, first: bytes) -> bytes:
    """An answer's header lines: `first`, and what Wye says of it besides its content."""
    lines = id_lines(exchange.request_id, exchange.answer_dialect or exchange.dialect)
    lines.append(first)
    _tell(exchange, lines)
    if exchange.answer_headers is not None:
        lines.append(header_lines([*exchange.answer_headers.items()]))
    return b"".join(lines)


def _tell(exchange: Exchange, lines: list[bytes]) -> None:
    """Add how the answer, or the error, came about."""
    deployment = exchange.deployment
    if deployment is not None:
        lines.append(deployment.told_first if exchange.attempts == 1 else deployment.told % exchange.attempts)
    if exchange.reservation is not None:
        lines.append(exchange.reservation.lines)
    if exchange.queue_position is not None:
        lines.append(b"x-queue-position: %b\r\n" % exchange.queue_position)
    if exchange.cache is not None:
        lines.append(b"x-wye-cache: %b\r\n" % exchange.cache.encode())
    if exchange.trace is not None and wants_trace(exchange.headers):
        lines.append(b"x-wye-trace: %b\r\n" % _as_header("; ".join(exchange.trace)))
    if exchange.lost:
        lines.append(b"x-wye-loss: %b\r\n" % exchange.lost.header().encode())


def _as_header(text: str) -> bytes:
    """Some of what is told comes from upstreams: printable ASCII, and bounded."""
    plain = "".join(character if character.isprintable() else " " for character in text[:_MAX_TRACE])
    return plain.encode("ascii", "replace")
