"""What an application says, in ASGI's messages or as a Caller's, and what reaches the one who asked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tests.waiting import until
from wye.api.asgi import Application, Receive, Scope, Send
from wye.api.caller import caller_of

from .socket_pair import CHUNKED, GET, Caller, post, serving

OLD = b"GET / HTTP/1.0\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nhost: wye\r\n\r\n"
OK: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
END: dict[str, Any] = {"type": "http.response.body"}


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def saying(*messages: dict[str, Any] | Exception) -> Application:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(message)

    return application


LENGTH_5 = (b"content-length", b"5")
WHOLE = [
    pytest.param(GET, [start(LENGTH_5), body(b"hello")], 200, b"hello", id="with its length"),
    pytest.param(GET, [start(LENGTH_5), body(b"he", more=True), body(b"llo")], 200, b"hello", id="in two pieces"),
    pytest.param(GET, [start(), body(b"he", more=True), body(b"llo")], 200, b"hello", id="without its length"),
    pytest.param(
        GET, [start(), body(b"", more=True), body(b"hello", more=True), END], 200, b"hello", id="empty pieces"
    ),
    pytest.param(GET, [start(), END], 200, b"", id="nothing, without a length"),
    pytest.param(GET, [start((b"content-length", b"0")), END], 200, b"", id="nothing"),
    pytest.param(GET, [start(status=204), END], 204, b"", id="204"),
    pytest.param(GET, [start((b"content-length", b"0"), status=204), END], 204, b"", id="204 with a length"),
    pytest.param(GET, [start(LENGTH_5, status=304), END], 304, b"", id="304 with a length"),
    pytest.param(GET, [start(status=204), body(b"hello")], 204, b"", id="204 with a body"),
    pytest.param(GET, [start(LENGTH_5, status=299), body(b"hello")], 299, b"hello", id="an unknown status"),
    pytest.param(GET, [{"type": "http.response.start", "status": 200}, END], 200, b"", id="no headers"),
    pytest.param(GET, [start((b"transfer-encoding", b"chunked")), body(b"hello")], 200, b"hello", id="an own framing"),
    pytest.param(HEAD, [start(LENGTH_5), body(b"hello")], 200, b"", id="HEAD"),
    pytest.param(HEAD, [start(LENGTH_5), END], 200, b"", id="HEAD without the body"),
    pytest.param(HEAD, [start(), body(b"he", more=True), body(b"llo")], 200, b"", id="HEAD of a stream"),
]


@pytest.mark.parametrize(("request_", "messages", "status", "said"), WHOLE)
async def test_every_form_of_an_answer_leaves_the_connection_for_the_next(
    request_: bytes, messages: list[dict[str, Any]], status: int, said: bytes
):
    async with serving(saying(*messages)) as served:
        caller = await served.call()
        for _ in range(3):
            answer = await caller.ask(request_)
            assert (answer.status, answer.body) == (status, said)
            assert b"connection" not in answer.headers
            assert answer.headers[b"date"] == b"today"
        assert len(served.connections) == 1


async def test_a_length_is_said_where_it_may_be():
    async with serving(saying(start(LENGTH_5, status=204), END)) as served:
        assert b"content-length" not in (await (await served.call()).ask(GET)).headers
    async with serving(saying(start(LENGTH_5, status=304), END)) as served:
        assert (await (await served.call()).ask(GET)).headers[b"content-length"] == b"5"
    async with serving(saying(start(LENGTH_5), END)) as served:
        assert (await (await served.call()).ask(HEAD)).headers[b"content-length"] == b"5"
    async with serving(saying(start(), END)) as served:
        assert b"transfer-encoding" not in (await (await served.call()).ask(HEAD)).headers


async def test_an_old_caller_is_told_the_end_of_a_stream_by_that_of_the_connection():
    async with serving(saying(start(), body(b"he", more=True), body(b"llo"))) as served:
        answer = await (await served.call()).ask(OLD[:-2] + b"connection: keep-alive\r\n\r\n")
        assert answer.body == b"hello"
        assert b"transfer-encoding" not in answer.headers


async def test_an_application_may_end_the_connection():
    async with serving(saying(start(LENGTH_5, (b"Connection", b"Close")), body(b"hello"))) as served:
        caller = await served.call()
        answer = await caller.ask(GET)
        assert (answer.body, answer.headers[b"connection"]) == (b"hello", b"close")
        assert await caller.rest() == b""


async def test_the_head_of_a_stream_does_not_wait_for_its_first_piece():
    go_on = asyncio.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"", more=True))
        await go_on.wait()
        await send(body(b"hello"))

    async with serving(application) as served:
        caller = await served.call()
        caller.say(GET)
        assert (await caller.head()).status == 200
        go_on.set()
        assert await caller.piece() == b"hello"
        assert await caller.piece() == b""


@pytest.mark.parametrize("length", [0, None])
async def test_an_answer_may_be_of_nothing(length: int | None):
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope, receive, send)
        caller.begin(200, b"", length)
        await caller.end()
        await caller.end()

    async with serving(application) as served:
        caller = await served.call()
        for _ in range(2):
            assert (await caller.ask(GET)).body == b""


@pytest.mark.parametrize("size", [10, 32_767, 32_768, 1_000_000])
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_an_answer_of_any_size_comes_whole(size: int, in_pieces: bool):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope, receive, send)
        assert await caller.read() == b""
        caller.cancel_if_left()
        caller.begin(200, b"x-mine: 1\r\n", None if in_pieces else size)
        if not caller.say(data):
            await caller.drained()
        await caller.end()

    async with serving(application) as served:
        caller = await served.call()
        for _ in range(2):
            answer = await caller.ask(GET)
            assert answer.body == data
            assert answer.headers[b"x-mine"] == b"1"


@pytest.mark.parametrize(
    "header",
    [
        (b"x-a", b"b\r\nx-c: d"),
        (b"x-a", b"b\nx-c: d"),
        (b"x-a", b"b\rx-c: d"),
        (b"x-a", b"b\0"),
        (b"x-a: b\r\nx-c", b"d"),
        (b"x-a:", b"b"),
        (b"x a", b"b"),
        (b"x-\xe4", b"b"),
        (b"", b"b"),
    ],
)
async def test_a_header_cannot_be_two(header: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture):
    async with serving(saying(start(header), body(b"hello"))) as served:
        caller = await served.call()
        answer = await caller.ask(GET)
        assert answer.status == 500
        assert not [name for name in answer.headers if name.startswith(b"x")]
        assert await caller.rest() == b""
    assert "control character" in caplog.text


SILENT = [
    pytest.param([ValueError("mine")], "mine", id="raises"),
    pytest.param([], "no complete answer", id="says nothing"),
    pytest.param([body(b"hello")], "http.response.body", id="a body without a head"),
    pytest.param([{"type": "websocket.close"}], "websocket.close", id="another protocol's message"),
]


@pytest.mark.parametrize(("messages", "logged"), SILENT)
async def test_an_application_that_fails_before_it_answers_is_excused(
    messages: list[Any], logged: str, caplog: pytest.LogCaptureFixture
):
    async with serving(saying(*messages)) as served:
        caller = await served.call()
        answer = await caller.ask(GET)
        assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
        assert await caller.rest() == b""
    assert logged in caplog.text


BROKEN = [
    pytest.param([start(LENGTH_5), body(b"hell", more=True), ValueError("mine")], "mine", id="raises"),
    pytest.param([start(LENGTH_5), body(b"hell")], "shorter", id="says too little"),
    pytest.param([start(LENGTH_5), END], "shorter", id="says nothing of it"),
    pytest.param([start(LENGTH_5), body(b"hello!")], "longer", id="says too much"),
    pytest.param([start(LENGTH_5), body(b"hell", more=True)], "no complete answer", id="goes away"),
    pytest.param([start(), body(b"hello", more=True), ValueError("mine")], "mine", id="raises in a stream"),
    pytest.param([start(), body(b"hello", more=True)], "no complete answer", id="goes away in a stream"),
    pytest.param([start()], "no complete answer", id="goes away after the head"),
    pytest.param([start(), start()], "http.response.start", id="begins twice"),
    pytest.param([start(), body(b"hello", more=True), start()], "http.response.start", id="begins again"),
]


@pytest.mark.parametrize(("messages", "logged"), BROKEN)
async def test_an_answer_that_breaks_off_never_looks_whole(
    messages: list[Any], logged: str, caplog: pytest.LogCaptureFixture
):
    async with serving(saying(*messages)) as served:
        caller = await served.call()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await caller.ask(GET)
        assert not served.state.tasks
    assert logged in caplog.text


async def test_what_is_beyond_the_length_is_not_said(caplog: pytest.LogCaptureFixture):
    """It would be taken for the next answer."""
    async with serving(saying(start(LENGTH_5), body(b"hello", more=True), body(b"HTTP/1.1 200 OK"))) as served:
        caller = await served.call()
        caller.say(GET + GET)
        assert (await caller.answer()).body == b"hello"
        with contextlib.suppress(ConnectionError):
            assert await caller.rest() == b""
    assert "longer" in caplog.text


async def test_what_is_said_after_the_end_is_a_fault_that_the_caller_does_not_see(caplog: pytest.LogCaptureFixture):
    async with serving(saying(start(), body(b"hello"), body(b"more"))) as served:
        caller = await served.call()
        for _ in range(2):
            assert (await caller.ask(GET)).body == b"hello"
    assert "http.response.body" in caplog.text


async def test_an_application_may_go_on_after_its_answer():
    done: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body(b"hello"))
        done.append((await receive())["type"])
        await asyncio.sleep(0.02)
        done.append("rest")

    async with serving(application) as served:
        caller = await served.call()
        await caller.ask(GET)
        await caller.ask(GET)
        await until(lambda: len(done) == 4)
    assert sorted(done) == ["http.disconnect", "http.disconnect", "rest", "rest"]


def at_once(*headers: tuple[bytes, bytes]) -> Application:
    """Answers without a look at the body."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(LENGTH_5, *headers, status=200 if scope["method"] == "GET" else 413))
        await send(body(b"hello"))

    return application


BIG = bytes(3_000_000)


async def refused_early(caller: Caller, request: bytes) -> None:
    """As clients do that read nothing before they have sent everything."""
    caller.say(request)
    await caller.writer.drain()
    answer = await caller.answer()
    assert (answer.status, answer.body) == (413, b"hello")


async def test_an_early_answer_is_not_taken_back_and_the_connection_goes_on():
    async with serving(at_once()) as served:
        caller = await served.call()
        for _ in range(2):
            await refused_early(caller, post(BIG))
            await refused_early(caller, CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BIG), BIG))
            assert (await caller.ask(GET)).status == 200


@pytest.mark.parametrize(
    ("headers", "lines"), [([(b"connection", b"close")], []), ([], [b"connection: close"])], ids=["by us", "by it"]
)
async def test_an_early_answer_is_not_taken_back_although_it_is_the_last(
    headers: list[tuple[bytes, bytes]], lines: list[bytes]
):
    async with serving(at_once(*headers)) as served:
        caller = await served.call()
        await refused_early(caller, post(BIG, *lines))
        assert await caller.rest() == b""


async def test_a_body_that_breaks_after_an_early_answer_ends_the_connection():
    async with serving(at_once()) as served:
        caller = await served.call()
        caller.say(CHUNKED + b"2\r\nhi\r\n")
        assert (await caller.answer()).status == 413
        caller.say(b"nonsense\r\n" + GET)
        assert await caller.rest() == b""


async def test_a_stream_that_the_caller_breaks_within_its_body_is_cut():
    """An answer under way to a request that turns out to be none."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while (message := await receive())["type"] == "http.request":
            await send(body(message["body"], more=True))

    async with serving(application) as served:
        caller = await served.call()
        caller.say(CHUNKED + b"2\r\nhi\r\n")
        assert (await caller.head()).status == 200
        assert await caller.piece() == b"hi"
        caller.say(b"nonsense\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await caller.piece()


# Expect: 100-continue


async def test_a_caller_that_waits_is_asked_for_its_body_once():
    async with serving(saying(start(LENGTH_5), body(b"hello"))) as served:
        caller = await served.call()
        for _ in range(2):
            caller.say(post(b"", b"Expect: 100-Continue", length=6))
            assert (await caller.head()).status == 100
            caller.say(b"abc")
            await asyncio.sleep(0.01)
            caller.say(b"def")
            assert (await caller.answer()).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(post(b"abc", b"expect: 100-continue"), id="the body came with it"),
        pytest.param(post(b"abc", b"expect: something"), id="something else"),
    ],
)
async def test_who_does_not_wait_is_not_asked(request_: bytes):
    async with serving(saying(start(LENGTH_5), body(b"hello"))) as served:
        assert (await (await served.call()).ask(request_)).status == 200


async def test_an_old_caller_is_never_asked():
    async with serving(saying(start(LENGTH_5), body(b"hello"))) as served:
        caller = await served.call()
        caller.say(b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        await asyncio.sleep(0.02)
        assert (await caller.ask(b"abc")).status == 200


async def test_who_waits_and_is_refused_may_leave_its_body_out():
    """So the connection ends: the next bytes could be the body or a request."""
    async with serving(at_once()) as served:
        caller = await served.call()
        caller.say(post(b"", b"expect: 100-continue", length=6))
        answer = await caller.answer()
        assert (answer.status, answer.headers[b"connection"]) == (413, b"close")
        assert await caller.rest() == b""
        caller.say(b"abcdef" + GET)
        await until(lambda: not served.connections)
