"""A body given to a sink as it comes: no piece too many, none lost, and every end told."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from tests.waiting import turns, until
from wye.kernel.clock import monotonic_s
from wye.kernel.errors import BadAnswer, ClockExpired, StreamCut
from wye.ports import transport

from .conftest import Call
from .scripted_server import Visit, scripted_server

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Sink(transport.Sink):
    """Takes `wants` pieces, then says that it has enough."""

    def __init__(self, wants: int = 1000, within_s: float = 60.0) -> None:
        self.taken: list[bytes] = []
        self.wants = wants
        self.within_s = within_s
        self.deadline_s = monotonic_s() + within_s

    def take(self, data: bytes) -> bool:
        assert data
        self.taken.append(data)
        self.deadline_s = monotonic_s() + self.within_s
        return len(self.taken) < self.wants


async def test_pieces_come_in_order_to_the_end(call: Call) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(HEAD)
        for piece in (b"one", b"two", b"three"):
            await visit.say(chunk(piece))
            await asyncio.sleep(0.02)
        await visit.say(END)

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        sink = Sink()
        assert await reply.pour(sink, "gap_s")
        assert b"".join(sink.taken) == b"onetwothree"
        assert await reply.pour(sink, "gap_s"), "the end is told again"
        reply.close()


@pytest.mark.parametrize("pause_s", [0.0, 0.02], ids=["together", "one by one"])
async def test_a_sink_that_has_enough_is_given_nothing_until_it_asks_again(call: Call, pause_s: float) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(HEAD)
        await asyncio.sleep(0.05)
        for piece in (b"one", b"two", b"three"):
            await visit.say(chunk(piece))
            if pause_s:
                await asyncio.sleep(pause_s)
        await visit.say(END)
        await asyncio.sleep(0.1)

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        sink = Sink(wants=1)
        assert not await reply.pour(sink, "gap_s")
        assert len(sink.taken) == 1
        await asyncio.sleep(0.15)
        assert len(sink.taken) == 1, "nothing comes to one that did not ask"
        sink.wants = 1000
        assert await reply.pour(sink, "gap_s")
        assert b"".join(sink.taken) == b"onetwothree"
        reply.close()


async def test_what_a_sink_refuses_comes_out_and_nothing_follows_it(call: Call) -> None:
    class Refusing(Sink):
        def take(self, data: bytes) -> bool:
            super().take(data)
            raise BadAnswer("no sense in it")

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(HEAD)
        await asyncio.sleep(0.05)
        await visit.say(chunk(b"one"))
        await visit.say(chunk(b"two") + END)
        await asyncio.sleep(0.1)

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        sink = Refusing()
        with pytest.raises(BadAnswer, match="no sense in it"):
            await reply.pour(sink, "gap_s")
        await asyncio.sleep(0.1)
        assert len(sink.taken) == 1
        reply.close()


async def test_each_piece_moves_the_deadline_and_silence_reaches_it(call: Call) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(HEAD)
        for _ in range(5):
            await asyncio.sleep(0.05)
            await visit.say(chunk(b"x"))
        await visit.left()

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        sink = Sink(within_s=0.15)
        with pytest.raises(ClockExpired, match="gap_s"):
            await reply.pour(sink, "gap_s")
        assert monotonic_s() > sink.deadline_s - 0.01, "where each piece moved it"
        reply.close()


async def test_a_connection_that_ends_too_early_is_a_cut_after_what_came(call: Call) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(HEAD + chunk(b"one"))
        await asyncio.sleep(0.05)

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        sink = Sink()
        with pytest.raises(StreamCut):
            await reply.pour(sink, "gap_s")
        assert sink.taken == [b"one"]
        reply.close()


async def test_a_compressed_body_is_poured_as_what_it_says(call: Call) -> None:
    packed = gzip.compress(b"hello " * 1000)

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
        for start in range(0, len(packed), 10):
            await visit.say(chunk(packed[start : start + 10]))
        await visit.say(END)

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        sink = Sink()
        assert await reply.pour(sink, "gap_s")
        assert b"".join(sink.taken) == b"hello " * 1000
        reply.close()


async def test_a_pouring_that_is_cancelled_gives_no_more(call: Call) -> None:
    cancelled = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(HEAD + chunk(b"one"))
        await cancelled.wait()
        await visit.say(chunk(b"two"))
        await visit.left()

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        sink = Sink()
        pouring = asyncio.ensure_future(reply.pour(sink, "gap_s"))
        await until(lambda: bool(sink.taken))
        pouring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pouring
        cancelled.set()
        await turns()
        assert sink.taken == [b"one"]
        reply.close()
