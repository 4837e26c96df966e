"""Wye's connections within the whole of uvicorn: its start, its end, its patience."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
import uvicorn

from tests.waiting import steady, turns, until
from wye.api.asgi import Application, Receive, Scope, Send
from wye.api.http import connection
from wye.api.http.server import make_server

from .socket_pair import CHUNKED, GET, Caller, post, serving

TEXT = {"type": "http.response.start", "status": 200, "headers": []}


class Slow:
    """Streams until `go_on`; notes how each request ended."""

    def __init__(self, *, begin: bool = True) -> None:
        self.begin = begin
        self.go_on = asyncio.Event()
        self.running = 0
        self.ends: list[str] = []
        self.lifespan: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                kind = (await receive())["type"]
                self.lifespan.append(kind)
                await send({"type": f"{kind}.complete"})
            return
        await receive()
        self.running += 1
        try:
            if self.begin:
                await send(TEXT)
                await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await self.go_on.wait()
            if not self.begin:
                await send(TEXT)
            await send({"type": "http.response.body", "body": b"two"})
            self.ends.append("complete")
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise


class Server:
    def __init__(self, application: Application, grace_s: float) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uvicorn: uvicorn.Server = make_server(application, grace_s)
        self.running = asyncio.create_task(self.uvicorn.serve([self.listener]))

    async def call(self) -> Caller:
        return Caller(*await asyncio.open_connection("127.0.0.1", self.listener.getsockname()[1]))

    async def stop(self) -> None:
        self.uvicorn.should_exit = True
        # uvicorn looks every 0.1 s whether it should stop; its own patience after that is what tests are about.
        await until(lambda: not self.uvicorn.servers[0].is_serving())


@contextlib.asynccontextmanager
async def running(application: Application, grace_s: float = 2) -> AsyncIterator[Server]:
    server = Server(application, grace_s)
    await until(lambda: server.uvicorn.started)
    try:
        yield server
    finally:
        server.uvicorn.should_exit = True
        await server.running


async def test_an_idle_connection_does_not_hold_a_server_that_ends():
    slow = Slow()
    slow.go_on.set()
    async with running(slow, grace_s=30) as server:
        silent, idle, halfway = [await server.call() for _ in range(3)]
        assert (await idle.ask(GET)).status == 200
        halfway.say(GET[:10])
        await turns()
        await server.stop()
        for caller in (silent, idle, halfway):
            assert await caller.rest() == b""
        await asyncio.wait_for(server.running, 20)
    assert slow.lifespan == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize("begin", [True, False], ids=["begun", "not begun"])
async def test_an_answer_under_way_is_said_to_its_end_and_is_the_last_of_its_connection(begin: bool):
    slow = Slow(begin=begin)
    async with running(slow, grace_s=30) as server:
        caller = await server.call()
        caller.say(GET)
        await until(lambda: slow.running == 1)
        await server.stop()
        slow.go_on.set()
        answer = await caller.answer()
        assert answer.body == (b"onetwo" if begin else b"two")
        assert answer.headers.get(b"connection") == (None if begin else b"close")
        assert await caller.rest() == b""
    assert slow.ends == ["complete"]


async def test_a_server_that_ends_waits_no_longer_than_its_grace():
    begun, waiting = Slow(begin=True), Slow(begin=False)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await (waiting if scope.get("path") == "/wait" else begun)(scope, receive, send)

    async with running(application, grace_s=0.2) as server:
        caller, second = await server.call(), await server.call()
        caller.say(GET)
        second.say(post(b"", path=b"/wait"))
        await until(lambda: begun.running == waiting.running == 1)
        await server.stop()
        assert (await second.answer()).status == 503
        assert await second.rest() == b""
        await caller.head()
        assert await caller.piece() == b"one"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await caller.piece()
    assert begun.ends == waiting.ends == ["cancelled"]


async def test_grace_is_rounded_up_to_whole_seconds_as_uvicorn_wants_them():
    assert make_server(Slow(), 0.2).config.timeout_graceful_shutdown == 1


# TLS


@pytest.fixture(scope="session")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the caller's."""
    authority = trustme.CA()
    server, caller = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(caller)
    return server, caller


async def scheme_and_body(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/early":
        body = b"early"
    else:
        body = scope["scheme"].encode()
        while (message := await receive())["more_body"]:
            body += message["body"]
        body += message["body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@steady(0.1)
async def test_the_same_over_tls(contexts: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "LINGER_S", 0.2)
    big = bytes(1_000_000)
    async with serving(scheme_and_body, server_tls=contexts[0], caller_tls=contexts[1]) as served:
        caller = await served.call()
        for _ in range(2):
            assert (await caller.ask(post(b"hello"))).body == b"httpshello"
            assert (await caller.ask(post(big))).body == b"https" + big
            assert (await caller.ask(post(big, path=b"/early"))).body == b"early"
        assert (await caller.ask(post(b"hello", b"connection: close"))).body == b"httpshello"
        assert await caller.rest() == b""

        # One side of such a connection cannot be closed alone: it is closed when the rest has had its time.
        caller = await served.call()
        caller.say(post(b"he", b"connection: close", length=5, path=b"/early"))
        assert (await caller.answer()).body == b"early"
        await caller.gone()

        for way in (Caller.leave, Caller.reset):
            caller = await served.call()
            caller.say(CHUNKED)
            await asyncio.sleep(0.01)
            way(caller)
        await until(lambda: not served.connections)


async def test_a_caller_on_a_unix_socket_has_no_address(tmp_path: object):
    seen: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    path = f"{tmp_path}/wye"
    config = make_server(application, grace_s=1).config
    config.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()
    listener = await loop.create_unix_server(lambda: connection.Connection(config, state, {}), path)
    caller = Caller(*await asyncio.open_unix_connection(path))
    assert (await caller.ask(GET)).status == 204
    assert (seen[0]["client"], seen[0]["server"]) == (None, None)
    caller.leave()
    await until(lambda: not state.connections)
    listener.close()
