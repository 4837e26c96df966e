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
    Base64,
    Blocks,
    CacheMark,
    Citation,
    Document,
    FileId,
    Image,
    Opaque,
    Part,
    PlainText,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import FunctionTool, NativeTool, Tool, ToolChoice
from wye.canon.usage import Usage
from wye.dialects.anthropic_messages import DIALECT
from wye.dialects.dialect import Quirks
from wye.kernel import json

NAME = "anthropic_messages"
CORPUS = Path(__file__).parents[3] / "golden" / NAME
REQUESTS = {
    path.stem: case["wire"]
    for path in sorted(CORPUS.glob("requests/*.json"))
    if "note" not in (case := json.decode(path.read_bytes()))
}

bounded = settings(max_examples=120, deadline=None, derandomize=True)

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
maybe = st.none() | words
extras = st.none() | st.builds(lambda value: {NAME: {"x_unknown": value}}, words)
marks = st.none() | st.builds(CacheMark, st.sampled_from([None, "5m", "1h"]))
objects = st.dictionaries(
    words, st.none() | st.booleans() | st.integers() | words | st.lists(words, max_size=2), max_size=3
)
figures = st.integers(0, 10**9)

citations = st.one_of(
    st.builds(
        Citation,
        st.sampled_from(["char", "page", "block"]),
        quote=words, title=maybe, file_id=maybe, document=figures, start=figures, end=figures, extras=extras,
    ),
    st.builds(
        Citation, st.just("search_result"),
        quote=words, title=maybe, source=words, document=figures, start=figures, end=figures,
    ),
    st.builds(
        Citation, st.just("url"),
        quote=words, title=maybe, url=words, extras=st.builds(lambda index: {NAME: {"encrypted_index": index}}, words),
    ),
)  # fmt: skip
texts = st.builds(Text, words, st.lists(citations, max_size=2), marks, extras)
plain = st.builds(Text, words)
files = st.one_of(st.builds(Base64, words, st.just("image/png")), st.builds(Url, words), st.builds(FileId, words))
images = st.builds(Image, files, cache=marks, extras=extras)
passages = st.lists(plain | images, max_size=2)
documents = st.builds(
    Document,
    files | st.builds(PlainText, words) | st.builds(Blocks, passages),
    title=maybe, context=maybe, citations=st.none() | st.booleans(), cache=marks, extras=extras,
)  # fmt: skip
found = st.builds(SearchResult, words, words, st.lists(plain, max_size=2), st.none() | st.booleans(), marks, extras)
results = st.builds(
    ToolResult, words, st.lists(plain | images | documents | found, max_size=3), st.none() | st.booleans(),
    cache=marks, extras=extras,
)  # fmt: skip
calls = st.builds(ToolCall, words, words, st.builds(json.encode_text, objects), cache=marks, extras=extras)
server_calls = st.builds(
    lambda call, kind: msgspec.structs.replace(call, kind="server", extras={NAME: {"type": kind}}),
    calls,
    st.sampled_from(["server_tool_use", "mcp_tool_use"]),
)
opaque = st.builds(lambda value: Opaque(NAME, {"type": "hologram", "value": value}), words)
thoughts = st.builds(Thinking, words, words, origin=st.just("anthropic"), extras=extras) | st.builds(
    lambda data: Thinking(redacted=data, origin="anthropic"), words
)
answers: st.SearchStrategy[Part] = st.one_of(texts, thoughts, calls, server_calls, opaque)

user_messages = st.builds(
    lambda first, rest, more: Message("user", [*first, *rest], extras=more),
    st.lists(results, max_size=2),
    st.lists(st.one_of(texts, images, documents, found, opaque), min_size=1, max_size=3),
    extras,
)
assistant_messages = st.builds(lambda parts: Message("assistant", parts), st.lists(answers, min_size=1, max_size=4))
conversations = st.builds(
    lambda system, turns: [*system, *(message for turn in turns for message in turn)],
    st.lists(st.builds(lambda parts: Message("system", parts), st.lists(texts, min_size=1, max_size=2)), max_size=1),
    st.lists(st.tuples(user_messages, assistant_messages), min_size=1, max_size=3),
)
tools: st.SearchStrategy[Tool] = st.builds(
    FunctionTool, words, maybe, objects, st.none() | st.booleans(), marks, extras
) | st.builds(lambda value: NativeTool(NAME, {"type": "web_search_20260318", "name": value}), words)
choices = st.builds(ToolChoice, st.sampled_from(["auto", "required"]), extras=extras) | st.builds(
    ToolChoice, st.just("named"), words
)
reasonings = st.one_of(
    st.builds(Reasoning, effort=st.sampled_from(["low", "medium", "high", "xhigh", "max"])),
    st.builds(
        Reasoning, st.just("enabled"), st.sampled_from([None, "high"]), st.integers(1024, 9999), maybe, extras=extras
    ),
    st.builds(Reasoning, st.just("adaptive"), display=maybe),
    st.just(Reasoning("disabled")),
)
tooled = st.fixed_dictionaries({}, optional={"tools": st.lists(tools, min_size=1, max_size=3)}) | st.fixed_dictionaries(
    {"tools": st.lists(tools, min_size=1, max_size=2), "tool_choice": choices},
    optional={"parallel_tool_calls": st.booleans()},
)
requests = st.builds(
    lambda turns, members, more: ChatRequest(**{"model": "m", "messages": turns, **members, **more}),
    conversations,
    tooled,
    st.fixed_dictionaries(
        {"max_tokens": figures},
        optional={
            "stream": st.booleans(), "temperature": st.floats(0, 1), "top_p": st.floats(0, 1), "top_k": figures,
            "stop": st.lists(words, max_size=2), "output": st.builds(OutputFormat, st.just("json_schema"), objects),
            "reasoning": reasonings, "cache": marks, "user": words, "extras": extras,
            "service_tier": st.sampled_from(["auto", "standard_only"]),
        },
    ),
)  # fmt: skip
usages = st.builds(
    lambda fresh, read, written, output, thought: Usage(fresh + read + written, output, read, written, thought),
    figures, figures, figures, figures, st.none() | figures,
)  # fmt: skip
endings = st.one_of(
    st.tuples(st.just("stop"), words),
    st.tuples(st.sampled_from(["length", "content_filter", "tool_calls"]), st.none()),
)
responses = st.builds(
    lambda parts, ending, usage, more: ChatResponse(
        id="msg_1", model="m", choices=[Choice(parts, ending[0], stop_sequence=ending[1])], usage=usage, extras=more
    ),
    st.lists(answers, max_size=4),
    endings,
    usages,
    extras,
)


@bounded
@given(requests)
def test_a_request_comes_back_as_it_was(request: ChatRequest) -> None:
    losses = Losses()
    wire = json.encode(DIALECT.encode_request(request, losses, Quirks()))
    assert DIALECT.decode_request(json.decode(wire)) == request
    assert losses == []


@bounded
@given(responses)
def test_an_answer_comes_back_as_it_was(response: ChatResponse) -> None:
    losses = Losses()
    wire = json.encode(DIALECT.encode_response(response, losses))
    assert DIALECT.decode_response(json.decode(wire)) == response
    assert losses == []


@bounded
@given(responses, st.integers(1, 64))
def test_a_stream_comes_back_as_it_was_however_it_is_cut(response: ChatResponse, size: int) -> None:
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), losses)
    wire = b"".join(encoder.encode(event) for event in unfold(response))
    decoder = DIALECT.stream_decoder()
    events: list[Event] = [event for at in range(0, len(wire), size) for event in decoder.feed(wire[at : at + size])]
    assert fold(events + decoder.close()) == response
    assert losses == []


@bounded
@given(st.binary(max_size=200), st.sampled_from(sorted(CORPUS.glob("streams/*.sse"))), st.integers(0, 4000))
def test_no_bytes_make_the_decoder_raise(noise: bytes, path: Path, at: int) -> None:
    wire = path.read_bytes()
    decoder = DIALECT.stream_decoder()
    decoder.feed(wire[:at] + noise + wire[at:])
    decoder.close()
    assert decoder.feed(wire) == []


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
