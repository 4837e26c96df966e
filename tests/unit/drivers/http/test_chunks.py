"""A body in chunks as it comes to a connection: what begins with one is offered with its framing, all else parsed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wye.drivers.http.connection import Connection
from wye.drivers.http.reply import HttpReply
from wye.kernel.chunked import framed
from wye.kernel.clock import monotonic_s
from wye.ports import transport

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class Sink(transport.Sink):
    """Takes `wants` pieces, then says that it has enough."""

    def __init__(self, wants: int = 1000) -> None:
        self.deadline_s = monotonic_s() + 60
        self.taken: list[bytes] = []
        self.wants = wants

    def take(self, data: bytes) -> bool:
        self.taken.append(data)
        return len(self.taken) < self.wants


class ChunkSink(Sink):
    """Takes whole chunks with their framing."""

    def __init__(self, wants: int = 1000) -> None:
        super().__init__(wants)
        self.offered: list[bytes] = []

    def take_chunks(self, chunks: bytes) -> bool | None:
        self.offered.append(chunks)
        data = chunks.partition(b"\r\n")[2].removesuffix(b"\r\n")
        return self.take(data) if data and chunks == framed(data) else None


class Wire:
    """The transport below a connection, and its pool."""

    def __init__(self) -> None:
        self.kept = False

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def lose(self, connection: Connection) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def keep(self, connection: Connection) -> None:
        self.kept = True


async def asked() -> tuple[Connection, HttpReply, Wire]:
    wire: Any = Wire()
    connection = Connection("peer", wire)
    connection.connection_made(wire)
    return connection, connection.exchange(b"GET / HTTP/1.1\r\n\r\n", b"", False, 60), wire


async def poured(parts: list[bytes], sink: Sink) -> None:
    connection, reply, wire = await asked()
    connection.data_received(HEAD)
    pouring = asyncio.ensure_future(reply.pour(sink, "gap_s"))
    for part in parts:
        await asyncio.sleep(0)
        connection.data_received(part)
    assert await pouring
    assert wire.kept, "the parser has seen a whole answer"


LOOKS_LIKE_ONE = framed(b"abc")
ONE, TWO = framed(b"one"), framed(b"two")


@pytest.mark.parametrize(
    ("parts", "offered"),
    [
        pytest.param([ONE, TWO], [0, 1], id="whole chunks"),
        pytest.param([ONE, TWO[:5], TWO[5:], ONE], [0, 1, 3], id="one in two parts"),
        pytest.param([ONE, TWO[:1], TWO[1:], ONE], [0, 1, 3], id="a size by itself"),
        pytest.param([ONE, TWO[:2], TWO[2:], ONE], [0, 1, 3], id="half a line end"),
        pytest.param([ONE, TWO[:3], TWO[3:], ONE], [0, 1, 3], id="a line by itself"),
        pytest.param([ONE, TWO[:6], TWO[6:], ONE], [0, 1, 3], id="a line end by itself"),
        pytest.param([ONE, TWO[:-1], TWO[-1:], ONE], [0, 1, 3], id="half a line end behind it"),
        pytest.param([ONE, ONE + TWO, ONE], [0, 1, 2], id="two at once"),
        pytest.param([ONE + b"1", b"\r\nb\r\n", TWO], [0, 2], id="one and the next one's size"),
        pytest.param([b"1;x=y\r\na\r\n", b"01\r\nb\r\n", ONE], [0, 1, 2], id="unusual framing"),
        pytest.param([b"10\r\n", LOOKS_LIKE_ONE, LOOKS_LIKE_ONE, b"\r\n"], [0], id="data that looks like a chunk"),
        pytest.param([b"f", ONE[:3], b"x" * 0xF3, b"\r\n", TWO], [0, 4], id="more of a size"),
    ],
)
async def test_what_begins_with_a_chunk_is_offered_with_its_framing(parts: list[bytes], offered: list[int]) -> None:
    parts = [framed(b"first"), *parts, END]
    with_framing, without, at_once = ChunkSink(), Sink(), Sink()
    await poured(parts, with_framing)
    await poured(parts, without)
    await poured([b"".join(parts)], at_once)
    assert with_framing.offered == [*(parts[i + 1] for i in offered), END]
    assert b"".join(with_framing.taken) == b"".join(without.taken) == b"".join(at_once.taken)


async def test_a_sink_that_has_enough_is_given_nothing_until_it_asks_again() -> None:
    connection, reply, _ = await asked()
    connection.data_received(HEAD + framed(b"first"))
    sink = ChunkSink(wants=3)
    pouring = asyncio.ensure_future(reply.pour(sink, "gap_s"))
    for piece in (b"one", b"two", b"three", b"four"):
        await asyncio.sleep(0)
        connection.data_received(framed(piece))
    assert not await pouring
    assert sink.taken == [b"first", b"one", b"two"]
    sink.wants = 1000
    connection.data_received(END)
    assert await reply.pour(sink, "gap_s")
    assert b"".join(sink.taken) == b"firstonetwothreefour"


async def test_the_next_answer_may_have_no_chunks() -> None:
    connection, reply, _ = await asked()
    connection.data_received(HEAD + framed(b"first") + END)
    assert await reply.read(60) == b"first"
    following = connection.exchange(b"GET / HTTP/1.1\r\n\r\n", b"", False, 60)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(ONE + TWO))
    sink = ChunkSink()
    pouring = asyncio.ensure_future(following.pour(sink, "gap_s"))
    for part in (ONE, TWO):
        await asyncio.sleep(0)
        connection.data_received(part)
    assert await pouring
    assert b"".join(sink.taken) == ONE + TWO
    assert not sink.offered
