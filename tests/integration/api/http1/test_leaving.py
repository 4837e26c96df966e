"""Callers who go before their answer is complete, and what becomes of the work for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.waiting import turns, until
from wye.api.asgi import Receive, Scope, Send
from wye.api.caller import caller_of

from .socket_pair import CHUNKED, GET, Caller, Directly, post, serving

Way = Callable[[Caller], None]


def half_close(caller: Caller) -> None:
    caller.writer.write_eof()


WAYS = [
    pytest.param(Caller.leave, id="closes"),
    pytest.param(Caller.reset, id="resets"),
    pytest.param(half_close, id="ends its side"),
]


class Working:
    """Reads the body, begins to answer if asked to, and works for long."""

    def __init__(self, *, begin: bool = False, watch: bool = True) -> None:
        self.begin = begin
        self.watch = watch
        self.steps: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(caller_of(scope, receive, send))

    async def serve(self, caller: Any) -> None:
        while (body := await caller.read()) != b"":
            if body is None:
                self.steps.append("left in the body")
                return
        if self.watch:
            caller.cancel_if_left()
        self.steps.append("works")
        try:
            if self.begin:
                caller.begin(200, b"", None)
                caller.say(b"hello")
            await asyncio.sleep(0.2 if not self.watch else 30)
            caller.say(b"world")
            await caller.drained()
            await caller.end()
            self.steps.append(f"left: {caller.left}")
        except asyncio.CancelledError:
            assert caller.left
            caller.begin(200, b"", None)
            assert caller.say(b"nobody hears this")
            await caller.end()
            self.steps.append("cancelled")
            raise


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("begin", [False, True], ids=["before the answer", "within the answer"])
@pytest.mark.parametrize("direct", [False, True], ids=["asgi", "direct"])
async def test_work_ends_when_its_caller_leaves(way: Way, begin: bool, direct: bool):
    working = Working(begin=begin)
    async with serving(Directly(working.serve) if direct else working) as served:
        caller = await served.call()
        caller.say(post(b"hello"))
        await until(lambda: working.steps == ["works"])
        if begin:
            await caller.head()
        way(caller)
        await until(lambda: working.steps == ["works", "cancelled"])
        await until(lambda: not served.connections)


@pytest.mark.parametrize("way", WAYS)
async def test_who_leaves_at_once_is_noticed_when_it_is_asked(way: Way):
    """The request and the end of the connection come in the same moment."""
    working = Working()
    async with serving(working) as served:
        for _ in range(5):
            caller = await served.call()
            caller.say(post(b"hello"))
            await asyncio.sleep(0)
            way(caller)
        await until(lambda: not served.connections and not served.state.tasks)
    assert working.steps.count("cancelled") == working.steps.count("works")


async def test_work_that_does_not_want_to_be_cancelled_is_not(caplog: pytest.LogCaptureFixture):
    working = Working(begin=True, watch=False)
    async with serving(working) as served:
        caller = await served.call()
        caller.say(GET)
        await caller.head()
        caller.leave()
        await until(lambda: len(working.steps) == 2)
    assert working.steps == ["works", "left: True"]
    assert not caplog.records


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("request_", [post(b"he", length=5), CHUNKED + b"2\r\nhe\r\n"], ids=["length", "chunked"])
async def test_a_body_that_breaks_off_is_not_taken_for_whole(way: Way, request_: bytes):
    working = Working()
    async with serving(working) as served:
        caller = await served.call()
        caller.say(request_)
        await until(lambda: bool(served.state.tasks))
        await turns(5)
        way(caller)
        await until(lambda: bool(working.steps))
    assert working.steps == ["left in the body"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", [b"", GET[:10], b"\r\n"], ids=["nothing", "part of a head", "an empty line"])
async def test_who_leaves_before_its_request_leaves_nothing(way: Way, said: bytes):
    async with serving(Working()) as served:
        caller = await served.call()
        caller.say(said)
        await until(lambda: bool(served.connections))
        way(caller)
        await until(lambda: not served.connections)


@pytest.mark.parametrize("way", WAYS)
async def test_requests_that_wait_for_their_turn_are_not_begun_for_who_left(way: Way):
    working = Working()
    async with serving(working) as served:
        caller = await served.call()
        caller.say(post(b"hello"))
        await until(lambda: bool(working.steps))
        caller.say(GET + GET)
        (connected,) = served.connections
        await until(lambda: len(connected._queue) == 2)
        # While a request waits nothing is read: only what is written shows that nobody is there.
        connected._resume()
        way(caller)
        await until(lambda: not served.connections and not served.state.tasks)
    assert working.steps == ["works", "cancelled"]


async def test_an_application_hears_of_it_in_asgis_way():
    heard: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        # As a server of streams does: one listens for the end while another sends.
        both = [asyncio.create_task(receive()) for _ in range(2)]  # type: ignore[arg-type]
        heard.extend([(await one)["type"] for one in both])
        for message in ({"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body"}):
            try:
                await send(message)
            except OSError:
                heard.append("nobody")

    async with serving(application) as served:
        caller = await served.call()
        caller.say(post(b"hello"))
        await turns()
        caller.leave()
        await until(lambda: len(heard) == 4)
    assert heard == ["http.disconnect", "http.disconnect", "nobody", "nobody"]


async def test_a_wait_that_is_given_up_does_no_harm():
    heard: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for _ in range(3):
            try:
                async with asyncio.timeout(0.01):
                    await receive()
            except TimeoutError:
                heard.append("nothing yet")
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async with serving(application) as served:
        caller = await served.call()
        assert (await caller.ask(GET)).status == 204
    assert heard == ["nothing yet"] * 3


async def test_an_application_that_fails_because_its_caller_left_is_not_complained_of(
    caplog: pytest.LogCaptureFixture,
):
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.001)

    async with serving(application) as served:
        caller = await served.call()
        caller.say(GET)
        await caller.head()
        caller.leave()
        await until(lambda: not served.state.tasks)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_one_who_left_while_much_was_to_be_said_wakes_the_one_who_says_it():
    woken: list[bool] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope, receive, send)
        caller.begin(200, b"", None)
        while caller.say(bytes(100_000)):
            pass
        await caller.drained()
        woken.append(caller.left)

    async with serving(application) as served:
        caller = await served.call_with_small_buffers()
        caller.say(GET)
        await caller.head()
        caller.reset()
        await until(lambda: bool(woken))
    assert woken == [True]


@pytest.mark.parametrize("fails", [False, True], ids=["says nothing", "fails"])
async def test_direct_work_without_an_answer_is_a_500_and_complained_of(fails: bool, caplog: pytest.LogCaptureFixture):
    async def serve(caller: Any) -> None:
        await caller.read()
        if fails:
            raise ValueError("wrong")

    async with serving(Directly(serve)) as served:
        caller = await served.call()
        assert (await caller.ask(post(b"hello"))).status == 500
        await caller.gone()
    (record,) = caplog.records
    assert record.getMessage() == ("POST / failed" if fails else "POST / got no complete answer")


async def test_direct_requests_sent_ahead_are_answered_one_after_another():
    order: list[bytes] = []

    async def serve(caller: Any) -> None:
        body = await caller.read()
        order.append(body)
        await asyncio.sleep(0.01 if body == b"one" else 0)
        await caller.answer(200, b"", body)

    async with serving(Directly(serve)) as served:
        caller = await served.call()
        caller.say(post(b"one") + post(b"two"), post(b"three"))
        assert [(await caller.answer()).body for _ in range(3)] == [b"one", b"two", b"three"]
    assert order == [b"one", b"two", b"three"]
