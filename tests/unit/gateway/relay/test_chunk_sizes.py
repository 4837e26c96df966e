"""How a stream is cut into chunks changes nothing of what is said. Only a chunk that is one whole frame can take the
short way of a text under way, so that its bytes are held here against those of the long one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flow.streams import aws_event
from wye.canon.events import TextDelta
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.gateway.exchange import Outlet
from wye.gateway.relay.passthrough import PassthroughStream
from wye.gateway.relay.stream import RelayedStream
from wye.gateway.relay.translate import TranslatedStream
from wye.kernel import clock, ids, sse
from wye.kernel.chunked import framed
from wye.kernel.errors import UpstreamError
from wye.ports.transport import Clocks, Sink

GOLDEN = Path(__file__).parents[3] / "golden"
SPOKEN = ("openai_chat", "openai_completions", "openai_responses", "anthropic_messages")
STREAMS = [
    pytest.param(name, path.read_bytes(), id=f"{name}-{path.stem}")
    for name in SPOKEN
    for path in sorted(GOLDEN.glob(f"{name}/streams/*.sse"))
]


@pytest.fixture(autouse=True)
def the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_drawn", [])
    monkeypatch.setattr(ids._source, "randbytes", bytes)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(clock, "wall_s", lambda: 1_790_000_000.0)


class Arriving:
    """Implements `ports.transport.Reply`: an answer whose chunks are all here."""

    status = 200

    def __init__(self, chunks: list[bytes], together: int) -> None:
        """So many are first offered with their framing, as a connection does that receives them at once."""
        self.headers: dict[bytes, bytes] = {}
        self._together = together
        self._left = iter([*chunks, b""])

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        return next(self._left)

    async def pour(self, sink: Sink, clock: str) -> bool:
        while chunks := [chunk for chunk in islice(self._left, self._together or 1) if chunk]:
            free = sink.take_chunks(b"".join(map(framed, chunks))) if self._together else None
            if not (all(map(sink.take, chunks)) if free is None else free):
                return False
        return True

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        raise AssertionError("a stream is not read as a whole")

    def close(self) -> None:
        pass


class Mouth(Outlet):
    """A caller who takes all at once."""

    def __init__(self) -> None:
        self.said = b""
        self.chunks = 0

    def say(self, data: bytes) -> bool:
        self.said += data
        return True

    @property
    def say_chunks(self) -> Callable[[bytes], bool]:
        return self._say_chunks

    def _say_chunks(self, chunks: bytes) -> bool:
        while chunks:
            size, _, rest = chunks.partition(b"\r\n")
            data = rest[: int(size, 16)]
            self.said += data
            self.chunks += 1
            assert chunks.startswith(framed(data))
            chunks = chunks.removeprefix(framed(data))
        return True

    async def drained(self) -> None:
        pass


Heard = tuple[bytes, str, Any]
"""What the caller hears, why it failed before that, and its usage."""


def relayed(upstream: Dialect, caller: Dialect, chunks: list[bytes]) -> Heard:
    heard, _ = relay(upstream, caller, chunks)
    for together in (1, 3):
        assert relay(upstream, caller, chunks, together)[0] == heard
    return heard


def relay(upstream: Dialect, caller: Dialect, chunks: list[bytes], together: int = 0) -> tuple[Heard, int]:
    """With the number of chunks that were passed on with their framing."""
    reply = Arriving(chunks, together)
    stream: RelayedStream
    if upstream is caller:
        stream = PassthroughStream(reply, Clocks(), upstream, "req_1", hide_usage=True)
    else:
        request = ChatRequest(model="m", messages=[], stream=True, include_usage=True)
        encoder = caller.stream_encoder(request, Losses())
        stream = TranslatedStream(reply, Clocks(), upstream.stream_decoder(), encoder, None)
    mouth = Mouth()

    async def run() -> None:
        await stream.open()
        await stream.relay(mouth)

    try:
        asyncio.run(run())
    except UpstreamError as error:
        return (mouth.said, str(error), stream.usage), mouth.chunks
    return (mouth.said, "", stream.usage), mouth.chunks


def decoded(upstream: Dialect, chunks: list[bytes]) -> str:
    """The events, in words: errors are not equal to others of the same kind."""
    decoder = upstream.stream_decoder()
    return repr([event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close())


def cut(wire: bytes, size: int) -> list[bytes]:
    return [wire[start : start + size] for start in range(0, len(wire), size)]


@pytest.mark.sweep
@pytest.mark.parametrize("caller", SPOKEN)
@pytest.mark.parametrize(("upstream", "wire"), STREAMS)
def test_what_was_recorded(upstream: str, wire: bytes, caller: str) -> None:
    spoken = DIALECTS[upstream], DIALECTS[caller]
    slowly = relayed(*spoken, cut(wire, 1))
    assert relayed(*spoken, sse.split(wire)) == slowly
    for size in (7, 64, len(wire)):
        assert relayed(*spoken, cut(wire, size)) == slowly


def openai(*choices: dict[str, Any], **members: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": choices, **members}).encode() + b"\n\n"


def chat(text: Any, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    return openai({"index": index, "delta": {"content": text, **more}, "finish_reason": finish})


def completion(text: Any, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    return openai({"index": index, "text": text, "finish_reason": finish, **more})


def claude(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())


def padded(text: Any, padding: Any = "xY1", **members: Any) -> bytes:
    return openai({"index": 0, "delta": {"content": text}}, **members, obfuscation=padding)


def said(text: Any, number: Any = 5, padding: Any = "xY1", place: int = 0, **more: Any) -> bytes:
    where = {"sequence_number": number, "output_index": place, "content_index": 0}
    return claude("response.output_text.delta", **where, delta=text, **more, obfuscation=padding)


def piece(text: Any, index: int = 0, kind: str = "text_delta", **more: Any) -> bytes:
    return claude("content_block_delta", index=index, delta={"type": kind, "text": text, **more})


def block(index: int, **block: Any) -> bytes:
    return claude("content_block_start", index=index, content_block=block)


def item(kind: str, place: int = 0, text: str = "") -> bytes:
    parts = [{"type": "output_text", "text": text}] if text else []
    told = {"type": "message", "id": f"msg_{place}", "role": "assistant", "content": parts}
    return claude(f"response.output_item.{kind}", output_index=place, item=told)


def content(index: int, place: int = 0) -> bytes:
    part = {"type": "output_text", "text": ""}
    return claude("response.content_part.added", output_index=place, content_index=index, part=part)


def thought(text: str, index: int = 2) -> bytes:
    return claude("content_block_delta", index=index, delta={"type": "thinking_delta", "thinking": text})


def argument(text: str, index: int = 3) -> bytes:
    return claude("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": text})


def calling(text: str, index: int | None = 0, **more: Any) -> bytes:
    call = {"index": index, "function": {"arguments": text}, **more}
    return openai({"index": 0, "delta": {"tool_calls": [call]}})


TEXTS = ["a", " word", "é😀", 'so "quoted"', "a\\b", "line\n\n", '", "usage": {"x": 1}', "\ud800", "", None, 5, ["x"]]
ODD = [
    b": still here\n\n", b"\n", b"data: {\n\n", b"event: error\n" + chat("a"), b"data: [DONE]\n\n", b"data: 1\n\n",
    chat("a").replace(b'"a"', b'"a"\n\n'), chat("a").replace(b'"a"', b'"\x01"'), chat("a").replace(b'"a"', b'"\xff"'),
    chat("a")[:-9], chat("a")[-30:], chat("a")[:-2], b'data: {"error": {"message": "no"}}\n\n',
]  # fmt: skip
CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PLAIN = {"index": 0, "delta": {"content": "a"}}
FRAMES = {
    "openai_chat": [
        *map(chat, TEXTS), chat("b", 1), chat("b", note={"content": "a"}), chat("b", tool_calls=[CALL]),
        chat("b", reasoning_content="hm"), chat("b", 0, "stop"), chat("b", 1, "length"), chat("a", role="assistant"),
        openai({**PLAIN, "logprobs": {"content": []}}), openai(usage={"prompt_tokens": 1}), openai(PLAIN, PLAIN),
        calling(""), calling("a"), calling('{"'), calling("b", 1), calling("c", None), calling("d", 0, id="t"),
        openai({"index": 0, "delta": {"reasoning_content": "hm"}}),
        padded("a"), padded("b", "c"), padded("b", ""), padded("b", "a b"), padded("b", None), padded("b", x=1),
    ],
    "openai_completions": [
        *map(completion, TEXTS), completion("b", 1), completion("b", 0, "stop"), completion("b", 1, "length"),
        completion("a", logprobs={"tokens": ["a"]}), completion("a", note={"text": "a"}),
    ],
    "openai_responses": [
        *map(said, TEXTS), said("b", 6), said("b", 7, "z"), said("b", 0), said("b", "x"), said("b", 8, ""),
        said("b", place=1), said("b", logprobs=[]), said("b", logprobs=[{"token": "b", "logprob": -1}]),
        claude("response.output_text.done", output_index=0, content_index=0, text="Soa"), item("done", text="Soab"),
        item("done", text="Soa"), item("added", 1), content(0, 1), content(1), said("a", error={"message": "no"}),
        claude("response.created", response={}), claude("response.completed", response={}), claude("error"),
    ],
    "anthropic_messages": [
        *map(piece, TEXTS), piece("a", 1), piece("a", 2), piece("a", kind="thinking_delta", thinking="hm"),
        thought("a"), thought("b"), argument("a"), argument('{"'), argument(""), argument("b", 0), thought("a", 0),
        block(3, type="tool_use", id="t", name="f", input={"a": 1}), claude("content_block_stop", index=3),
        piece("a", citation=1), claude("ping"), claude("content_block_stop", index=0), block(0, type="text", text="b"),
        claude("content_block_stop", index=1), block(1, type="text", text=""), block(2, type="thinking", thinking="hm"),
        claude("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}), claude("message_stop"),
        claude("error", error={"type": "overloaded_error", "message": "no"}), piece("a").partition(b"\n")[2],
    ],
}  # fmt: skip
BEGINNINGS = {
    "openai_chat": [chat("So")],
    "openai_completions": [completion("So")],
    "openai_responses": [
        claude("response.created", response={"id": "r", "model": "m"}),
        item("added"),
        content(0),
        said("So"),
    ],
    "anthropic_messages": [
        claude("message_start", message={"id": "m", "model": "m", "usage": {"input_tokens": 1}}),
        block(0, type="text", text=""),
        piece("So"),
    ],
}


def escaped(content: int) -> bytes:
    """A text whose name is written with an escape, beside what looks like a text."""
    delta = rb'{"type": "text_delta", "t\u0065xt": "a"}, "content": "%c"' % content
    return b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "delta": %b}\n\n' % delta


def nothing(index: int) -> bytes:
    """An empty piece, which nothing is learned from: it could be either of two."""
    delta = {"type": "text_delta", "text": ""}
    return claude("content_block_delta", index=index, delta=delta, note={"text": ""})


def noting(text: int, name: bytes) -> bytes:
    return b'data: {"note": {"text": "%c"}, "choices": [{"index": 0, "delta": {"%b": "a"}}]}\n\n' % (text, name)


PIECE = chat("a").removeprefix(b"data: {")
NEARLY = {
    "half a frame before it": [chat("a"), chat("b"), b'data: {"x', chat("c"), chat("d")],
    "the second halves of frames": [chat("a"), chat("b")[:20], chat("b")[20:], chat("c")[20:], chat("d")[20:]],
    "with padding and numbers": [padded("a", "b"), padded("c", "d"), padded("e", sequence_number=1), padded("f")],
    "with padding that is none": [openai(PLAIN, note={"obfuscation": text}) for text in "aaab"],
    "with numbers that mean something": [b'data: {"sequence_number": %d, %b' % (n, PIECE) for n in (5, 5, 5, 6)],
    "with the beginning of the next": [chat("a") + b"data", chat("b")[4:] + b"data", chat("c")[4:] + b"data"],
    "another that begins alike": [chat("a"), chat("b") + b"data", chat("c") + b"data", b": d\n\n"],
    "more than one text": [noting(text, b"content") for text in b"aaab"],
    "another text than the one that was looked for": [noting(text, rb"c\u006fntent") for text in b"aaab"],
    "texts in turns": [chat("a"), chat("b", 1), chat("c"), chat("d", 1), chat("e", 1), chat("f", 1)],
    "a call in between": [chat("a"), chat("b"), chat(None, tool_calls=[CALL]), chat("c"), chat("d"), chat("e")],
    "arguments": [openai({"index": 0, "delta": {"tool_calls": [CALL]}}), *map(calling, "abc"), chat("d"), calling("e")],
    "arguments of two calls": [
        openai({"index": 0, "delta": {"tool_calls": [CALL, {**CALL, "index": 1, "id": "u"}]}}),
        *(calling(text, at) for text, at in zip("abcdefg", (0, 0, 0, 1, 1, 1, 0), strict=True)),
    ],
    "a thought that is told again": [
        *(openai({"index": 0, "delta": {"reasoning_content": text}}) for text in "abc"),
        openai(
            {"index": 0, "delta": {"reasoning_details": [{"type": "reasoning.text", "text": "abc", "signature": "s"}]}}
        ),
    ],
    "after its end": [chat("a"), chat("b"), chat(None, 0, "stop"), chat("c"), b"data: [DONE]\n\n", chat("d")],
    "after an error": [chat("a"), chat("b"), b"data: {\n\n", chat("c")],
}


@pytest.mark.parametrize("caller", SPOKEN)
@pytest.mark.parametrize("upstream", ["openai_chat", "openai_completions", "anthropic_messages"])
def test_most_of_a_text_keeps_its_framing(upstream: str, caller: str) -> None:
    """So that the tests above hold what they are to hold."""
    made = {"openai_chat": chat, "openai_completions": completion, "anthropic_messages": piece}[upstream]
    texts = ["So", "a", "b", "word" * 10, "word" * 1000, "é😀", "line\n\n", "c"]
    frames = [*BEGINNINGS[upstream], *map(made, texts)]
    assert relay(DIALECTS[upstream], DIALECTS[caller], frames, 1)[1] >= 6
    assert relay(DIALECTS[upstream], DIALECTS[caller], frames, 3)[1] >= (5 if upstream == caller else 2)


@pytest.mark.parametrize("frames", NEARLY.values(), ids=NEARLY)
def test_what_is_nearly_a_piece_of_text(frames: list[bytes]) -> None:
    upstream, frames = DIALECTS["openai_chat"], [chat("So"), *frames]
    bytewise = cut(b"".join(frames), 1)
    assert decoded(upstream, frames) == decoded(upstream, bytewise)
    assert relayed(upstream, upstream, frames) == relayed(upstream, upstream, bytewise)


@pytest.mark.parametrize(
    "frames",
    [
        [block(2, type="thinking", thinking="", signature=""), *map(thought, "abc"), piece("d"), thought("e")],
        [block(3, type="tool_use", id="t", name="f", input={"a": 1}), *map(argument, ["", "a", "b", "c"])],
        [block(3, type="tool_use", id="t", name="f", input={"a": 1}), argument(""), argument("")],
        [escaped(text) for text in b"aabc"],
        [block(1, type="text", text=""), piece("a"), piece("b"), nothing(1), piece("c")],
    ],
    ids=[
        "a thought",
        "arguments",
        "arguments of which no piece comes",
        "another member than the text's",
        "an empty one",
    ],
)
def test_what_is_under_way_may_be_no_text(frames: list[bytes]) -> None:
    upstream, frames = DIALECTS["anthropic_messages"], [*BEGINNINGS["anthropic_messages"], *frames]
    frames.append(claude("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}))
    bytewise = cut(b"".join(frames), 1)
    assert decoded(upstream, frames) == decoded(upstream, bytewise)
    for caller in SPOKEN:
        assert relayed(upstream, DIALECTS[caller], frames) == relayed(upstream, DIALECTS[caller], bytewise)


def test_a_frame_of_aws_is_known_by_its_checksum_and_nothing_else() -> None:
    upstream = DIALECTS["bedrock_converse"]
    began = [aws_event("messageStart", role="assistant")]
    piece = aws_event("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hi"})
    for damaged in (piece.replace(b"Hi", b"Yo"), piece.replace(b"Hi", b"Hi there")):
        frames = [*began, piece, piece, damaged, piece]
        assert relayed(upstream, upstream, frames) == relayed(upstream, upstream, cut(b"".join(frames), 1))


def test_how_long_a_text_is_counts_at_its_end() -> None:
    upstream, frames = DIALECTS["openai_responses"], BEGINNINGS["openai_responses"]
    frames = [*frames, said("a"), said("b", 6), said("c", 7), item("done", text="Soabc")]
    assert decoded(upstream, frames) == decoded(upstream, cut(b"".join(frames), 1))


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("anthropic_messages", piece("a", x=1)),
        ("openai_chat", openai({**PLAIN, "logprobs": {"content": [{"token": "a"}]}})),
        ("openai_completions", completion("a", logprobs={"tokens": ["a"], "token_logprobs": [-0.5]})),
    ],
)
def test_what_is_said_beside_a_text_comes_with_each_piece(name: str, frame: bytes) -> None:
    decoder = DIALECTS[name].stream_decoder()
    for beginning in BEGINNINGS[name]:
        decoder.feed(beginning)
    first, second, third = [decoder.feed(frame) for _ in range(3)]
    assert first == second == third
    assert isinstance(first[0], TextDelta)
    assert first[0].extras or first[0].logprobs


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Mostly a text under way, and what else may come in between."""
    name = draw(st.sampled_from(sorted(FRAMES)))
    own = FRAMES[name]
    frames = st.sampled_from(own[:6]) | st.sampled_from(own) | st.sampled_from([*own, *ODD])
    return name, [*BEGINNINGS[name], *draw(st.lists(frames, max_size=12))]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(stream=streams(), caller=st.sampled_from(sorted(FRAMES)))
def test_what_may_come(stream: tuple[str, list[bytes]], caller: str) -> None:
    name, frames = stream
    spoken = DIALECTS[name], DIALECTS[caller]
    bytewise = cut(b"".join(frames), 1)
    assert relayed(*spoken, frames) == relayed(*spoken, bytewise)
    assert decoded(spoken[0], frames) == decoded(spoken[0], bytewise)
