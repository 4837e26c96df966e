"""A panel's stream: what is held back, a slow caller, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from wye.canon.events import End, Event, Failure, PartStart, Ping, Start, TextDelta
from wye.canon.parts import Text
from wye.gateway import orchestrated
from wye.gateway.orchestrated import GatewayInference, PanelStream
from wye.kernel.errors import BadAnswer, Overloaded

Work = Callable[[PanelStream], Coroutine[Any, Any, None]]


class Words:
    """An encoder that says a text's words, and the names of all other events."""

    def encode(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            return event.text.encode()
        return f"[{type(event).__name__}]".encode()


class Caller:
    def __init__(self, *, slow: bool = False) -> None:
        self.said = b""
        self.drains = 0
        self._slow = slow

    def say(self, data: bytes) -> bool:
        self.said += data
        return not self._slow

    async def drained(self) -> None:
        self.drains += 1


async def opened(work: Work) -> PanelStream:
    stream = PanelStream(Words(), cast(GatewayInference, None))
    await stream.open(work(stream))
    return stream


async def say(stream: PanelStream, *events: Event) -> None:
    for event in events:
        if not stream.hear(event):
            await stream.drained()


async def speak(stream: PanelStream) -> None:
    await say(stream, Start("", ""), PartStart(0, Text("")), TextDelta(0, "one "), TextDelta(0, "two"), End())


@pytest.mark.parametrize("slow", [False, True])
async def test_all_is_said_in_order_however_slow_the_caller(slow: bool) -> None:
    async def pausing(stream: PanelStream) -> None:
        await speak(stream)
        await asyncio.sleep(0)
        await say(stream, TextDelta(0, " three"))

    stream, caller = await opened(pausing), Caller(slow=slow)
    await stream.relay(caller)
    assert caller.said == b"[Start][PartStart]one two[End] three"
    assert bool(caller.drains) is slow
    assert not stream.failed


async def test_what_fails_at_once_is_raised() -> None:
    async def failing(stream: PanelStream) -> None:
        await say(stream, Start("", ""))
        raise BadAnswer("broken")

    with pytest.raises(BadAnswer):
        await opened(failing)


async def test_what_fails_after_the_first_word_ends_the_stream() -> None:
    async def failing(stream: PanelStream) -> None:
        await say(stream, TextDelta(0, "one"))
        await asyncio.sleep(0)
        raise BadAnswer("broken")

    stream, caller = await opened(failing), Caller()
    await stream.relay(caller)
    assert caller.said == b"one[Failure]"
    assert stream.failed


async def test_a_panel_waits_for_its_caller_when_much_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrated, "_HOLD_BYTES", 10)
    reached: list[str] = []

    async def talkative(stream: PanelStream) -> None:
        await say(stream, TextDelta(0, "x" * 20))
        reached.append("the end")

    stream, caller = await opened(talkative), Caller()
    await asyncio.sleep(0)
    assert reached == []
    await stream.relay(caller)
    assert reached == ["the end"]
    assert caller.said == b"x" * 20


async def test_a_stream_that_is_cut_says_nothing_more() -> None:
    async def endless(stream: PanelStream) -> None:
        while True:
            await say(stream, TextDelta(0, "x"))
            await asyncio.sleep(0)

    stream = await opened(endless)
    assert stream.cut(Overloaded("stopping")) == b"[Failure]"
    assert stream.cut(Overloaded("stopping")) == b""
    assert stream.hear(TextDelta(0, "late"))
    caller = Caller()
    relaying = asyncio.create_task(stream.relay(caller))
    await asyncio.sleep(0.01)
    stream.close()
    with pytest.raises(asyncio.CancelledError):
        await relaying
    assert b"late" not in caller.said


async def test_a_caller_that_leaves_while_nothing_is_said_ends_the_work() -> None:
    ended = asyncio.Event()

    async def silent(stream: PanelStream) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    opening = asyncio.create_task(opened(silent))
    await asyncio.sleep(0.01)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.wait_for(ended.wait(), 20)


def test_failures_and_pings_are_no_content() -> None:
    stream = PanelStream(Words(), cast(GatewayInference, None))
    for event in (Start("", ""), Ping({"state": "started"}), Failure(BadAnswer("x"))):
        stream.hear(event)
    assert not stream._begun.is_set()
