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
    CacheMark,
    Citation,
    Document,
    FileId,
    Image,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, Tool, ToolChoice
from wye.canon.usage import Usage
from wye.dialects.dialect import Quirks
from wye.dialects.openai_chat import DIALECT
from wye.kernel import json

NAME = "openai_chat"
OPENAI = Quirks(max_tokens_key="max_completion_tokens", developer_role=True)
CORPUS = Path(__file__).parents[3] / "golden" / NAME
REQUESTS = {
    path.stem: case["wire"]
    for path in sorted(CORPUS.glob("requests/*.json"))
    if "note" not in (case := json.decode(path.read_bytes()))
}
SCHEMAS = {"parameters", "schema", "logit_bias", "metadata", "format", "prompt_cache_breakpoint"}
"""Members whose value is one thing, carried whole: what is inside has no place of its own."""

bounded = settings(max_examples=120, deadline=None, derandomize=True)

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
maybe = st.none() | words
flags = st.none() | st.booleans()
figures = st.integers(0, 10**9)
extras = st.none() | st.builds(lambda value: {NAME: {"x_unknown": value}}, words)
marks = st.none() | st.builds(CacheMark, st.sampled_from([None, "5m", "1h"]), st.just({NAME: dict[str, Any]()}))
objects = st.dictionaries(
    words, st.none() | st.booleans() | st.integers() | words | st.lists(words, max_size=2), max_size=3
)

texts = st.builds(Text, words, cache=marks, extras=extras)
links = st.builds(lambda path: Url(f"https://example.com/{path}"), words)
images = st.builds(
    Image, st.builds(Base64, words, st.just("image/png")) | links, detail=maybe, cache=marks, extras=extras
)
documents = st.builds(
    Document, st.builds(Base64, words, st.just("application/pdf")), title=words, cache=marks, extras=extras
) | st.builds(Document, st.builds(FileId, words), title=maybe, extras=extras)
sounds = st.builds(Audio, words, st.sampled_from(["wav", "mp3"]), extras=extras)
opaque = st.builds(lambda value: Opaque(NAME, {"type": "hologram", "value": value}), words)
contents = st.lists(st.one_of(texts, images, documents, sounds, opaque), min_size=1, max_size=3)
results = st.builds(ToolResult, words, st.lists(texts, min_size=1, max_size=2), cache=marks, extras=extras)
calls = st.builds(
    lambda call, kind: msgspec.structs.replace(call, kind=kind),
    st.builds(ToolCall, words, words, words, extras=extras),
    st.sampled_from(["function", "custom"]),
)
thoughts = st.one_of(
    st.builds(Thinking, words, words, id=maybe, extras=extras),
    st.builds(lambda data: Thinking(redacted=data), words),
)
refusals = st.lists(st.builds(Refusal, words), max_size=1)


def unique(found: list[ToolCall]) -> list[ToolCall]:
    """Each call of an answer has an id of its own."""
    return [msgspec.structs.replace(call, id=f"{i}{call.id}") for i, call in enumerate(found)]


some_calls = st.lists(calls, max_size=3).map(unique)
spoken = st.builds(
    lambda thinking, said, refused, called: Message("assistant", [*thinking, *said, *refused, *called]),
    st.lists(thoughts, max_size=2), st.lists(texts | opaque, min_size=1, max_size=2), refusals, some_calls,
)  # fmt: skip
heard = st.one_of(
    st.builds(lambda parts, name, more: Message("user", parts, name, more), contents, maybe, extras),
    st.builds(lambda parts: Message("user", parts), st.lists(results, min_size=1, max_size=3)),
)
conversations = st.builds(
    lambda system, turns: [*system, *(message for turn in turns for message in turn)],
    st.lists(
        st.builds(Message, st.sampled_from(["system", "developer"]), st.lists(texts, min_size=1, max_size=2)),
        max_size=1,
    ),
    st.lists(st.tuples(heard, spoken), min_size=1, max_size=3),
)  # fmt: skip
tools: st.SearchStrategy[Tool] = st.one_of(
    st.builds(FunctionTool, words, maybe, st.none() | objects, flags, marks, extras),
    st.builds(CustomTool, words, maybe, st.none() | objects, extras),
    st.builds(lambda value: NativeTool(NAME, {"type": "hologram", "value": value}), words),
)
choices = st.one_of(
    st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"])),
    st.builds(ToolChoice, st.just("named"), words, extras=extras),
    st.builds(lambda mode, allowed: ToolChoice(mode, allowed=allowed), st.sampled_from(["auto", "required"]),
              st.lists(words, max_size=2)),
)  # fmt: skip
requests = st.builds(
    lambda turns, members, tooled: ChatRequest(**{"model": "m", "messages": turns, **members, **tooled}),
    conversations,
    st.fixed_dictionaries(
        {},
        optional={
            "stream": st.booleans(), "include_usage": st.booleans(), "max_tokens": st.integers(1, 10**6),
            "temperature": st.floats(0, 2), "top_p": st.floats(0, 1), "frequency_penalty": st.floats(-2, 2),
            "presence_penalty": st.floats(-2, 2), "logit_bias": st.dictionaries(words, st.floats(-9, 9), max_size=2),
            "seed": st.integers(), "stop": st.lists(words, min_size=1, max_size=3), "n": st.integers(1, 9),
            "logprobs": st.booleans(), "top_logprobs": st.integers(0, 20), "verbosity": words, "cache": marks,
            "output": st.builds(OutputFormat, st.sampled_from(["text", "json_object"]), extras=extras)
            | st.builds(OutputFormat, st.just("json_schema"), objects, words, maybe, flags, extras),
            "reasoning": st.builds(Reasoning, effort=words), "user": words, "metadata": objects, "store": st.booleans(),
            "service_tier": st.sampled_from(["auto", "flex", "priority"]), "prompt_cache_key": words, "extras": extras,
        },
    ),
    st.just({}) | st.fixed_dictionaries(
        {"tools": st.lists(tools, min_size=1, max_size=3)},
        optional={"tool_choice": choices, "parallel_tool_calls": st.booleans()},
    ),
)  # fmt: skip

citations = st.one_of(
    st.builds(Citation, st.just("url"), quote=maybe, title=words, url=words, text_start=figures, text_end=figures,
              extras=extras),
    st.builds(Citation, st.sampled_from(["char", "page", "block", "search_result", "file", "container_file"]),
              quote=maybe, title=maybe, url=maybe, file_id=maybe, source=maybe, document=st.none() | figures,
              start=st.none() | figures, end=st.none() | figures, text_start=figures, text_end=figures),
)  # fmt: skip
tokens = st.fixed_dictionaries({"token": words, "logprob": st.floats(-9, 0), "bytes": st.none()})
logprobs = st.builds(lambda found: {"content": found, "refusal": None}, st.lists(tokens, min_size=1, max_size=2))
answered = st.builds(
    lambda thinking, said, called, reason, told, more: (
        [*thinking, *said, *called], reason, told if said else None, more
    ),
    st.lists(thoughts, max_size=2),
    st.lists(st.builds(Text, words, st.lists(citations, max_size=2)), max_size=1),
    some_calls,
    st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    st.none() | logprobs,
    extras,
)  # fmt: skip
responses = st.builds(
    lambda found, usage, tier, more: ChatResponse(
        id="chatcmpl-1", model="m", created=5, usage=usage, service_tier=tier, extras=more,
        choices=[Choice(p, reason, i, None, told, own) for i, (p, reason, told, own) in enumerate(found)],
    ),
    st.lists(answered, min_size=1, max_size=3),
    st.builds(Usage, figures, figures, st.none() | figures, st.none() | figures, st.none() | figures, extras),
    st.sampled_from([None, "default", "flex"]),
    extras,
)  # fmt: skip


@bounded
@given(requests)
def test_a_request_comes_back_as_it_was(request: ChatRequest) -> None:
    losses = Losses()
    wire = json.encode(DIALECT.encode_request(request, losses, OPENAI))
    assert DIALECT.decode_request(json.decode(wire)) == joined_turns(request)
    assert losses == []


def joined_turns(request: ChatRequest) -> ChatRequest:
    """With tool results in a row in one message, as they are decoded."""
    turns: list[Message] = []
    for message in request.messages:
        before = turns[-1].parts if turns else [Text("")]
        if isinstance(message.parts[0], ToolResult) and isinstance(before[0], ToolResult):
            turns[-1] = Message("user", [*before, *message.parts])
        else:
            turns.append(message)
    return msgspec.structs.replace(request, messages=turns)


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
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), losses)
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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=3),
    max_leaves=6,
)
deltas = st.dictionaries(
    st.sampled_from(
        ["role", "content", "refusal", "tool_calls", "function_call", "audio", "annotations", "reasoning_details"]
    ),
    json_values,
    max_size=4,
)


@bounded
@given(
    st.lists(st.dictionaries(st.sampled_from(["index", "delta", "logprobs", "finish_reason"]), json_values | deltas))
)
def test_no_chunk_makes_the_decoder_raise_or_break_its_promise(found: list[dict[str, Any]]) -> None:
    decoder = DIALECT.stream_decoder()
    wire = b"".join(b"data: %b\n\n" % json.encode({"id": "i", "choices": [choice]}) for choice in found)
    events = decoder.feed(wire + b"data: [DONE]\n\n")
    open_parts: set[tuple[int, int]] = set()
    for event in events:
        index, choice = getattr(event, "index", None), getattr(event, "choice", 0)
        match type(event).__name__:
            case "PartStart":
                open_parts.add((choice, index))
            case "PartEnd":
                open_parts.remove((choice, index))
            case "Finish":
                assert not [part for part in open_parts if part[0] == choice]
            case name if name.endswith("Delta"):
                assert (choice, index) in open_parts
    assert not open_parts


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for name, member in value.items():
            if name not in SCHEMAS:
                yield from objects_in(member)
    elif isinstance(value, list):
        for item in value:
            yield from objects_in(item)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_member_that_nobody_knows_comes_out_where_it_went_in(name: str) -> None:
    for place in range(sum(1 for _ in objects_in(REQUESTS[name]))):
        wire = copy.deepcopy(REQUESTS[name])
        list(objects_in(wire))[place]["x_nobody_knows"] = {"a": [1, None]}
        losses = Losses()
        assert DIALECT.encode_request(DIALECT.decode_request(wire), losses, OPENAI) == wire
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
        assert DIALECT.encode_request(request, losses, OPENAI) == REQUESTS[name]
        assert [loss.field.endswith("x_foreign") for loss in losses] == [True]
