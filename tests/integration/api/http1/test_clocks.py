"""How long a caller may take for each thing that is its turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.waiting import steady, until
from wye.api.asgi import Application, Receive, Scope, Send
from wye.api.caller import caller_of
from wye.api.http import connection

from .socket_pair import CHUNKED, GET, Caller, post, serving

NAMES = ("HEAD_S", "BODY_S", "LINGER_S", "STALLED_S", "KEEP_ALIVE_S")
Clock = Callable[..., None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the clocks that a test is about; the others do not run out."""

    def set_clocks(**seconds: float) -> None:
        for name in NAMES:
            monkeypatch.setattr(connection, name, seconds.get(name, 60.0))

    set_clocks()
    return set_clocks


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def slowly(seconds: float) -> Application:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(seconds)  # longer than the clock that must not run out
        await echo(scope, receive, send)

    return serve


async def early(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def refused(caller: Caller) -> None:
    answer = await caller.answer()
    assert (answer.status, answer.headers[b"connection"]) == (408, b"close")
    assert await caller.rest() == b""


async def test_a_connection_that_says_nothing_is_closed(clock: Clock):
    clock(HEAD_S=0.05)
    async with serving(echo) as served:
        caller = await served.call()
        assert await caller.rest() == b""


@steady(0.07)
async def test_an_idle_connection_is_kept_for_a_while(clock: Clock):
    clock(KEEP_ALIVE_S=0.2)
    async with serving(echo) as served:
        caller = await served.call()
        for _ in range(3):
            await caller.ask(GET)
            await asyncio.sleep(0.12)
        assert await caller.rest() == b""


@steady(0.05)
async def test_an_answer_may_take_longer_than_an_idle_connection_is_kept(clock: Clock):
    clock(KEEP_ALIVE_S=0.05)
    async with serving(slowly(0.15)) as served:
        caller = await served.call()
        for _ in range(3):
            assert (await caller.ask(post(b"one"))).body == b"one"


async def drip(caller: Caller, data: bytes, every_s: float) -> None:
    for i in range(len(data)):
        caller.say(data[i : i + 1])
        await asyncio.sleep(every_s)


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
async def test_a_head_that_drips_is_refused_although_it_never_pauses_for_long(clock: Clock, before: bytes):
    clock(HEAD_S=0.2)
    async with serving(echo) as served:
        caller = await served.call()
        if before:
            await caller.ask(before)
        begun = time.monotonic()
        dripping = asyncio.create_task(drip(caller, GET[:-2] + b"x: %b" % (b"y" * 4000), 0.01))
        await refused(caller)
        assert time.monotonic() - begun < 20
        dripping.cancel()


async def test_a_head_whose_begin_came_within_an_answer_has_its_time_from_the_answers_end(clock: Clock):
    async with serving(slowly(0.2)) as served:
        caller = await served.call()
        caller.say(GET)
        await until(lambda: bool(served.state.tasks))
        clock(HEAD_S=0.1)
        caller.say(GET[:10])
        assert (await caller.answer()).status == 200
        await refused(caller)


@steady(0.06)
async def test_a_body_may_take_long_but_not_pause_for_long(clock: Clock):
    clock(BODY_S=0.1)
    async with serving(echo) as served:
        caller = await served.call()
        caller.say(post(b"", length=10))
        await drip(caller, b"0123456789", 0.03)
        assert (await caller.answer()).body == b"0123456789"
        caller.say(post(b"01234", length=10))
        await refused(caller)


async def test_a_body_that_never_begins_is_refused(clock: Clock):
    clock(BODY_S=0.05)
    async with serving(echo) as served:
        for line in ((), (b"expect: 100-continue",)):
            caller = await served.call()
            caller.say(post(b"", *line, length=10))
            if line:
                assert (await caller.head()).status == 100
            await refused(caller)


async def test_a_body_that_never_comes_behind_a_known_head_is_refused(clock: Clock):
    clock(BODY_S=0.05)
    async with serving(echo) as served:
        caller = await served.call()
        await caller.ask(post(b"one"))
        caller.say(post(b"", length=3))
        await refused(caller)


async def test_a_body_behind_another_request_is_refused_too(clock: Clock):
    """Its head came with the end of the one before it."""
    clock(BODY_S=0.05)
    async with serving(echo) as served:
        caller = await served.call()
        caller.say(post(b"one") + post(b"t", length=3))
        assert (await caller.answer()).body == b"one"
        await refused(caller)


@steady(0.05)
async def test_a_callers_silence_while_we_do_not_read_is_not_its_fault(clock: Clock):
    """Neither while its body waits for the application, nor while its next request waits for an answer."""
    clock(BODY_S=0.05, HEAD_S=0.05, KEEP_ALIVE_S=0.05)
    body = bytes(connection.MAX_UNREAD_BYTES * 3)
    async with serving(slowly(0.2)) as served:
        caller = await served.call()
        caller.say(post(body) + post(body[:100_000]) + GET)
        assert (await caller.answer()).body == body
        assert (await caller.answer()).body == body[:100_000]
        assert (await caller.answer()).status == 200


async def test_what_follows_an_early_answer_is_awaited_for_a_while(clock: Clock):
    clock(LINGER_S=0.2)
    async with serving(early) as served:
        caller = await served.call()
        caller.say(CHUNKED + b"2\r\nhi\r\n")
        assert (await caller.answer()).status == 413
        begun = time.monotonic()
        dripping = asyncio.create_task(drip(caller, b"1\r\nx\r\n" * 700, 0.01))
        await caller.gone()
        assert time.monotonic() - begun < 20
        dripping.cancel()


async def test_who_is_refused_and_does_not_go_is_made_to(clock: Clock):
    async with serving(echo) as served:
        for linger_s in (60, 0.1):
            clock(LINGER_S=linger_s)
            caller = await served.call()
            caller.say(b"nonsense\r\n\r\n")
            assert (await caller.answer()).status == 400
            assert await caller.rest() == b""
            assert served.connections or linger_s < 60
            if linger_s == 60:
                caller.leave()
        await until(lambda: not served.connections)


PIECE = bytes(100_000)


class Fountain:
    """A stream that ends when its caller leaves. What it notes is how it did."""

    def __init__(self) -> None:
        self.end = ""
        self.pieces = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
                self.pieces += 1
                await asyncio.sleep(0)
        except OSError as error:
            self.end = str(error)


async def test_a_caller_that_takes_nothing_is_left(clock: Clock):
    clock(STALLED_S=0.15)
    fountain = Fountain()
    async with serving(fountain) as served:
        caller = await served.call_with_small_buffers()
        caller.say(GET)
        await until(lambda: bool(fountain.end))
        assert not served.connections
        assert fountain.pieces < 200


async def test_a_caller_that_takes_nothing_and_asks_for_more_is_left_too(clock: Clock):
    """What it sends moves other clocks, not this one."""
    clock(STALLED_S=0.2)
    fountain = Fountain()
    async with serving(fountain) as served:
        caller = await served.call_with_small_buffers()
        caller.say(GET)
        await asyncio.sleep(0.1)
        caller.say(post(b"hello"))
        await until(lambda: bool(fountain.end))


def saying_all(size: int, *, wait: bool) -> Application:
    """An answer said at once; `wait` keeps it open until most of it is taken."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope, receive, send)
        caller.begin(200, b"", size)
        caller.say(bytes(size))
        if wait:
            await caller.drained()
        await caller.end()

    return application


@pytest.mark.parametrize("wait", [False, True])
@steady(0.2)
async def test_a_caller_that_takes_little_is_not_left(clock: Clock, wait: bool):
    clock(STALLED_S=0.25)
    size = 30_000_000

    async with serving(saying_all(size, wait=wait)) as served:
        caller = await served.call()
        caller.say(GET[:-2] + b"connection: close\r\n\r\n")
        await caller.head()
        begun = time.monotonic()
        got = 0
        while piece := await caller.reader.read(1_000_000):
            got += len(piece)
            await asyncio.sleep(begun + 0.9 * got / size - time.monotonic())
        assert got == size


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("size", [60_000, 3_000_000])
async def test_what_is_not_taken_does_not_keep_a_connection_that_is_to_be_closed(clock: Clock, size: int, wait: bool):
    clock(STALLED_S=0.15)
    async with serving(saying_all(size, wait=wait)) as served:
        caller = await served.call_with_small_buffers()
        caller.say(GET[:-2] + b"connection: close\r\n\r\n")
        await asyncio.sleep(0.05)
        await until(lambda: not served.connections)


async def test_timers_do_not_pile_up(clock: Clock):
    async with serving(echo) as served:
        caller = await served.call()
        for _ in range(50):
            await caller.ask(post(b"hello"))
        (connected,) = served.connections
        timer = connected._timer
        await caller.ask(GET)
        assert connected._timer is timer
