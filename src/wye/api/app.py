"""The ASGI application: the hot routes by hand, all others by Starlette. Thin: it decides nothing about an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from wye.api.asgi import Application, Receive, Scope, Send
from wye.api.caller import Caller, DirectCaller, Serving, caller_of
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
from wye.gateway.straight import Underway
from wye.kernel import clock
from wye.kernel.errors import Forbidden, NotFound, Overloaded, Unauthenticated, WyeError
from wye.kernel.json import encode
from wye.ports.transport import HeaderMap, Sent

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

    def direct(self, caller: DirectCaller, method: bytes, target: bytes) -> bool:
        """Serve a caller of a hot route, whose path is all that there is to its target: see `caller.Direct`."""
        found = asked_plainly(target) if method == b"POST" else None
        if found is None:
            return False
        exchange = self._exchange_at_once(caller, found) if found.operation == "chat" else None
        underway = self.pipeline.straight.ask(exchange) if exchange is not None else None
        if underway is None or underway.exchange.sent is None:
            caller.serve(self.serve(caller, found, exchange=exchange, underway=underway))
        else:
            caller.served_by(Passing(self, caller, found, underway, underway.exchange.sent))
        return True

    def _exchange_at_once(self, caller: Caller, found: Asked) -> Exchange | None:
        """Where the caller is known and has said all; None where somebody must be waited for."""
        try:
            principal = self.pipeline.auth.known(caller.headers)
        except (Unauthenticated, Forbidden):
            return None
        body = body_at_once(caller, self._body_limit) if principal is not None else None
        if principal is None or body is None:
            return None
        caller.cancel_if_left()
        return _exchange(request_id_of(caller.headers), found, body, caller.headers, principal)

    def _answer(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["method"] == "POST":
            try:
                found = asked(scope)
            except WyeError as error:
                caller = caller_of(scope, receive, send)
                return send_error(caller, error, self._plain, request_id_of(caller.headers))
            if found is not None:
                return self.serve(caller_of(scope, receive, send), found, scope)
        path = _plain_path(scope)
        if path != scope["path"]:
            return self._answer({**scope, "path": path, "root_path": ""}, receive, send)
        return self._pages(scope, receive, send)

    async def serve(
        self,
        caller: Caller,
        found: Asked,
        scope: Scope | None = None,
        exchange: Exchange | None = None,
        underway: Underway | None = None,
    ) -> None:
        """`scope` is needed where a request may be signed; the others where something was done at once."""
        headers, auth = caller.headers, self.pipeline.auth
        request_id = request_id_of(headers) if exchange is None else exchange.request_id
        dialect = found.answer_dialect or found.dialect
        begun = False
        try:
            if exchange is None:
                if found.signed:
                    assert scope is not None, "a path that tells more than its route is read from a scope"
                    body, principal = await self._signed_body(scope, caller)
                else:
                    principal = auth.known(headers) or await auth.identify(headers)
                    body = body_at_once(caller, self._body_limit)
                    if body is None:
                        body = await read_body(caller, self._body_limit)
                caller.cancel_if_left()
                exchange = _exchange(request_id, found, body, headers, principal)
            if found.operation == "count_tokens":
                await self._count(exchange, caller)
                return
            if underway is not None:
                said = await self.pipeline.go_on(underway)
            elif found.embeddings is not None:
                said = await self.pipeline.embed(exchange, found.embeddings)
            else:
                said = await self.pipeline.chat(exchange)
            if type(said) is Whole:
                await caller.answer(200, *_whole(exchange, said.body))
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
        await caller.answer(200, *_whole(exchange, encode(exchange.dialect.encode_count(tokens))))

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


class Passing:
    """Serves a caller whose request is sent on, without a task: see `gateway.straight`.

    What is no plain answer goes on in a task, and so does what ends before its answer has come.
    """

    __slots__ = ("_app", "_asked", "_caller", "_over", "_underway", "_until_s")

    def __init__(self, app: App, caller: DirectCaller, asked: Asked, underway: Underway, sent: Sent) -> None:
        self._app = app
        self._caller = caller
        self._asked = asked
        self._underway = underway
        self._until_s = 0.0
        """When the body must have come; 0 until the head has."""
        self._over = False
        sent.tell(self._heard)

    def _heard(self, sent: Sent) -> None:
        try:
            exchange = self._underway.exchange
            said = self._app.pipeline.straight.answer(exchange, sent)
            if said is not None:
                self._over = True
                self._caller.answer_at_once(200, *_whole(exchange, said.body))
                self._caller.over(None)
            elif sent.more:
                now_s = clock.monotonic_s()
                self._until_s = self._until_s or now_s + self._underway.body_s
                sent.tell(self._heard, self._until_s - now_s)
            else:
                self._go_on()
        except Exception as error:  # the last edge: nobody above would tell
            self._over = True
            self._caller.over(error)

    def _go_on(self) -> Serving:
        self._over = True
        underway = self._underway
        return self._caller.serve(
            self._app.serve(self._caller, self._asked, exchange=underway.exchange, underway=underway)
        )

    def cancel(self, msg: object = None) -> bool:
        if self._over:
            return False
        # Whoever cancels may be a task, within which no other one can begin.
        asyncio.get_running_loop().call_soon(self._cancel)
        return True

    def _cancel(self) -> None:
        if not self._over:
            self._go_on().cancel()


def _plain_path(scope: Scope) -> str:
    """The path as the table of routes has it: without the prefix of a mount, without a slash at its end."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).rstrip("/") or "/"


def _exchange(request_id: str, found: Asked, body: bytes, headers: HeaderMap, principal: str) -> Exchange:
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
    return exchange


def _whole(exchange: Exchange, body: bytes) -> tuple[bytes, bytes]:
    """The header lines and the body of a whole answer."""
    if b"x-wye-loss" in exchange.headers and wants_losses_in_body(exchange.headers):
        body = with_losses(body, exchange.losses)
    return _lines(exchange, JSON_LINE), body


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
