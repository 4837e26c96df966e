"""What a connection leaves behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import until
from wye.api.asgi import Application, Receive, Scope, Send
from wye.api.caller import caller_of
from wye.api.http.call import Call
from wye.api.http.connection import Connection

from .socket_pair import CHUNKED, GET, Directly, Served, post, serving


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def direct(scope: Scope, receive: Receive, send: Send) -> None:
    caller = caller_of(scope, receive, send)
    while body := await caller.read():
        pass
    caller.cancel_if_left()
    if body is None:
        return
    if scope["path"] == "/work":
        await asyncio.sleep(30)
    caller.begin(200, b"", 5 if scope["method"] == "GET" else None)
    caller.say(b"hello")
    await caller.end()


async def serve(caller: Any) -> None:
    while body := await caller.read():
        pass
    caller.cancel_if_left()
    if body is None:
        return
    if caller.target == b"/work":
        await asyncio.sleep(30)
    await caller.answer(200, b"", b"hello")


async def by_messages(scope: Scope, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    if scope["path"] == "/work":
        assert (await receive())["type"] == "http.disconnect"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("application", [direct, by_messages, Directly(serve)], ids=["caller", "asgi", "direct"])
@pytest.mark.usefixtures("no_collector")
async def test_requests_leave_no_circles(application: Application):
    requests = [GET, post(b"hello"), CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"]
    async with serving(application) as served:
        caller = await served.call()
        for i in range(1000):
            await caller.ask(requests[i % 3])
        await asyncio.sleep(0)
        assert gc.collect() < 20


async def leave_within(served: Served, request: bytes) -> None:
    caller = await served.call()
    caller.say(request)
    await asyncio.sleep(0.002)
    caller.leave()


@pytest.mark.parametrize("application", [direct, by_messages, Directly(serve)], ids=["caller", "asgi", "direct"])
@pytest.mark.parametrize(
    "request_",
    [b"", GET[:10], GET, post(b"he", length=5), post(b"", path=b"/work"), b"nonsense\r\n\r\n"],
    ids=["nothing", "a part of a head", "whole", "a part of a body", "at work", "nonsense"],
)
async def test_connections_leave_no_circles(application: Application, request_: bytes):
    """The callers' side makes some of its own: only what belongs to Wye is counted."""

    def alive() -> int:
        return sum(isinstance(found, Call | Connection) for found in gc.get_objects())

    async with serving(application) as served:
        gc.freeze()  # only what comes from now on is looked through
        before = alive()
        gc.disable()
        try:
            for _ in range(20):
                await leave_within(served, request_)
            served.callers.clear()
            await until(lambda: not served.connections and not served.state.tasks)
            await asyncio.sleep(0.01)
            assert alive() == before
        finally:
            gc.enable()
            gc.unfreeze()


async def test_memory_does_not_grow_with_requests():
    async with serving(direct) as served:
        caller = await served.call()
        for _ in range(200):
            await caller.ask(post(b"hello"))
        tracemalloc.start()
        try:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(1000):
                await caller.ask(post(b"hello"))
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 20_000
        finally:
            tracemalloc.stop()
