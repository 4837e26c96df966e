"""Which connections are kept, used again, given up, and how calls share them."""

from __future__ import annotations

import asyncio

import pytest

from wye.kernel.errors import ClockExpired, ConnectFailed, StreamCut
from wye.ports.transport import Transport

from .conftest import Opener, ask
from .scripted_server import ScriptedServer, Visit, answering, scripted_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def fetch(transport: Transport, server: ScriptedServer, **clocks: float) -> bytes:
    reply = await ask(transport, server.origin, **clocks)
    try:
        return await reply.read_all(100, 30)
    finally:
        reply.close()


async def test_calls_one_after_the_other_share_a_connection(transport: Transport):
    async with scripted_server(answering(OK)) as server:
        for _ in range(20):
            assert await fetch(transport, server) == b"ok"
        assert (server.visits, len(server.requests)) == (1, 20)


async def test_calls_at_once_have_a_connection_each_and_the_last_used_is_used_first(transport: Transport):
    served: list[int] = []
    together = asyncio.Event()

    async def script(visit: Visit) -> None:
        while True:
            await visit.request()
            served.append(visit.number)
            if len(served) == 3:
                together.set()
            await together.wait()
            await visit.say(OK)

    async with scripted_server(script) as server:
        await asyncio.gather(*(fetch(transport, server) for _ in range(3)))
        assert server.visits == 3
        for _ in range(5):
            await fetch(transport, server)
        assert len(set(served[3:])) == 1


async def test_an_answer_that_has_come_frees_its_connection_before_it_is_read(transport: Transport):
    async with scripted_server(answering(OK)) as server:
        first = await ask(transport, server.origin)
        assert await fetch(transport, server) == b"ok"
        assert await first.read(30) == b"ok"
        assert server.visits == 1


async def test_a_reply_closed_before_its_end_ends_the_connection(transport: Transport):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK[:-1])
        await visit.left()

    async with scripted_server(script) as server:
        reply = await ask(transport, server.origin)
        reply.close()
        reply.close()
        await server.lost()
        with pytest.raises(StreamCut, match="closed before it was read"):
            await reply.read(30)


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_kept_connection_that_ends_when_used_is_replaced_once_and_silently(transport: Transport, how: str):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK)
        await visit.request()
        if how == "reset":
            visit.reset()

    async with scripted_server(script) as server:
        assert await fetch(transport, server) == b"ok"
        assert await fetch(transport, server) == b"ok"
        assert (server.visits, len(server.requests)) == (2, 3)


async def test_the_retry_is_not_retried(transport: Transport):
    async def script(visit: Visit) -> None:
        await visit.request()
        if visit.number == 1:
            await visit.say(OK)
            await visit.request()

    async with scripted_server(script) as server:
        assert await fetch(transport, server) == b"ok"
        with pytest.raises(StreamCut, match="before it answered"):
            await fetch(transport, server)
        assert server.visits == 2


@pytest.mark.parametrize("bytes_of_answer", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:-1]])
async def test_a_request_is_not_sent_again_once_a_byte_of_an_answer_came(transport: Transport, bytes_of_answer: bytes):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK)
        await visit.request()
        await visit.say(bytes_of_answer)

    async with scripted_server(script) as server:
        assert await fetch(transport, server) == b"ok"
        with pytest.raises(StreamCut):
            await fetch(transport, server)
        assert server.visits == 1


async def test_a_connection_that_the_upstream_closed_when_idle_is_not_tried(transport: Transport):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK)

    async with scripted_server(script) as server:
        for _ in range(3):
            assert await fetch(transport, server) == b"ok"
            await asyncio.sleep(0.02)
        assert (server.visits, len(server.requests)) == (3, 3)


async def test_a_retry_keeps_its_place_and_gives_it_back_when_it_fails(opener: Opener):
    transport = opener(max_connections=1)

    async def script(visit: Visit) -> None:
        await visit.request()
        if visit.number != 2:
            await visit.say(OK)
            await visit.request()

    async with scripted_server(script) as server:
        assert await fetch(transport, server) == b"ok"
        first, second = await asyncio.gather(fetch(transport, server), fetch(transport, server), return_exceptions=True)
        assert isinstance(first, StreamCut)
        assert second == b"ok"
        assert server.visits == 3


async def test_an_idle_connection_grows_old_and_ends(opener: Opener):
    transport = opener(idle_s=0.1)
    async with scripted_server(answering(OK)) as server:
        await fetch(transport, server)
        await asyncio.sleep(0.05)
        await asyncio.gather(fetch(transport, server), fetch(transport, server))
        kept = server.visits
        await server.lost(kept)
        await fetch(transport, server)
        assert server.visits == kept + 1


async def test_a_connection_too_old_is_not_taken_even_before_it_is_swept(opener: Opener):
    transport = opener(idle_s=-1.0)
    async with scripted_server(answering(OK)) as server:
        for _ in range(3):
            assert await fetch(transport, server) == b"ok"
        assert server.visits == 3


async def test_no_more_connections_are_kept_than_allowed(opener: Opener):
    transport = opener(max_idle=1)
    together = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        if visit.number == 3:
            together.set()
        await together.wait()
        await visit.say(OK)
        await visit.left()

    async with scripted_server(script) as server:
        await asyncio.gather(*(fetch(transport, server) for _ in range(3)))
        await server.lost(2)
        await asyncio.sleep(0.05)
        assert server.left == 2


async def test_calls_beyond_the_limit_wait_and_are_served_in_order(opener: Opener):
    transport = opener(max_connections=2)
    done: list[int] = []

    async def one(number: int) -> None:
        assert await fetch(transport, server) == b"ok"
        done.append(number)

    async with scripted_server(answering(OK)) as server:
        await asyncio.gather(*(one(number) for number in range(30)))
        assert server.visits == 2
        assert all(abs(place - number) <= 2 for place, number in enumerate(done)), done


async def test_a_call_that_waits_is_served_when_a_connection_fails(opener: Opener):
    transport = opener(max_connections=1)

    async def script(visit: Visit) -> None:
        await visit.request()
        await asyncio.sleep(0.02)
        if visit.number > 1:
            await visit.say(OK)

    async with scripted_server(script) as server:
        outcomes = await asyncio.gather(*(fetch(transport, server) for _ in range(3)), return_exceptions=True)
        assert isinstance(outcomes[0], StreamCut)
        assert outcomes[1:] == [b"ok", b"ok"]


async def test_a_call_that_waits_too_long_runs_out_of_its_connect_clock_and_leaves_the_queue(opener: Opener):
    transport = opener(max_connections=1, max_waiting=1)
    go = asyncio.Event()

    async def script(visit: Visit) -> None:
        while True:
            await visit.request()
            await go.wait()
            await visit.say(OK)

    async with scripted_server(script) as server:
        first = asyncio.ensure_future(fetch(transport, server))
        await asyncio.sleep(0.02)
        with pytest.raises(ClockExpired) as raised:
            await fetch(transport, server, connect_s=0.05)
        assert raised.value.clock == "connect_s"
        second = asyncio.ensure_future(fetch(transport, server))
        await asyncio.sleep(0.02)
        with pytest.raises(ConnectFailed, match=r"All 1 connections to .* are busy and 1 calls wait"):
            await fetch(transport, server)
        go.set()
        assert await asyncio.gather(first, second) == [b"ok", b"ok"]


async def test_close_ends_idle_busy_and_waiting_calls_and_refuses_later_ones(opener: Opener):
    transport = opener(max_connections=2)

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK[:-1])
        await visit.left()

    async with scripted_server(script) as server:
        busy = await ask(transport, server.origin)
        reading = asyncio.ensure_future(busy.read_all(100, 30))
        other = await ask(transport, server.origin)
        waiting = asyncio.ensure_future(ask(transport, server.origin))
        await asyncio.sleep(0.02)
        await transport.close()
        with pytest.raises(StreamCut, match="shutting down"):
            await reading
        with pytest.raises(ConnectFailed, match="shutting down"):
            await waiting
        with pytest.raises(ConnectFailed, match="shutting down"):
            await ask(transport, server.origin)
        other.close()
        await transport.close()
        await server.lost(2)


async def test_close_ends_kept_connections(transport: Transport):
    async with scripted_server(answering(OK)) as server:
        await fetch(transport, server)
        await transport.close()
        await server.lost()
