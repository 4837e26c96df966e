"""What a stream does between an upstream and a caller who take their time, or break off. No sockets: both are doubles,
and the clock is turned by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests import wire
from wye.canon.events import Event, TextDelta
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.registry import DIALECTS
from wye.gateway.exchange import Outlet
from wye.gateway.relay.passthrough import PassthroughStream
from wye.gateway.relay.stream import RelayedStream
from wye.gateway.relay.translate import TranslatedStream
from wye.kernel import clock
from wye.kernel.chunked import framed
from wye.kernel.errors import BadAnswer, ClockExpired, Overloaded, StreamCut, UpstreamError, UpstreamRefused
from wye.ports.transport import Clocks, HeaderMap, Reply, Sink

CLOCKS = Clocks(first_token_s=20.0, gap_s=5.0)
ROLE, TEXT, FINISH, DONE = wire.OPENAI_ROLE, wire.OPENAI_TEXT, wire.OPENAI_FINISH, wire.DONE
PING = b": still thinking\n\n"
ANTHROPIC_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(clock, "monotonic_s", found)
    return found


class Upstream:
    """A reply: bytes that come, seconds until the next do, and at last the end or an error."""

    status = 200
    headers: HeaderMap = {}  # noqa: RUF012

    def __init__(self, time: Clock, *pieces: bytes | float | UpstreamError) -> None:
        self._time = time
        self.pieces = list(pieces)
        self.deadlines: list[float] = []
        """What was left to the sink, in seconds, as each piece came."""
        self.pours = 0
        self.closed = False

    def _next(self, deadline_s: float, clock: str) -> bytes:
        while self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, UpstreamError):
                raise piece
            if isinstance(piece, bytes):
                self.deadlines.append(deadline_s - self._time.now_s)
                return piece
            if self._time.now_s + piece >= deadline_s:
                left_s = deadline_s - self._time.now_s
                self._time.now_s = deadline_s
                raise ClockExpired(clock, left_s)  # a driver knows but what was left
            self._time.now_s += piece
        return b""

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        await asyncio.sleep(0)
        return self._next(self._time.now_s + timeout_s, clock)

    async def pour(self, sink: Sink, clock: str) -> bool:
        self.pours += 1
        await asyncio.sleep(0)
        # As the driver does it, the deadline is looked at anew for each piece.
        while data := self._next(sink.deadline_s, clock):
            if not sink.take(data):
                return False
        return True

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        raise AssertionError("a stream is not read as a whole")

    def close(self) -> None:
        self.closed = True


class InChunks(Upstream):
    """Offers each piece as a chunk of HTTP/1.1 first."""

    async def pour(self, sink: Sink, clock: str) -> bool:
        while data := self._next(sink.deadline_s, clock):
            free = sink.take_chunks(framed(data))
            if not (sink.take(data) if free is None else free):
                return False
        return True


class Caller(Outlet):
    """Is full after each of these sizes, and takes so long to be ready again."""

    def __init__(self, time: Clock, slow_s: float = 0.0, *, full: Callable[[bytes], bool] = lambda _: False) -> None:
        self._time = time
        self._slow_s = slow_s
        self._full = full
        self.said: list[bytes] = []
        self.waits = 0
        self.chunks = 0
        self.busy = False

    def say(self, data: bytes) -> bool:
        assert not self.busy, "it was told more before it was ready"
        self.said.append(data)
        self.busy = self._full(data)
        return not self.busy

    @property
    def say_chunks(self) -> Callable[[bytes], bool]:
        return self._say_chunks

    def _say_chunks(self, chunks: bytes) -> bool:
        data = chunks.partition(b"\r\n")[2].removesuffix(b"\r\n")
        assert data, "an empty chunk ends an answer"
        assert chunks == framed(data)
        self.chunks += 1
        return self.say(data)

    async def drained(self) -> None:
        self.waits += 1
        await asyncio.sleep(0)
        self._time.now_s += self._slow_s
        self.busy = False

    @property
    def text(self) -> bytes:
        return b"".join(self.said)


def passing(reply: Reply, dialect: str = "openai_chat", clocks: Clocks = CLOCKS, hide: bool = False) -> RelayedStream:
    return PassthroughStream(reply, clocks, DIALECTS[dialect], "req_1", hide)


def translating(reply: Reply, dialect: str = "openai_chat", clocks: Clocks = CLOCKS) -> RelayedStream:
    """To the same dialect, so that one table serves both ways."""
    spoken = DIALECTS[dialect]
    encoder = spoken.stream_encoder(ChatRequest(model="m", messages=[]), Losses())
    return TranslatedStream(reply, clocks, spoken.stream_decoder(), encoder, None)


Make = Callable[[Reply], RelayedStream]
both = pytest.mark.parametrize("make", [passing, translating])


def frames(said: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame[6:]) for frame in said.split(b"\n\n") if frame.startswith(b"data: {")]


def text_of(said: bytes) -> str:
    choices = [choice for frame in frames(said) for choice in frame.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def errors_of(said: bytes) -> list[str]:
    return [frame["error"]["message"] for frame in frames(said) if "error" in frame]


async def relayed(make: Make, upstream: Upstream, caller: Caller) -> RelayedStream:
    stream = make(upstream)
    await stream.open()
    await stream.relay(caller)
    return stream


@both
async def test_nothing_is_said_before_the_first_content_and_then_each_piece_as_it_comes(time: Clock, make: Make):
    upstream = Upstream(time, ROLE, *TEXT, FINISH, DONE)
    stream = make(upstream)
    caller = Caller(time)
    await stream.open()
    assert upstream.pieces == [*TEXT[1:], FINISH, DONE]
    await stream.relay(caller)
    assert text_of(caller.said[0]) == "Hel"
    assert [text_of(said) for said in caller.said[1:3]] == ["lo", " there"]
    assert caller.text.endswith(DONE)
    assert (stream.failed, caller.waits, upstream.pours, upstream.closed) == (False, 0, 1, False)
    stream.close()
    assert upstream.closed


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
async def test_what_passes_through_is_the_same_bytes_however_they_come(time: Clock, size: int, slow: bool):
    whole = b"".join([ROLE, PING, *TEXT, FINISH, wire.OPENAI_USAGE_CHUNK, DONE])
    upstream = Upstream(time, *(whole[at : at + size] for at in range(0, len(whole), size)))
    caller = Caller(time, full=lambda _: slow)
    stream = await relayed(passing, upstream, caller)
    assert caller.text == whole
    assert stream.usage is not None
    assert stream.usage.output_tokens == 3
    assert not stream.failed


@both
async def test_a_slow_caller_is_waited_for_after_each_piece_that_fills_it(time: Clock, make: Make):
    upstream = Upstream(time, ROLE, *TEXT, FINISH, DONE)
    caller = Caller(time, full=lambda said: b'"lo"' in said)
    await relayed(make, upstream, caller)
    assert (text_of(caller.text), caller.waits) == ("Hello there", 1)
    assert upstream.pours == 2  # none of it was asked for while the caller was full


@both
async def test_a_caller_that_is_full_at_once_is_waited_for_before_the_upstream_is_asked(time: Clock, make: Make):
    upstream = Upstream(time, ROLE, *TEXT, FINISH, DONE)
    stream = make(upstream)
    await stream.open()
    before = list(upstream.pieces)
    caller = Caller(time, full=lambda _: True)
    drained = caller.drained

    async def check() -> None:
        if not caller.waits:
            assert (upstream.pieces, upstream.pours) == (before, 0)
        await drained()

    caller.drained = check  # type: ignore[method-assign]
    await stream.relay(caller)
    assert text_of(caller.text) == "Hello there"


@both
async def test_the_time_a_caller_takes_is_not_the_upstreams(time: Clock, make: Make):
    upstream = Upstream(time, ROLE, TEXT[0], 4.0, TEXT[1], 4.0, TEXT[2], 4.0, FINISH, 4.0, DONE)
    caller = Caller(time, slow_s=100.0, full=lambda _: True)
    stream = await relayed(make, upstream, caller)
    assert (text_of(caller.text), errors_of(caller.text), stream.failed) == ("Hello there", [], False)
    assert time.now_s > 1400


@both
async def test_the_time_before_the_caller_is_there_is_not_the_upstreams(time: Clock, make: Make):
    stream = make(Upstream(time, ROLE, *TEXT, 4.0, FINISH, DONE))
    await stream.open()
    time.now_s += 60
    caller = Caller(time)
    await stream.relay(caller)
    assert not stream.failed


SILENCES = [
    pytest.param([6.0], id="nothing"),
    pytest.param([4.0, PING, 4.0, PING, 4.0, PING], id="comments"),
    pytest.param([3.0, TEXT[1][:9], 3.0, TEXT[1][9:]], id="a frame that drips"),
    pytest.param([4.0, TEXT[1], 6.0], id="nothing, later"),
    pytest.param([4.0, b"\n", 4.0, b"\n"], id="empty lines"),
]


@both
@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
@pytest.mark.parametrize("silence", SILENCES)
async def test_a_silence_after_content_ends_the_stream_with_an_error_that_names_the_whole_gap(
    time: Clock, make: Make, silence: list[bytes | float], slow: bool
):
    upstream = Upstream(time, ROLE, TEXT[0], *silence, TEXT[2], FINISH, DONE)
    caller = Caller(time, full=lambda _: slow)
    stream = await relayed(make, upstream, caller)
    assert errors_of(caller.text) == ["The upstream ran out of time: gap_s took longer than 5 s"]
    assert "error" in frames(caller.text)[-1]
    assert text_of(caller.text) in ("Hel", "Hello")
    assert stream.failed


@both
async def test_pings_are_no_progress_in_any_dialect(time: Clock, make: Callable[..., RelayedStream]):
    begun = [wire.ANTHROPIC_START, wire.ANTHROPIC_BLOCK, *wire.ANTHROPIC_TEXT]
    upstream = Upstream(time, *begun, *[4.0, ANTHROPIC_PING] * 5)
    caller = Caller(time)
    stream = await relayed(lambda reply: make(reply, "anthropic_messages"), upstream, caller)
    assert stream.failed
    assert b"gap_s took longer" in caller.text
    assert caller.text.count(b"event: ping") == 1  # it is told of them all the same


@both
async def test_the_first_content_has_a_clock_of_its_own_that_nothing_else_stops(time: Clock, make: Make):
    with pytest.raises(ClockExpired, match="first_token_s took longer than 20 s"):
        await make(Upstream(time, 9.0, ROLE, 9.0, PING, 9.0, TEXT[0])).open()
    await make(Upstream(time, 9.0, ROLE, 9.0, TEXT[0])).open()


@both
async def test_the_first_contents_clock_runs_also_while_bytes_come_without_end(time: Clock, make: Make):
    upstream = Upstream(time, ROLE, PING)
    read = upstream.read

    async def busy(timeout_s: float, clock: str = "gap_s") -> bytes:
        upstream.pieces.append(PING)
        time.now_s += 1
        return await read(timeout_s, clock)

    upstream.read = busy  # type: ignore[method-assign]
    with pytest.raises(ClockExpired, match="first_token_s took longer than 20 s"):
        await make(upstream).open()


@both
@pytest.mark.parametrize(
    "error", [StreamCut("it is gone"), BadAnswer("it is odd"), UpstreamRefused("it will not", status=503)]
)
async def test_an_error_before_content_is_raised_so_that_another_may_answer(
    time: Clock, make: Make, error: UpstreamError
):
    with pytest.raises(type(error)):
        await make(Upstream(time, ROLE, error)).open()


REFUSAL = b'data: {"error": {"message": "it will not", "type": "server_error"}}\n\n'


@both
async def test_so_is_an_error_that_the_upstream_says_itself(time: Clock, make: Make):
    with pytest.raises(UpstreamRefused, match="it will not"):
        await make(Upstream(time, ROLE, REFUSAL)).open()


@both
async def test_so_is_an_end_without_an_answer(time: Clock, make: Make):
    with pytest.raises(StreamCut):
        await make(Upstream(time, ROLE)).open()


BREAKS = [
    pytest.param([StreamCut("it is gone")], "it is gone", id="cut"),
    pytest.param([BadAnswer("it is odd")], "it is odd", id="damaged"),
    pytest.param([], "before", id="ended early"),
    pytest.param([TEXT[1][:-4]], "", id="ended within a frame"),
    pytest.param([REFUSAL], "it will not", id="refused"),
    pytest.param([REFUSAL + TEXT[1] + DONE], "it will not", id="refused, and more in the same piece"),
    pytest.param([REFUSAL, TEXT[1], DONE], "it will not", id="refused, and more after it"),
    pytest.param([b"data: {nonsense\n\n", TEXT[1], DONE], "", id="no JSON"),
    pytest.param([b"data: " + b"x" * 20_000_000], "", id="a frame without end"),
]


@both
@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
@pytest.mark.parametrize(("pieces", "told"), BREAKS)
async def test_an_error_after_content_is_the_last_thing_that_is_said(
    time: Clock, make: Make, pieces: list[bytes | UpstreamError], told: str, slow: bool
):
    upstream = Upstream(time, ROLE, TEXT[0], *pieces)
    caller = Caller(time, full=lambda _: slow)
    stream = await relayed(make, upstream, caller)
    assert text_of(caller.text) == "Hel"
    (error,) = errors_of(caller.text)
    assert told in error
    assert "error" in frames(caller.text)[-1]
    assert stream.failed


@both
async def test_content_and_the_error_behind_it_in_one_piece_are_both_said(time: Clock, make: Make):
    caller = Caller(time)
    stream = await relayed(make, Upstream(time, ROLE, TEXT[0], TEXT[1] + REFUSAL), caller)
    assert (text_of(caller.text), errors_of(caller.text), stream.failed) == ("Hello", ["it will not"], True)


@both
@pytest.mark.parametrize(
    "ending",
    [
        pytest.param([FINISH, DONE], id="in order"),
        pytest.param([FINISH], id="without the word for it"),
        pytest.param([FINISH + DONE], id="in one piece"),
        pytest.param([FINISH, DONE, TEXT[1]], id="more after it"),
        pytest.param([FINISH, DONE + TEXT[1]], id="more after it in one piece"),
        pytest.param([FINISH, DONE, StreamCut("it is gone")], id="cut after it"),
    ],
)
async def test_a_whole_answer_ends_once_and_well(time: Clock, make: Make, ending: list[bytes | UpstreamError]):
    caller = Caller(time)
    stream = await relayed(make, Upstream(time, ROLE, TEXT[0], *ending), caller)
    assert (text_of(caller.text), errors_of(caller.text), stream.failed) == ("Hel", [], False)
    assert caller.text.count(DONE) == 1
    assert caller.text.endswith(DONE)


@both
async def test_what_came_whole_at_once_is_said_at_once(time: Clock, make: Make):
    upstream = Upstream(time, b"".join([ROLE, *TEXT, FINISH, DONE]))
    caller = Caller(time, full=lambda _: True)
    await relayed(make, upstream, caller)
    assert (text_of(caller.text), len(caller.said), upstream.pours, caller.waits) == ("Hello there", 1, 0, 0)


async def test_figures_that_were_not_asked_for_are_known_but_not_said(time: Clock):
    pieces = [ROLE, *TEXT, FINISH + wire.OPENAI_USAGE_CHUNK + DONE]
    caller = Caller(time)
    stream = await relayed(lambda reply: passing(reply, hide=True), Upstream(time, *pieces), caller)
    assert caller.text == b"".join([ROLE, *TEXT, FINISH, DONE])
    assert stream.usage is not None
    assert stream.usage.input_tokens == 11


@both
async def test_a_stream_can_be_cut_from_this_side_once(time: Clock, make: Make):
    stream = make(Upstream(time, ROLE, *TEXT))
    await stream.open()
    assert errors_of(stream.cut(Overloaded("enough"))) == ["enough"]
    assert stream.cut(Overloaded("enough")) == b""


@both
async def test_one_who_is_cancelled_while_the_caller_is_slow_stops_there(time: Clock, make: Make):
    upstream = Upstream(time, ROLE, *TEXT, FINISH, DONE)
    caller = Caller(time, full=lambda _: True)
    stuck = asyncio.Event()

    async def for_ever() -> None:
        stuck.set()
        await asyncio.Event().wait()

    caller.drained = for_ever  # type: ignore[method-assign]
    stream = make(upstream)
    await stream.open()
    task = asyncio.create_task(stream.relay(caller))
    await stuck.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (text_of(caller.text), upstream.pours) == ("Hel", 0)
    assert errors_of(stream.cut(Overloaded("enough"))) == ["enough"]


PIECES = [wire.openai_chunk({"content": piece}) for piece in "abcdef"]


@both
async def test_the_gap_begins_anew_with_each_chunk_that_keeps_its_framing(time: Clock, make: Make):
    upstream = InChunks(time, ROLE, *(part for piece in PIECES for part in (piece, 3.0)), FINISH, DONE)
    caller = Caller(time)
    stream = await relayed(make, upstream, caller)
    assert (text_of(caller.text), stream.failed) == ("abcdef", False)
    assert caller.chunks >= 4
    assert upstream.deadlines[-4:-1] == [2.0] * 3


async def test_what_is_rewritten_is_rewritten_piece_by_piece(time: Clock):
    def rewrite(events: list[Event]) -> list[Event]:
        return [replace(event, text=event.text.upper()) if isinstance(event, TextDelta) else event for event in events]

    def rewriting(reply: Reply) -> RelayedStream:
        spoken = DIALECTS["openai_chat"]
        encoder = spoken.stream_encoder(ChatRequest(model="m", messages=[]), Losses())
        return TranslatedStream(reply, CLOCKS, spoken.stream_decoder(), encoder, rewrite)

    caller = Caller(time)
    await relayed(rewriting, InChunks(time, ROLE, *PIECES, FINISH, DONE), caller)
    assert text_of(caller.text) == "ABCDEF"


async def test_what_is_held_back_is_no_empty_chunk(time: Clock):
    """The text of a custom tool's call is said to Claude's callers at its end."""

    def call(**more: Any) -> bytes:
        return wire.openai_chunk({"tool_calls": [{"index": 0, **more}]})

    pieces = [call(function={"arguments": piece}) for piece in "abcdef"]
    begin = call(id="t", type="custom", custom={"name": "f", "input": ""})

    def translating(reply: Reply) -> RelayedStream:
        encoder = DIALECTS["anthropic_messages"].stream_encoder(ChatRequest(model="m", messages=[]), Losses())
        return TranslatedStream(reply, CLOCKS, DIALECTS["openai_chat"].stream_decoder(), encoder, None)

    caller = Caller(time)
    await relayed(translating, InChunks(time, ROLE, begin, *pieces, FINISH, DONE), caller)
    assert b"abcdef" in caller.text
    assert caller.text.endswith(b'{"type":"message_stop"}\n\n')
