"""Requests sent ahead of the answers."""

from __future__ import annotations

import asyncio

import pytest

from tests.waiting import turns, until
from wye.api.asgi import Receive, Scope, Send
from wye.api.http import connection

from .socket_pair import CHUNKED, GET, post, serving


class Numbered:
    """Answers each request with its path and body, the earlier ones slower; notes how many were at work together."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.begun: list[str] = []
        self.running = 0
        self.most = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        self.running += 1
        self.most = max(self.most, self.running)
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        await asyncio.sleep(self.delay_s / len(self.begun))
        self.running -= 1
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["path"].encode() + b" " + body[:20]})


def numbered(count: int) -> list[bytes]:
    """Requests of many forms and sizes."""
    big = bytes(100_000)
    forms = [
        lambda i: GET.replace(b"/", b"/%d" % i, 1),
        lambda i: post(b"body %d" % i, path=b"/%d" % i),
        lambda i: CHUNKED.replace(b"/", b"/%d" % i, 1) + b"2\r\nhi\r\n0\r\n\r\n",
        lambda i: post(big, path=b"/%d" % i),
        lambda i: post(b"hello", b"connection: upgrade", b"upgrade: h2c", path=b"/%d" % i),
    ]
    return [forms[i % len(forms)](i) for i in range(count)]


@pytest.mark.parametrize("size", [50, 5_000, 10_000_000])
async def test_answers_come_one_after_another_in_the_order_of_the_requests(size: int):
    application = Numbered(0.02)
    async with serving(application) as served:
        caller = await served.call()
        sending = asyncio.create_task(caller.say_slowly(b"".join(numbered(10)), size))
        for i in range(10):
            answer = await caller.answer()
            assert answer.body.split(b" ")[0] == b"/%d" % i
        await sending
        assert (await caller.ask(GET)).status == 200
    assert application.most == 1


async def test_who_sends_very_many_is_not_read_further():
    application = Numbered()
    hold = asyncio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        await hold.wait()
        await application(scope, receive, send)

    async with serving(held) as served:
        caller = await served.call()
        padding = b"x-padding: " + b"x" * 60_000
        requests = [post(b"", padding, path=b"/%d" % i) for i in range(500)]
        caller.say(*requests)
        await turns()
        (connected,) = served.connections
        assert 0 < len(connected._queue) < 20
        assert caller.writer.transport.get_write_buffer_size() > 0
        hold.set()
        for i in range(500):
            assert (await caller.answer()).body == b"/%d " % i


async def test_too_many_at_once_are_answered_as_far_as_they_were_taken():
    application = Numbered()
    async with serving(application) as served:
        caller = await served.call()
        caller.say(GET * (connection.MAX_WAITING + 50))
        answers = [await caller.answer() for _ in range(connection.MAX_WAITING + 1)]
        assert answers[-1].headers[b"connection"] == b"close"
        assert await caller.rest() == b""
    assert len(application.begun) == connection.MAX_WAITING + 1


@pytest.mark.parametrize(
    "broken",
    [b"nonsense\r\n\r\n", CHUNKED + b"2\r\nhi\r\nnonsense\r\n", b"GET / HTTP/1.1\r\n\r\n"],
    ids=["no request", "a broken body", "no host"],
)
async def test_what_came_before_nonsense_is_answered(broken: bytes):
    application = Numbered(0.01)
    async with serving(application) as served:
        caller = await served.call()
        caller.say(b"".join(numbered(3)) + broken + GET)
        for i in range(3):
            assert (await caller.answer()).body.startswith(b"/%d" % i)
        assert await caller.rest() == b""
    assert application.begun == ["/0", "/1", "/2"]


async def test_a_request_that_breaks_as_its_turn_comes_is_refused_and_not_begun():
    begun: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first"})
        (served_by,) = served.connections
        served_by.data_received(b"nonsense\r\n")  # in the same round of the loop

    async with serving(application) as served:
        caller = await served.call()
        caller.say(GET.replace(b"/", b"/0", 1) + CHUNKED.replace(b"/", b"/1", 1))
        assert (await caller.answer()).body == b"first"
        assert (await caller.answer()).status == 400
        assert await caller.rest() == b""
    assert begun == ["/0"]


async def test_who_asks_for_the_end_gets_it_there():
    application = Numbered(0.01)
    async with serving(application) as served:
        caller = await served.call()
        caller.say(GET + GET[:-2] + b"connection: close\r\n\r\n")
        assert b"connection" not in (await caller.answer()).headers
        assert (await caller.answer()).headers[b"connection"] == b"close"
        assert await caller.rest() == b""


async def test_a_server_that_ends_answers_only_what_it_has_begun():
    application = Numbered(0.1)
    async with serving(application) as served:
        caller = await served.call()
        caller.say(GET * 3)
        await until(lambda: application.running == 1)
        for connected in served.connections:
            connected.shutdown()
        assert (await caller.answer()).headers[b"connection"] == b"close"
        assert await caller.rest() == b""
    assert len(application.begun) == 1


async def test_a_server_that_ends_answers_a_request_whose_body_is_still_coming():
    async with serving(Numbered(0)) as served:
        caller = await served.call()
        await caller.ask(post(b"one"))
        caller.say(post(b"on", length=3))
        await turns()  # it is held back: nothing tells that it has come
        for connected in served.connections:
            connected.shutdown()
        answer = await caller.ask(b"e")
        assert (answer.status, answer.headers[b"connection"]) == (200, b"close")
        assert await caller.rest() == b""


async def test_a_second_request_has_all_the_time_it_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 0.05)
    application = Numbered(0.3)
    async with serving(application) as served:
        caller = await served.call()
        caller.say(GET + GET)
        for _ in range(2):
            assert (await caller.answer()).status == 200
