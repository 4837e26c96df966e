"""What an upstream may answer, and how each form of it reaches the reader."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from tests.waiting import turns
from wye.kernel.errors import BadAnswer, BadRequest, StreamCut
from wye.ports.transport import Transport

from .conftest import Call, ask
from .scripted_server import Visit, answering, scripted_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def compressed(encoding: bytes, body: bytes) -> bytes:
    length = b"%d" % len(body)
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: " + encoding + b"\r\ncontent-length: " + length + b"\r\n\r\n" + body


WHOLE_ANSWERS = [
    pytest.param(OK, b"hello", id="content-length"),
    pytest.param(CHUNKED + b"3\r\nhel\r\n2;note=1\r\nlo\r\n0\r\n\r\n", b"hello", id="chunked"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n", b"hello", id="chunked with trailers"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", id="empty"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="204"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", b"", id="304"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"hello", id="1xx"),
    pytest.param(compressed(b"identity", b"hello"), b"hello", id="identity"),
    pytest.param(compressed(b"gzip", gzip.compress(b"hello")), b"hello", id="gzip"),
    pytest.param(compressed(b"gzip", gzip.compress(b"hel") + gzip.compress(b"lo")), b"hello", id="gzip members"),
    pytest.param(compressed(b"deflate", zlib.compress(b"hello")), b"hello", id="deflate"),
    pytest.param(compressed(b"deflate", raw_deflate(b"hello")), b"hello", id="raw deflate"),
    pytest.param(compressed(b"gzip", b""), b"", id="gzip of nothing"),
]


@pytest.mark.parametrize("drip", [False, True], ids=["at once", "a byte at a time"])
@pytest.mark.parametrize(("answer", "body"), WHOLE_ANSWERS)
async def test_every_form_of_an_answer_is_read_to_its_end_and_leaves_a_connection_for_the_next(
    call: Call, answer: bytes, body: bytes, drip: bool
):
    async def script(visit: Visit) -> None:
        while True:
            await visit.request()
            for start in range(len(answer)) if drip else ():
                await visit.say(answer[start : start + 1])
                await asyncio.sleep(0)
            if not drip:
                await visit.say(answer)

    async with scripted_server(script) as server:
        for _ in range(2):
            reply = await call(server.origin)
            assert reply.status == int(answer.rsplit(b"HTTP/1.1 ", 1)[1][:3])
            assert await reply.read_all(100, 30) == body
            assert await reply.read(30) == b""
            reply.close()
        assert server.visits == 1


async def test_the_head_is_readable_by_lower_case_names_and_without_interim_or_trailing_lines(call: Call):
    answer = (
        b"HTTP/1.1 103 Early\r\nx-early: 1\r\n\r\n"
        + CHUNKED[:-2]
        + b"X-Two: a\r\nx-two: b\r\n\r\n0\r\nx-late: 1\r\n\r\n"
    )
    async with scripted_server(answering(answer)) as server:
        reply = await call(server.origin)
        assert reply.headers == {b"transfer-encoding": b"chunked", b"x-two": b"b"}


async def test_a_decoded_answer_says_nothing_of_its_compression(call: Call):
    async with scripted_server(answering(compressed(b"gzip", gzip.compress(b"hello")))) as server:
        reply = await call(server.origin)
        assert reply.headers == {}
        reply.close()


async def test_a_body_without_a_length_ends_with_its_connection(call: Call):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\n\r\nhello")

    async with scripted_server(script) as server:
        for _ in range(2):
            reply = await call(server.origin)
            assert await reply.read_all(100, 30) == b"hello"
        assert server.visits == 2


async def test_a_body_without_a_length_that_a_reset_ends_is_cut(call: Call):
    read_so_far = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await read_so_far.wait()
        visit.reset()

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        assert await reply.read(30) == b"hello"
        read_so_far.set()
        with pytest.raises(StreamCut):
            await reply.read(30)


@pytest.mark.parametrize("body", [b"", b"hello"], ids=["obeyed", "disobeyed"])
async def test_an_answer_to_head_has_no_body(call: Call, body: bytes):
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    async with scripted_server(answering(head + body)) as server:
        reply = await call(server.origin, method=b"HEAD")
        assert reply.headers[b"content-length"] == b"5"
        assert await reply.read_all(100, 30) == b""


@pytest.mark.parametrize(
    ("status", "last"),
    [(b"connection: close\r\n", 2), (b"connection: keep-alive\r\n", 1)],
    ids=["close", "keep-alive"],
)
async def test_connection_close_is_obeyed(call: Call, status: bytes, last: int):
    async with scripted_server(answering(OK.replace(b"content-length", status + b"content-length"))) as server:
        for _ in range(2):
            assert await (await call(server.origin)).read_all(100, 30) == b"hello"
        assert server.visits == last


@pytest.mark.parametrize(
    "extra", [b"!", OK, OK[:10], b"\0" * 100_000], ids=["a byte", "an answer", "half of one", "many"]
)
async def test_a_connection_with_bytes_after_the_answer_is_not_used_again(call: Call, extra: bytes):
    async with scripted_server(answering(OK + extra)) as server:
        for _ in range(2):
            assert await (await call(server.origin)).read_all(100, 30) == b"hello"
        assert server.visits == 2


async def test_bytes_on_an_idle_connection_end_it(call: Call):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK)
        if visit.number == 1:
            await asyncio.sleep(0.05)
            await visit.say(OK.replace(b"hello", b"bogus"))
        await visit.left()

    async with scripted_server(script) as server:
        assert await (await call(server.origin)).read_all(100, 30) == b"hello"
        await server.lost()
        assert await (await call(server.origin)).read_all(100, 30) == b"hello"
        assert server.visits == 2


BAD_HEADS = [
    pytest.param(b"nonsense\r\n\r\n", id="not HTTP"),
    pytest.param(b"HTTP/2 200\r\n\r\n", id="HTTP/2"),
    pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", id="header without a colon"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", id="two lengths"),
    pytest.param(CHUNKED[:-2] + b"content-length: 5\r\n\r\n", id="length and chunks"),
    pytest.param(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", id="upgrade"),
    pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n" + OK[17:], id="giant header"),
    pytest.param(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000 + OK[17:], id="many headers"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000, id="endless 1xx"),
]


@pytest.mark.parametrize("head", BAD_HEADS)
async def test_a_head_that_cannot_be_understood_is_a_bad_answer_and_ends_the_connection(call: Call, head: bytes):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(head)
        await visit.left()

    async with scripted_server(script) as server:
        with pytest.raises(BadAnswer) as raised:
            await call(server.origin)
        assert len(raised.value.message) < 200
        await server.lost()


@pytest.mark.parametrize("endless", [b"x: y\r\n", b"z"], ids=["lines", "one line"])
async def test_an_endless_head_is_a_bad_answer(call: Call, endless: bytes):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\n")
        while True:
            await visit.say(endless * 100)

    async with scripted_server(script) as server:
        with pytest.raises(BadAnswer, match="headers"):
            await call(server.origin)


BAD_BODIES = [
    pytest.param(CHUNKED + b"5\r\nhello\r\nzz\r\n", id="no chunk size"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n" + b"x: y\r\n" * 60_000, id="endless trailers"),
]


@pytest.mark.parametrize("answer", BAD_BODIES)
async def test_a_body_that_cannot_be_understood_is_a_bad_answer(call: Call, answer: bytes):
    async with scripted_server(answering(answer)) as server:
        reply = await call(server.origin)
        with pytest.raises(BadAnswer):
            await reply.read_all(1000, 30)
        await server.lost()


@pytest.mark.parametrize(
    "answer",
    [
        compressed(b"br", b"hello"),
        compressed(b"gzip", b"not gzip at all"),
        compressed(b"gzip", gzip.compress(b"hello")[:-8] + b"\0" * 8),
    ],
    ids=["unknown", "not compressed", "wrong checksum"],
)
async def test_a_body_that_cannot_be_decoded_is_a_bad_answer(call: Call, answer: bytes):
    async with scripted_server(answering(answer)) as server:
        with pytest.raises(BadAnswer, match="compress"):
            await (await call(server.origin)).read_all(1000, 30)


CUT_BODIES = [
    pytest.param(OK[:-1], id="content-length"),
    pytest.param(CHUNKED + b"5\r\nhel", id="in a chunk"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n", id="between chunks"),
    pytest.param(compressed(b"gzip", gzip.compress(b"hello")[:-4]), id="gzip"),
]


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("answer", CUT_BODIES)
async def test_a_body_that_ends_early_is_cut_and_never_looks_complete(call: Call, answer: bytes, how: str):
    read_so_far = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer)
        await read_so_far.wait()
        if how == "reset":
            visit.reset()

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        read_so_far.set()
        with pytest.raises(StreamCut):
            await reply.read_all(1000, 30)
        with pytest.raises(StreamCut):
            await reply.read(30)


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_connection_that_ends_before_the_head_is_cut_and_not_tried_again(call: Call, how: str):
    async def script(visit: Visit) -> None:
        await visit.request()
        if how == "reset":
            visit.reset()

    async with scripted_server(script) as server:
        with pytest.raises(StreamCut, match="before it answered"):
            await call(server.origin)
        assert server.visits == 1


async def test_what_came_before_a_cut_is_read_first(call: Call):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK[:-2])

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        await asyncio.sleep(0.05)
        assert await reply.read(30) == b"hel"
        with pytest.raises(StreamCut, match="before its answer was complete"):
            await reply.read(30)


async def test_a_read_gives_all_that_came_since_the_last_one(call: Call):
    go, said = asyncio.Event(), asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(CHUNKED + b"1\r\na\r\n")
        await go.wait()
        for letter in (b"b", b"c", b"d"):
            await visit.say(b"1\r\n" + letter + b"\r\n")
            await asyncio.sleep(0.01)
        await visit.say(b"0\r\n\r\n")
        said.set()

    async with scripted_server(script) as server:
        reply = await call(server.origin)
        assert await reply.read(30) == b"a"
        go.set()
        await said.wait()
        await turns()
        assert await reply.read(30) == b"bcd"
        assert await reply.read(30) == b""


async def test_a_long_stream_may_carry_more_framing_than_a_head_may_be_long(call: Call):
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.say(CHUNKED)
        for _ in range(20):
            await visit.say(b"1;" + b"x" * 5_000 + b"\r\n")
            await asyncio.sleep(0.002)  # the framing comes by itself, then the byte
            await visit.say(b"a\r\n")
            await asyncio.sleep(0.002)
        await visit.say(b"0\r\n\r\n")

    async with scripted_server(script) as server:
        assert await (await call(server.origin)).read_all(100, 30) == b"a" * 20


async def test_an_answer_longer_than_its_limit_is_a_bad_answer(call: Call):
    async with scripted_server(answering(OK)) as server:
        with pytest.raises(BadAnswer, match="longer than 4 bytes"):
            await (await call(server.origin)).read_all(4, 30)
        assert await (await call(server.origin)).read_all(5, 30) == b"hello"


async def test_a_compressed_bomb_is_given_out_in_bounded_pieces(call: Call):
    bomb = gzip.compress(bytes(20_000_000))
    async with scripted_server(answering(compressed(b"gzip", bomb))) as server:
        reply = await call(server.origin)
        sizes: list[int] = []
        while piece := await reply.read(30):
            sizes.append(len(piece))
        assert sum(sizes) == 20_000_000
        assert max(sizes) <= 262_144
        with pytest.raises(BadAnswer):
            await (await call(server.origin)).read_all(1_000_000, 30)


async def test_a_request_is_written_as_the_port_says(transport: Transport):
    async with scripted_server(answering(OK)) as server:
        host = f"127.0.0.1:{server.origin.port}".encode()
        for body in (b"", b"x" * 10, b"y" * 100_000):
            await ask(transport, server.origin, method=b"POST", target=b"/v1/chat?a=b", body=body)
        await ask(transport, server.origin, target=b"/v1/models")
        head = b"POST /v1/chat?a=b HTTP/1.1\r\nhost: " + host + b"\r\naccept: */*\r\ncontent-length: "
        assert server.requests == [
            head + b"0\r\n\r\n",
            head + b"10\r\n\r\n" + b"x" * 10,
            head + b"100000\r\n\r\n" + b"y" * 100_000,
            b"GET /v1/models HTTP/1.1\r\nhost: " + host + b"\r\naccept: */*\r\n\r\n",
        ]


@pytest.mark.parametrize("target", [b"", b"/a b", b"/a\r\nx: y", b" /a", b"/a\n"])
async def test_a_target_that_could_smuggle_a_request_is_refused(call: Call, target: bytes):
    async with scripted_server(answering(OK)) as server:
        with pytest.raises(BadRequest):
            await call(server.origin, target=target)
        assert server.visits == 0


async def test_an_answer_before_the_request_was_written_costs_the_connection(call: Call):
    async def script(visit: Visit) -> None:
        await visit.reader.readuntil(b"\r\n\r\n")
        await visit.say(OK)
        await visit.left()

    async with scripted_server(script) as server:
        reply = await call(server.origin, body=b"x" * 30_000_000)
        assert await reply.read_all(100, 30) == b"hello"
        await server.lost()
