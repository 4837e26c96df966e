"""The seam between two answers, and what ends a stream that goes on. Encoders here only collect events."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.gateway.routing.doubles import deployment
from wye.canon.events import (
    End,
    Event,
    Failure,
    Finish,
    PartEnd,
    PartStart,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.fold import fold
from wye.canon.parts import Text, Thinking
from wye.canon.request import ChatRequest, Message
from wye.canon.usage import Usage
from wye.dialects.registry import DIALECTS
from wye.gateway.deployment import Route
from wye.gateway.exchange import Exchange, Outlet, Stream, Whole
from wye.gateway.relay import continuation
from wye.gateway.relay.continuation import ContinuedStream, Seam
from wye.gateway.settle import Settlement
from wye.kernel.errors import BadAnswer, NoDeployment, Overloaded, StreamCut, WyeError

CUT = StreamCut("gone")
START, PART, STOP = Start("1", "m"), PartStart(0, Text("")), [PartEnd(0), Finish("stop"), End()]


class Collected:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def encode(self, event: Event) -> bytes:
        self.events.append(event)
        return b"!" if isinstance(event, Failure) else b"."


def seam_to(collected: Collected) -> Seam:
    return Seam(lambda: collected, lambda start: start)


def tell(seam: Seam, *events: Event) -> None:
    for event in events:
        seam.encode(event)


def cut_at(seam: Seam, *events: Event) -> None:
    tell(seam, START, *events)
    seam.hear()
    tell(seam, Failure(CUT))
    seam.hold()


SAID = "A  line\n\nand \u00a0 another "


@pytest.mark.parametrize("again", [True, False], ids=["white space again", "white space not again"])
def test_a_text_cut_anywhere_is_joined_to_itself(again: bool) -> None:
    for i in range(1, len(SAID)):
        for size in (1, 3, 99):
            collected = Collected()
            seam = seam_to(collected)
            cut_at(seam, PART, *[TextDelta(0, SAID[n : min(n + size, i)]) for n in range(0, i, size)])
            assert seam.text == SAID[:i]
            known = len(SAID[:i].rstrip())
            rest = SAID[known if again else i :]
            if not again and rest[:1].isspace():
                continue  # the next one's own white space cannot be told from what it says again
            seam.join(None, SAID[known:i])
            tell(seam, START, PART, *[TextDelta(0, rest[n : n + size]) for n in range(0, len(rest), size)], *STOP)
            seam.hear()
            assert fold(collected.events).choices[0].parts == [Text(SAID)]


def test_what_an_attempt_tells_in_vain_is_not_heard() -> None:
    collected = Collected()
    seam = seam_to(collected)
    tell(seam, START, PART)
    with pytest.raises(StreamCut):
        tell(seam, Failure(CUT))
    tell(seam, Start("2", "m"), PART, TextDelta(0, "x"), *STOP)
    assert seam.hear() == b"......"
    response = fold(collected.events)
    assert (response.id, response.choices[0].parts) == ("2", [Text("x")])


def test_figures_told_in_pieces_are_added_to_those_before() -> None:
    collected = Collected()
    seam = seam_to(collected)
    cut_at(seam, PART, TextDelta(0, "x"))
    seam.join(Usage(input_tokens=7, output_tokens=2), "")
    tell(seam, Start("2", "m", usage=Usage(input_tokens=9)), PART, UsageReport(Usage(output_tokens=4)), *STOP)
    seam.hear()
    assert fold(collected.events).usage == Usage(input_tokens=16, output_tokens=6)
    seam.join(None, "")
    tell(seam, UsageReport(Usage(output_tokens=1)))
    assert collected.events[-1] == UsageReport(Usage(output_tokens=1))


def test_the_end_of_the_second_half_does_not_tell_the_whole_text() -> None:
    collected = Collected()
    seam = seam_to(collected)
    cut_at(seam, PART, TextDelta(0, "x"))
    seam.join(None, "")
    tell(seam, START, PART, TextDelta(0, "y"), PartEnd(0, part=Text("y")), *STOP[1:])
    seam.hear()
    assert fold(collected.events).choices[0].parts == [Text("xy")]


THOUGHT = [PartStart(0, Thinking("")), ThinkingDelta(0, "hm")]


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([], ""),
        ([PART, TextDelta(0, "x")], "x"),
        ([PartStart(0, Text("x")), TextDelta(0, "y")], "xy"),
        (THOUGHT, None),
        ([*THOUGHT, PartEnd(0)], ""),
        ([*THOUGHT, PartEnd(0), PartStart(1, Text("")), TextDelta(1, "x")], "x"),
        ([PART, TextDelta(0, "x"), PartEnd(0), Finish("stop")], None),
        ([PART, TextDelta(0, "123456789")], None),
        ([PART, TextDelta(0, "123456789"), TextDelta(0, "0")], None),
    ],
)
def test_what_can_be_gone_on_with(events: list[Event], text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuation, "MAX_CHARACTERS", 8)
    seam = seam_to(Collected())
    cut_at(seam, *events)
    assert seam.text == text


def test_a_new_thought_follows_the_text_it_was_asked_to_go_on_with() -> None:
    collected = Collected()
    seam = seam_to(collected)
    cut_at(seam, PART, TextDelta(0, "x"))
    seam.join(None, "")
    more = [PartStart(1, Text("")), TextDelta(1, "y"), PartEnd(1, part=Text("y")), *STOP[1:]]
    tell(seam, START, *THOUGHT, PartEnd(0, part=Thinking("hm", signature="s")), *more)
    seam.hear()
    assert fold(collected.events).choices[0].parts == [Text("x"), Thinking("hm", signature="s"), Text("y")]


class Broken:
    """A stream that tells a word and breaks off, or waits."""

    usage = None
    failed = True

    def __init__(self, seam: Seam, wait: asyncio.Event | None = None) -> None:
        self._seam = seam
        self._wait = wait
        self.closed = 0

    async def relay(self, outlet: Outlet) -> None:
        if self._wait is not None:
            await self._wait.wait()
        tell(self._seam, Failure(CUT))

    def cut(self, error: WyeError) -> bytes:
        raise AssertionError("the caller's encoder says the error")

    def close(self) -> None:
        self.closed += 1


class Said(Outlet):
    def __init__(self) -> None:
        self.data = b""

    def say(self, data: bytes) -> bool:
        self.data += data
        return True

    async def drained(self) -> None: ...


def continued(
    error: WyeError, *, usable: bool = True, wait: asyncio.Event | None = None
) -> tuple[ContinuedStream, Broken, list[str]]:
    """A stream that breaks off, whose next deployment fails with that error; and who was asked."""
    first, second = deployment("a"), deployment("b", takes_prefill=True)
    for one in (first, second):
        one.health.limited_until_s = 0.0 if usable else 1e12
    chat = DIALECTS["openai_chat"]
    exchange = Exchange("r", chat, b"{}", {}, "me", 0.0, stream=True, serving=first)
    exchange.request = ChatRequest(model="m", messages=[Message("user", [Text("Hi")])])
    asked: list[str] = []

    async def ask(exchange: Exchange, route: Route) -> Whole | Stream:
        asked.extend(d.id for d in route.deployments)
        raise error

    seam = seam_to(Collected())
    tell(seam, START, PART, TextDelta(0, "x"))
    broken = Broken(seam, wait)
    stream = ContinuedStream(exchange, Route("m", [first, second]), ask, Settlement(None), seam, broken)
    return stream, broken, asked


@pytest.mark.parametrize("error", [BadAnswer("no"), NoDeployment("no"), Overloaded("no")])
async def test_whatever_the_next_one_says_the_error_is_that_of_the_cut(error: WyeError) -> None:
    stream, broken, asked = continued(error)
    said = Said()
    await stream.relay(said)
    assert (said.data, stream.failed, asked, broken.closed) == (b"...!", True, ["b/m"], 1)
    assert stream.cut(Overloaded("stopping")) == b""


async def test_with_nobody_to_ask_it_is_the_error_of_the_cut() -> None:
    stream, _, asked = continued(BadAnswer("no"), usable=False)
    said = Said()
    await stream.relay(said)
    assert (said.data, asked) == (b"...!", [])


async def test_a_stopping_server_ends_it_once() -> None:
    stream, broken, _ = continued(BadAnswer("no"), wait=asyncio.Event())
    task = asyncio.ensure_future(stream.relay(Said()))
    await asyncio.sleep(0)
    task.cancel()
    assert (stream.cut(Overloaded("stopping")), stream.cut(Overloaded("stopping"))) == (b"!", b"")
    stream.close()
    assert broken.closed == 1
