"""What a caller may say, and what reaches the application of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.waiting import until
from wye.api.asgi import Receive, Scope, Send
from wye.api.http import connection

from .socket_pair import CHUNKED, GET, post, serving

TEXT = [(b"content-type", b"text/plain")]


class Echo:
    """Answers with the body, in one piece, and remembers what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            assert message["type"] == "http.request"
            body += message["body"]
            if not message["more_body"]:
                break
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [*TEXT, length]})
        await send({"type": "http.response.body", "body": body})


BIG = bytes(range(256)) * 4000
CHUNKS = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (BIG[:7], BIG[7:300_000], BIG[300_000:]))
BODIES = [
    pytest.param(GET, b"", id="none"),
    pytest.param(post(b""), b"", id="empty"),
    pytest.param(post(b"hello"), b"hello", id="content-length"),
    pytest.param(CHUNKED + b"3\r\nhel\r\n2;note=1\r\nlo\r\n0\r\n\r\n", b"hello", id="chunked"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n", b"hello", id="chunked with trailers"),
    pytest.param(b"\r\n\r\n" + post(b"hello"), b"hello", id="after empty lines"),
    pytest.param(post(b"hello", b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c"), b"hello", id="h2c offered"),
    pytest.param(post(b"hello", b"upgrade: h2c"), b"hello", id="h2c mentioned"),
    pytest.param(GET[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n", b"", id="web socket offered"),
]
BIG_BODIES = [
    pytest.param(post(BIG), BIG, id="a megabyte"),
    pytest.param(CHUNKED + CHUNKS + b"0\r\n\r\n", BIG, id="a megabyte in chunks"),
    pytest.param(post(BIG, b"connection: upgrade", b"upgrade: h2c"), BIG, id="a megabyte with an offer"),
]


@pytest.mark.parametrize("drip", [False, True], ids=["at once", "a byte at a time"])
@pytest.mark.parametrize(("request_", "body"), BODIES)
async def test_every_form_of_a_request_is_taken_whole_and_leaves_the_connection_for_the_next(
    request_: bytes, body: bytes, drip: bool
):
    async with serving(Echo()) as served:
        caller = await served.call()
        for _ in range(2):
            if drip:
                await caller.say_slowly(request_)
            else:
                caller.say(request_)
            answer = await caller.answer()
            assert (answer.status, answer.body) == (200, body)
            assert b"connection" not in answer.headers


@pytest.mark.parametrize(("request_", "body"), BIG_BODIES)
async def test_a_large_body_is_taken_whole(request_: bytes, body: bytes):
    async with serving(Echo()) as served:
        caller = await served.call()
        for _ in range(2):
            assert (await caller.ask(request_)).body == body


async def test_an_application_knows_who_asked_for_what():
    echo = Echo()
    async with serving(echo) as served:
        caller = await served.call()
        request = (
            b"PUT /a%20b/%C3%A4?q=%20&r HTTP/1.1\r\nHost: wye\r\nX-One: a\r\nx-ONE: b\r\ncontent-length: 0\r\n\r\n"
        )
        await caller.ask(request)
        scope = echo.scopes[0]
        extra = {"headers", "extensions", "asgi"}
        assert {name: value for name, value in scope.items() if name not in extra} == {
            "type": "http",
            "http_version": "1.1",
            "server": ("127.0.0.1", served.port),
            "client": caller.writer.get_extra_info("sockname"),
            "scheme": "http",
            "method": "PUT",
            "root_path": "",
            "path": "/a b/ä",
            "raw_path": b"/a%20b/%C3%A4",
            "query_string": b"q=%20&r",
            "state": {},
        }
        assert scope["headers"] == [(b"host", b"wye"), (b"x-one", b"a, b"), (b"content-length", b"0")]
        assert scope["asgi"]["version"] == "3.0"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://other:80/a/b?c", "/a/b", b"c", b"other:80"),
        (b"http://other", "/", b"", b"other"),
        (b"http://other?a/b", "/", b"a/b", b"other"),
        (b"*", "/", b"", b"wye"),
        (b"/a?b?c", "/a", b"b?c", b"wye"),
        (b"/a//b", "/a//b", b"", b"wye"),
        (b"//a/b", "//a/b", b"", b"wye"),
        (b"/http://x/", "/http://x/", b"", b"wye"),
        (b"/%ff", "/�", b"", b"wye"),
    ],
)
async def test_every_form_of_a_target_is_understood(target: bytes, path: str, query: bytes, host: bytes):
    echo = Echo()
    async with serving(echo) as served:
        caller = await served.call()
        assert (await caller.ask(b"OPTIONS %b HTTP/1.1\r\nhost: wye\r\n\r\n" % target)).status == 200
    scope = echo.scopes[0]
    assert (scope["path"], scope["query_string"], dict(scope["headers"])[b"host"]) == (path, query, host)


async def test_trailers_are_not_headers_of_the_next_request():
    echo = Echo()
    async with serving(echo) as served:
        caller = await served.call()
        caller.say(CHUNKED + b"0\r\nauthorization: Bearer stolen\r\nhost: other\r\n\r\n" + GET)
        await caller.answer()
        await caller.answer()
    assert echo.scopes[1]["headers"] == [(b"host", b"wye")]


async def test_an_offer_of_another_protocol_is_not_passed_on():
    echo = Echo()
    async with serving(echo) as served:
        caller = await served.call()
        await caller.ask(post(b"hello", b"connection: upgrade", b"upgrade: h2c", b"x-rest: 1"))
    assert [name for name, _ in echo.scopes[0]["headers"]] == [b"host", b"content-length", b"connection", b"x-rest"]


SMUGGLING = [
    (post(b"hello", b"transfer-encoding: chunked"), 400),
    (CHUNKED[:-2] + b"content-length: 5\r\n\r\n0\r\n\r\n", 400),
    (post(b"hello", b"content-length: 5"), 400),
    (post(b"hello", b"content-length: 6"), 400),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ncontent-length: 5, 5\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ncontent-length: +5\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ncontent-length: 0x5\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ncontent-length: -5\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ncontent-length: 99999999999999999999\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: wye\r\ntransfer-encoding:\r\ncontent-length: 5\r\n\r\nhello", 400),
    (CHUNKED[:-2] + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nhost: wye\n\n", 400),
    (b"GET / HTTP/1.1\r\nhost: wye\nx: y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: wye\rx: y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: wye\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n host: wye\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost : wye\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: wye\r\nnothing\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: wye\r\n: nameless\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: w\0ye\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: wye\r\nhost: other\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET /\xc3\xa4 HTTP/1.1\r\nhost: wye\r\n\r\n", 400),
    (b"GET wye HTTP/1.1\r\nhost: wye\r\n\r\n", 400),
    (b"get / HTTP/1.1\r\nhost: wye\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\nhost: wye\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nhost: wye\r\n\r\n", 505),
    (b"GET /\r\n\r\n", 505),
    (b"CONNECT wye:443 HTTP/1.1\r\nhost: wye\r\n\r\n", 501),
    (b"hello\r\n\r\n", 400),
    (b"\0\0\0\0", 400),
]


@pytest.mark.parametrize("drip", [False, True], ids=["at once", "a byte at a time"])
@pytest.mark.parametrize(("request_", "status"), SMUGGLING)
async def test_what_two_servers_could_read_differently_is_refused_and_ends_the_connection(
    request_: bytes, status: int, drip: bool
):
    """Whatever comes behind it must not be taken for a request."""
    echo = Echo()
    async with serving(echo) as served:
        caller = await served.call()
        data = request_ + GET
        if drip:
            await caller.say_slowly(data)
        else:
            caller.say(data)
        answer = await caller.answer()
        assert (answer.status, answer.headers[b"connection"]) == (status, b"close")
        assert await caller.rest() == b""
    assert not echo.scopes


@pytest.mark.parametrize(
    "chunk",
    [
        b"5 \r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"fffffffffffffffff\r\nhello\r\n",
        b"5;a\nhello\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n",
        b"5\nhello\r\n",
        b"\r\nhello\r\n",
    ],
)
async def test_a_broken_chunk_is_refused(chunk: bytes):
    left: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            left.append(message["body"])
        left.append(None)

    async with serving(application) as served:
        caller = await served.call()
        caller.say(CHUNKED + b"2\r\nhi\r\n" + chunk + b"0\r\n\r\n" + GET)
        assert (await caller.answer()).status == 400
        assert await caller.rest() == b""
        await until(lambda: not served.state.tasks)
    assert left[-1] is None


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505, b"set the client to HTTP/1.1"),
        (b"GET / HTTP/2.0\r\nhost: wye\r\n\r\n", 505, b"set the client to HTTP/1.1"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, b"http://"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, b"Host"),
        (b"hello\r\n\r\n", 400, b"Not an HTTP/1.1 request: Invalid method"),
    ],
)
async def test_a_refusal_says_what_to_do(data: bytes, status: int, words: bytes):
    async with serving(Echo()) as served:
        caller = await served.call()
        caller.say(data)
        answer = await caller.answer()
        assert answer.status == status
        assert words in answer.body


@pytest.mark.parametrize("drip", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize(
    ("size", "status"), [(1000, 200), (connection.MAX_HEAD_BYTES - 100, 200), (connection.MAX_HEAD_BYTES, 431)]
)
async def test_a_head_may_be_so_long(size: int, status: int, drip: bool):
    async with serving(Echo()) as served:
        caller = await served.call()
        data = post(BIG, b"x-long: " + b"x" * size)
        if drip:
            await caller.say_slowly(data, 10_000)
        else:
            caller.say(data)
        answer = await caller.answer()
        assert answer.status == status
        if status == 200:
            assert answer.body == BIG
            assert (await caller.ask(GET)).status == 200
        else:
            assert b"65536" in answer.body


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"x-trailer: %s\r\n" % (b"x" * 1000), id="trailers"),
        pytest.param(b"x" * 1000, id="a trailer's name"),
    ],
)
async def test_a_body_may_not_go_on_for_ever_without_one(endless: bytes):
    async with serving(Echo()) as served:
        caller = await served.call()
        caller.say(CHUNKED + b"2\r\nhi\r\n0\r\n")
        for _ in range(100):
            caller.say(endless)
            await asyncio.sleep(0)
        assert (await caller.answer()).status == 431


async def test_an_old_caller_is_answered_in_its_way():
    async with serving(Echo()) as served:
        caller = await served.call()
        answer = await caller.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert answer.headers[b"connection"] == b"close"
        assert await caller.rest() == b""

        caller = await served.call()
        for _ in range(2):
            answer = await caller.ask(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            assert answer.headers[b"connection"] == b"keep-alive"


async def test_a_caller_may_ask_for_the_connection_to_be_closed():
    async with serving(Echo()) as served:
        caller = await served.call()
        answer = await caller.ask(post(b"hello", b"connection: close"))
        assert (answer.body, answer.headers[b"connection"]) == (b"hello", b"close")
        assert await caller.rest() == b""


async def test_what_comes_after_the_last_request_is_not_one():
    echo = Echo()
    async with serving(echo) as served:
        caller = await served.call()
        caller.say(post(b"hello", b"connection: close") + GET)
        assert (await caller.answer()).body == b"hello"
        assert await caller.rest() == b""
    assert len(echo.scopes) == 1
