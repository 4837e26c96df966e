"""A request that is sent over a kept connection, and an answer that is told of and not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from wye.kernel.errors import ClockExpired, StreamCut
from wye.ports.transport import Clocks, Origin, Sent, Transport

from .conftest import ask
from .scripted_server import Visit, scripted_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LONG = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n"
PATIENT = Clocks()


def send(transport: Transport, origin: Origin, clocks: Clocks = PATIENT) -> Sent | None:
    return transport.send_at_once(origin, b"GET", b"/", b"accept: */*\r\n", b"", clocks)


async def rest(transport: Transport, origin: Origin, sent: Sent) -> bytes:
    """Go on with what was sent, and read it."""
    reply = await transport.send(origin, b"GET", b"/", b"accept: */*\r\n", b"", PATIENT, sent)
    data = b""
    while piece := await reply.read(60):
        data += piece
    return data


async def told(sent: Sent, timeout_s: float | None = None) -> None:
    heard = asyncio.Event()
    sent.tell(lambda _: heard.set(), timeout_s)
    await heard.wait()


def after_one(script: Callable[[Visit], Awaitable[None]]) -> Callable[[Visit], Awaitable[None]]:
    """A server that answers whatever it is asked, but the second request of its first connection by the script."""

    async def both(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK)
        if visit.number == 1:
            await visit.request()
            await script(visit)

    return both


async def begun(transport: Transport, origin: Origin, clocks: Clocks = PATIENT) -> Sent:
    await (await ask(transport, origin)).read_all(10, 60)
    sent = send(transport, origin, clocks)
    assert sent is not None
    return sent


async def test_nothing_is_sent_where_no_connection_is_kept(transport: Transport):
    async with scripted_server(after_one(Visit.left)) as server:
        assert send(transport, server.origin) is None
        sent = await begun(transport, server.origin)
        assert send(transport, server.origin) is None
        assert (sent.status, sent.more, server.visits) == (0, False, 1)


async def test_an_answer_is_told_as_it_comes(transport: Transport):
    said = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.say(OK[:-2])
        await said.wait()
        await visit.say(OK[-2:])
        await visit.left()

    async with scripted_server(after_one(script)) as server:
        sent = await begun(transport, server.origin)
        await told(sent)
        assert (sent.status, sent.headers, sent.more) == (200, {b"content-length": b"2"}, True)
        assert sent.body_at_once(10) is None
        said.set()
        await told(sent, 60)
        assert (sent.more, sent.body_at_once(2), sent.body_at_once(1)) == (False, b"ok", None)
        assert send(transport, server.origin) is not None, "its connection is kept"


@pytest.mark.parametrize("head", [b"", OK[:-2]], ids=["head", "body"])
async def test_its_clock_runs_out(transport: Transport, head: bytes):
    async def script(visit: Visit) -> None:
        await visit.say(head)
        await visit.left()

    async with scripted_server(after_one(script)) as server:
        sent = await begun(transport, server.origin, Clocks() if head else Clocks(headers_s=0.05))
        await told(sent)
        if head:
            await told(sent, 0.05)
        assert not sent.more
        with pytest.raises(ClockExpired) as raised:
            await rest(transport, server.origin, sent)
        assert raised.value.clock == ("gap_s" if head else "headers_s")


async def test_what_was_sent_is_gone_on_with_wherever_it_stands(transport: Transport):
    async def script(visit: Visit) -> None:
        await visit.say(OK)
        await visit.left()

    for early in (True, False):
        async with scripted_server(after_one(script)) as server:
            sent = await begun(transport, server.origin)
            if not early:
                await told(sent)
            assert await rest(transport, server.origin, sent) == b"ok"
            assert len(server.requests) == 2


async def test_a_kept_connection_that_was_lost_is_replaced(transport: Transport):
    async def script(visit: Visit) -> None:
        visit.reset()

    async with scripted_server(after_one(script)) as server:
        sent = await begun(transport, server.origin)
        await told(sent)
        assert (sent.status, sent.more) == (0, False)
        assert await rest(transport, server.origin, sent) == b"ok"
        assert server.visits == 2


async def test_a_cut_is_told_and_raised(transport: Transport):
    async def script(visit: Visit) -> None:
        await visit.say(OK[:-1])

    async with scripted_server(after_one(script)) as server:
        sent = await begun(transport, server.origin)
        while not sent.status or sent.more:
            await told(sent, 60)
        assert sent.body_at_once(10) is None
        with pytest.raises(StreamCut):
            await rest(transport, server.origin, sent)


async def test_a_long_body_is_left_to_a_reader(transport: Transport):
    said = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.say(LONG + b"x" * 150_000)
        await said.wait()
        await visit.say(b"x" * 50_000)
        await visit.left()

    async with scripted_server(after_one(script)) as server:
        sent = await begun(transport, server.origin)
        await told(sent)
        while sent.more:
            await told(sent, 60)
        assert sent.status == 200
        assert sent.body_at_once(1_000_000) is None
        said.set()
        assert len(await rest(transport, server.origin, sent)) == 200_000
