"""How long a call may take, what leaving does, and how much may pile up."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.waiting import turns, until
from wye.kernel.clock import monotonic_s
from wye.kernel.errors import ClockExpired, StreamCut
from wye.ports.transport import Origin, Transport

from .conftest import Call, Opener, ask
from .scripted_server import Visit, answering, scripted_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def silent(visit: Visit) -> None:
    await visit.request()
    await visit.left()


async def stalled(visit: Visit) -> None:
    await visit.request()
    await visit.say(OK[:-1])
    await visit.left()


async def dripping(visit: Visit) -> None:
    await visit.request()
    for byte in OK[:-7]:
        await visit.say(bytes([byte]))
        await asyncio.sleep(0.05)
    await visit.left()


async def dripping_body(visit: Visit) -> None:
    await visit.request()
    await visit.say(CHUNKED)
    while True:
        await visit.say(b"1\r\nx\r\n")
        await asyncio.sleep(0.02)


async def chattering(visit: Visit) -> None:
    """A chunk size whose extension never ends: bytes, but never one of the body."""
    await visit.request()
    await visit.say(CHUNKED + b"1\r\nx\r\n5;")
    while True:
        await visit.say(b"x")
        await asyncio.sleep(0.02)


async def test_connect_s_ends_a_handshake_that_goes_nowhere(call: Call):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begun = monotonic_s()
        with pytest.raises(ClockExpired, match=r"longer than 0\.1 s") as raised:
            await call(Origin("https", "127.0.0.1", mute.getsockname()[1]), connect_s=0.1)
        assert raised.value.clock == "connect_s"
        assert monotonic_s() - begun > 0.09


@pytest.mark.parametrize("script", [silent, dripping])
async def test_headers_s_ends_the_wait_for_a_head_however_slowly_it_drips(call: Call, script):
    async with scripted_server(script) as server:
        begun = monotonic_s()
        with pytest.raises(ClockExpired, match=r"longer than 0\.2 s") as raised:
            await call(server.origin, headers_s=0.2)
        assert raised.value.clock == "headers_s"
        assert monotonic_s() - begun > 0.19
        await server.lost()
        assert server.visits == 1


@pytest.mark.parametrize("script", [stalled, chattering])
async def test_a_read_names_the_clock_that_ran_out(call: Call, script):
    async with scripted_server(script) as server:
        reply = await call(server.origin)
        assert len(await reply.read(30, "first_token_s")) == 1
        with pytest.raises(ClockExpired) as raised:
            await reply.read(0.15, "gap_s")
        assert raised.value.clock == "gap_s"
        await server.lost()


async def test_a_clock_that_runs_out_before_an_earlier_longer_one_is_not_late(call: Call):
    async with scripted_server(stalled) as server:
        reply = await call(server.origin, headers_s=60)
        await reply.read(30)
        begun = monotonic_s()
        with pytest.raises(ClockExpired):
            await reply.read(0.1)
        assert monotonic_s() - begun < 20


async def test_the_gap_clock_starts_again_with_each_read(call: Call):
    async with scripted_server(dripping_body) as server:
        reply = await call(server.origin)
        for _ in range(20):
            begun = monotonic_s()
            try:
                assert await reply.read(0.2)
            except ClockExpired:  # for a machine that stood still; never before this read's own clock
                assert monotonic_s() - begun > 0.19
                break
        reply.close()


async def test_a_short_wait_leaves_no_clock_behind_for_a_longer_one(transport: Transport):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK)
        await visit.request()
        await asyncio.sleep(0.3)
        await visit.say(OK)
        await visit.left()

    async with scripted_server(script) as server:
        with contextlib.suppress(ClockExpired):  # the machine stood still: the longer wait has a connection of its own
            await (await ask(transport, server.origin, headers_s=0.1)).read_all(10, 30)
        assert await (await ask(transport, server.origin, headers_s=30)).read_all(10, 30) == b"ok"


async def test_a_clock_that_fires_between_calls_does_nothing(transport: Transport):
    expired = 0
    async with scripted_server(answering(OK)) as server:
        for _ in range(2):
            try:
                await (await ask(transport, server.origin, headers_s=0.05)).read_all(10, 30)
            except ClockExpired:  # the machine stood still: the next call has a connection of its own
                expired += 1
            await asyncio.sleep(0.1)
        await (await ask(transport, server.origin)).read_all(10, 30)
        assert server.visits == 1 + expired


@pytest.mark.parametrize("script", [stalled, dripping_body])
async def test_read_all_has_one_clock_for_the_whole(call: Call, script):
    async with scripted_server(script) as server:
        reply = await call(server.origin)
        with pytest.raises(ClockExpired, match=r"longer than 0\.2 s"):
            await reply.read_all(1000, 0.2)
        await server.lost()


async def test_cancelling_the_wait_for_a_head_ends_the_connection(call: Call):
    async with scripted_server(silent) as server:
        task = asyncio.ensure_future(call(server.origin))
        await until(lambda: bool(server.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.lost()


async def test_cancelling_a_read_ends_the_connection(call: Call):
    async with scripted_server(stalled) as server:
        reply = await call(server.origin)
        assert await reply.read(30) == b"o"
        task = asyncio.ensure_future(reply.read(30))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.lost()


async def test_cancelling_a_handshake_leaves_no_connection(opener: Opener):
    transport = opener(max_connections=1)
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.setblocking(False)
        origin = Origin("https", "127.0.0.1", mute.getsockname()[1])
        for _ in range(2):
            task = asyncio.ensure_future(ask(transport, origin))
            accepted, _ = await loop.sock_accept(mute)
            await turns(5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with accepted:
                while await loop.sock_recv(accepted, 65_536):
                    pass


async def test_closing_while_a_connection_is_made_refuses_the_call(transport: Transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.ensure_future(ask(transport, Origin("http", "127.0.0.1", listener.getsockname()[1])))
        await asyncio.sleep(0)
        await transport.close()
        with pytest.raises(Exception, match="shutting down"):
            await task


async def test_a_slow_reader_holds_the_upstream_back_and_loses_nothing(call: Call):
    size = 50_000_000
    sent = 0

    async def script(visit: Visit) -> None:
        nonlocal sent
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        block = bytes(100_000)
        while sent < size:
            await visit.say(block)
            sent += len(block)
        await visit.request()
        await visit.say(OK)

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        await asyncio.sleep(0.5)
        assert sent < size / 2  # what the two kernels' buffers hold, and no more
        received = len(first := await reply.read(30))
        assert received <= 2 * 262_144
        del first
        while piece := await reply.read(30):
            assert len(piece) <= 2 * 262_144
            received += len(piece)
        assert received == size
        assert await (await call(server.origin)).read_all(10, 30) == b"ok"
        assert server.visits == 1


async def test_an_answer_that_ends_while_held_back_still_gives_its_connection_back(call: Call):
    size = 300_000

    async def script(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            for _ in range(3):
                await visit.say(bytes(size // 3))
                await asyncio.sleep(0.01)

    async with scripted_server(script) as server:
        for _ in range(2):
            reply = await call(server.origin)
            await asyncio.sleep(0.1)
            assert len(await reply.read_all(size, 30)) == size
        assert server.visits == 1


async def test_what_was_held_back_is_still_read_when_the_transport_closes_and_then_cut(transport: Transport):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n")
        await visit.say(bytes(8_000_000))
        await visit.left()

    async with scripted_server(script) as server:
        reply = await ask(transport, server.origin)
        await turns()
        await transport.close()
        assert len(await reply.read(30)) > 262_144
        with pytest.raises(StreamCut, match="shutting down"):
            await reply.read(30)
