"""What must hold for every value: it comes back as it was, and nothing in it gets lost without a word."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wye.canon.events import Event
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import (
    Audio,
    Base64,
    Blocks,
    CacheMark,
    Citation,
    Document,
    Image,
    Opaque,
    Part,
    PlainText,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import FunctionTool, NativeTool, Tool, ToolChoice
from wye.canon.usage import Usage
from wye.dialects.bedrock_converse import DIALECT
from wye.dialects.dialect import Dialect, Quirks
from wye.kernel import eventstream, json, sse

NAME = "bedrock_converse"
CORPUS = Path(__file__).parents[3] / "golden" / NAME
SSE = DIALECT.as_sse or DIALECT
REQUESTS = {
    path.stem: case["wire"]
    for path in sorted(CORPUS.glob("requests/*.json"))
    if "note" not in (case := json.decode(path.read_bytes()))
}
RESPONSES = {path.stem: json.decode(path.read_bytes()) for path in sorted(CORPUS.glob("responses/*.json"))}

bounded = settings(max_examples=120, deadline=None, derandomize=True)

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
plain_words = st.text("abcdefgh-()[]", min_size=1, max_size=12)
maybe = st.none() | words
extras = st.none() | st.builds(lambda value: {NAME: {"x_unknown": value}}, words)
marks = st.none() | st.builds(CacheMark, st.sampled_from([None, "5m", "1h"]))
objects = st.dictionaries(
    words, st.none() | st.booleans() | st.integers() | words | st.lists(words, max_size=2), max_size=3
)
figures = st.integers(0, 10**9)
identities = st.text("abcXYZ019_.:-", min_size=1, max_size=64)

citations = st.one_of(
    st.builds(
        Citation, st.sampled_from(["char", "page", "block", "search_result"]),
        quote=maybe, title=maybe, source=maybe, document=figures, start=figures, end=figures, extras=extras,
    ),
    st.builds(Citation, st.just("url"), quote=maybe, title=maybe, url=words, extras=extras),
    st.builds(Citation, st.just("block"), quote=words),
)  # fmt: skip
texts = st.builds(Text, words, st.lists(citations, max_size=2), marks, extras)
plain = st.builds(Text, words)
pictures = st.builds(Base64, words, st.sampled_from(["image/png", "image/jpeg", "image/webp"]))
images = st.builds(Image, pictures, cache=marks, extras=extras)
documents = st.builds(
    Document,
    st.one_of(
        st.builds(Base64, words, st.sampled_from(["application/pdf", "text/csv", "text/plain"])),
        st.builds(PlainText, words),
        st.builds(Blocks, st.lists(plain, min_size=1, max_size=2)),
    ),
    title=plain_words, context=maybe, citations=st.none() | st.booleans(), cache=marks, extras=extras,
)  # fmt: skip
audio = st.builds(Audio, words, st.sampled_from(["wav", "mp3"]), extras=extras)
found = st.builds(SearchResult, words, words, st.lists(plain, max_size=2), st.none() | st.booleans(), marks, extras)
inner = st.one_of(plain, st.builds(Image, pictures), st.builds(SearchResult, words, words, st.lists(plain)))
results = st.builds(
    ToolResult, identities, st.lists(inner, max_size=3), st.none() | st.booleans(), cache=marks, extras=extras
)
calls = st.builds(ToolCall, identities, words, st.builds(json.encode_text, objects), cache=marks, extras=extras)
opaque = st.builds(lambda value: Opaque(NAME, {"hologram": value}), words)
thoughts = st.builds(Thinking, words, maybe, extras=extras) | st.builds(
    lambda data: Thinking(redacted=data), st.text("abcXYZ+/=", min_size=1)
)
unmarked = [st.builds(lambda part: msgspec.structs.replace(part, cache=None), each) for each in (calls, images)]
spoken = st.builds(Text, words, st.lists(citations, max_size=2))
answers: st.SearchStrategy[Part] = st.one_of(spoken, thoughts, *unmarked, opaque, audio)

user_messages = st.builds(
    lambda first, rest, more: Message("user", [*first, *rest], extras=more),
    st.lists(results, max_size=2),
    st.lists(st.one_of(texts, images, documents, found, opaque, audio), min_size=1, max_size=3),
    extras,
)
assistant_messages = st.builds(
    lambda parts: Message("assistant", parts),
    st.lists(st.one_of(texts, thoughts, calls, opaque), min_size=1, max_size=4),
)
conversations = st.builds(
    lambda system, turns: [*system, *(message for turn in turns for message in turn)],
    st.lists(
        st.builds(lambda parts: Message("system", parts), st.lists(st.builds(Text, words, cache=marks, extras=extras))),
        max_size=1,
    ).filter(lambda system: all(message.parts for message in system)),
    st.lists(st.tuples(user_messages, assistant_messages), min_size=1, max_size=3),
)
tools: st.SearchStrategy[Tool] = st.builds(
    FunctionTool, words, maybe, objects, st.none() | st.booleans(), marks, extras
) | st.builds(lambda value: NativeTool(NAME, {"systemTool": {"name": value}}), words)
choices = st.builds(ToolChoice, st.sampled_from(["auto", "required"]), extras=extras) | st.builds(
    ToolChoice, st.just("named"), words
)
reasonings = st.one_of(
    st.builds(Reasoning, effort=st.sampled_from(["low", "medium", "high", "xhigh", "max"])),
    st.builds(Reasoning, st.just("enabled"), st.sampled_from([None, "high"]), st.integers(1024, 9999), maybe),
    st.builds(Reasoning, st.just("adaptive"), display=st.none() | st.just("omitted")),
    st.just(Reasoning("disabled")),
).filter(lambda reasoning: reasoning.display not in ("auto", "concise", "detailed"))
tooled = st.fixed_dictionaries({"tools": st.lists(tools, min_size=1, max_size=3)}, optional={"tool_choice": choices})
tags = st.dictionaries(
    plain_words.map(lambda word: word.translate({ord(c): "_" for c in "()[]"})), st.just("v"), max_size=16
)
requests = st.builds(
    lambda turns, members, more: ChatRequest(**{"model": "", "messages": turns, **members, **more}),
    conversations,
    tooled,
    st.fixed_dictionaries(
        {},
        optional={
            "max_tokens": st.integers(1, 9999), "temperature": st.floats(0, 1), "top_p": st.floats(0, 1),
            "top_k": figures, "stop": st.lists(words, min_size=1, max_size=2), "reasoning": reasonings,
            "output": st.builds(OutputFormat, st.just("json_schema"), objects, maybe, maybe),
            "extras": extras, "metadata": tags.filter(bool),
            "service_tier": st.sampled_from(["default", "flex", "priority", "reserved"]),
        },
    ),
)  # fmt: skip
usages = st.builds(
    lambda fresh, read, written, output: Usage(fresh + (read or 0) + (written or 0), output, read, written),
    figures, st.none() | figures, st.none() | figures, figures,
)  # fmt: skip
endings = st.one_of(
    st.tuples(st.just("stop"), words),
    st.tuples(st.sampled_from(["length", "content_filter", "tool_calls", "error"]), st.none()),
)
responses = st.builds(
    lambda parts, ending, usage, more: ChatResponse(
        id="",
        model="",
        choices=[Choice(parts, ending[0], stop_sequence=ending[1])],
        usage=usage,
        extras={NAME: {"metrics": {"latencyMs": more}}},
    ),
    st.lists(answers, max_size=4),
    endings,
    usages,
    figures,
)


def without_spelling(value: Any) -> Any:
    """A schema is kept as the text it came as, which a request that was never text has not."""
    if value.output is not None:
        value.output.extras = None
    form = (value.extras or {}).get(NAME, {})
    form.pop("~", None)
    if not form:
        value.extras = None
    return value


@bounded
@given(requests)
def test_a_request_comes_back_as_it_was(request: ChatRequest) -> None:
    losses = Losses()
    wire = json.encode(DIALECT.encode_request(request, losses, Quirks()))
    assert without_spelling(DIALECT.decode_request(json.decode(wire))) == request
    assert losses == []


@bounded
@given(responses)
def test_an_answer_comes_back_as_it_was(response: ChatResponse) -> None:
    losses = Losses()
    wire = json.encode(DIALECT.encode_response(response, losses))
    assert DIALECT.decode_response(json.decode(wire)) == response
    assert losses == []


@bounded
@given(responses, st.integers(1, 64), st.sampled_from([DIALECT, SSE]))
def test_a_stream_comes_back_as_it_was_however_it_is_cut(response: ChatResponse, size: int, dialect: Dialect) -> None:
    losses = Losses()
    encoder = dialect.stream_encoder(ChatRequest(model="m", messages=[]), losses)
    wire = b"".join(encoder.encode(event) for event in unfold(response))
    decoder = dialect.stream_decoder()
    events: list[Event] = [event for at in range(0, len(wire), size) for event in decoder.feed(wire[at : at + size])]
    assert fold(events + decoder.close()) == response
    assert losses == []


@bounded
@given(st.binary(max_size=200), st.sampled_from(sorted(CORPUS.glob("streams/*.sse"))), st.integers(0, 4000))
def test_no_bytes_make_the_decoder_raise(noise: bytes, path: Path, at: int) -> None:
    text = path.read_bytes()
    frames = b"".join(eventstream.message(frame.event or "", frame.data) for frame in sse.parse(text))
    for dialect, wire in ((DIALECT, frames), (SSE, text)):
        decoder = dialect.stream_decoder()
        decoder.feed(wire[:at] + noise + wire[at:])
        decoder.close()
        assert decoder.feed(wire) == []


kinds = st.sampled_from(["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop"])
pieces = st.recursive(
    st.none() | st.integers(0, 2) | words,
    lambda below: st.lists(below, max_size=2)
    | st.dictionaries(
        st.sampled_from(["text", "toolUse", "input", "image", "source", "bytes", "citation", "reasoningContent",
                         "toolResult", "toolUseId", "name", "redactedContent", "signature"]),
        below, max_size=2,
    ),
    max_leaves=6,
)  # fmt: skip


@bounded
@given(st.lists(st.tuples(kinds, st.integers(0, 1), pieces), max_size=8))
def test_no_events_make_the_decoder_raise(told: list[tuple[str, int, Any]]) -> None:
    decoder = DIALECT.stream_decoder()
    events: list[Event] = []
    for kind, index, value in told:
        payload = {"contentBlockIndex": index, "start": value, "delta": value, "stopReason": "end_turn"}
        events += decoder.feed(eventstream.message(kind, json.encode(payload)))
    events += decoder.close()
    fold_or_failure(events)


def fold_or_failure(events: list[Event]) -> None:
    """What a decoder guarantees: pieces within their parts, and an end that is End or Failure."""
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), Losses())
    wire = b"".join(encoder.encode(event) for event in events)
    decoder = DIALECT.stream_decoder()
    assert [type(events[-1])] == [type(event) for event in (decoder.feed(wire) + decoder.close())[-1:]]


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(item)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_member_that_nobody_knows_comes_out_where_it_went_in(name: str) -> None:
    for place in range(sum(1 for _ in objects_in(REQUESTS[name]))):
        wire = copy.deepcopy(REQUESTS[name])
        list(objects_in(wire))[place]["x_nobody_knows"] = {"a": [1, None]}
        losses = Losses()
        assert DIALECT.encode_request(DIALECT.decode_request(wire), losses, Quirks()) == wire
        assert losses == []


@pytest.mark.parametrize("name", RESPONSES)
def test_a_member_that_nobody_knows_comes_out_of_an_answer(name: str) -> None:
    for place in range(sum(1 for _ in objects_in(RESPONSES[name]))):
        body = copy.deepcopy(RESPONSES[name])
        list(objects_in(body))[place]["x_nobody_knows"] = {"a": [1, None]}
        losses = Losses()
        assert DIALECT.encode_response(DIALECT.decode_response(body), losses) == body
        assert losses == []


def extras_in(value: Any) -> Iterator[Any]:
    """Every struct that may hold members of a dialect."""
    if isinstance(value, msgspec.Struct):
        if hasattr(value, "extras"):
            yield value
        for name in value.__struct_fields__:
            yield from extras_in(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from extras_in(item)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_member_of_another_dialect_is_always_reported(name: str) -> None:
    for place in range(sum(1 for _ in extras_in(DIALECT.decode_request(REQUESTS[name])))):
        request = DIALECT.decode_request(copy.deepcopy(REQUESTS[name]))
        holder = list(extras_in(request))[place]
        holder.extras = {**(holder.extras or {}), "another": {"x_foreign": 1}}
        losses = Losses()
        assert DIALECT.encode_request(request, losses, Quirks()) == REQUESTS[name]
        assert [loss.field.endswith("x_foreign") for loss in losses] == [True]
