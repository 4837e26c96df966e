"""What can be said here comes back as it was, whatever is in it; and no bytes make a decoder raise."""

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
from wye.canon.extras import FORM
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
from wye.dialects.openai_responses import DIALECT
from wye.kernel import json

NAME = "openai_responses"
CORPUS = Path(__file__).parents[3] / "golden" / NAME
REQUESTS = {
    path.stem: case["wire"]
    for path in sorted(CORPUS.glob("requests/*.json"))
    if "note" not in (case := json.decode(path.read_bytes()))
}
SCHEMAS = {"parameters", "schema", "metadata", "format", "prompt_cache_breakpoint", "conversation", "prompt"}
"""Members whose value is one thing, carried whole: what is inside has no place of its own."""

bounded = settings(max_examples=120, deadline=None, derandomize=True)

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
maybe = st.none() | words
flags = st.none() | st.booleans()
figures = st.integers(0, 10**9)
extras = st.none() | st.builds(lambda value: {NAME: {"x_unknown": value}}, words)
marks = st.none() | st.just(CacheMark(extras={NAME: {"prompt_cache_breakpoint": {"mode": "explicit"}}}))
objects = st.dictionaries(
    words, st.none() | st.booleans() | st.integers() | words | st.lists(words, max_size=2), max_size=3
)

texts = st.builds(Text, words, cache=marks, extras=extras)
links = st.builds(lambda path: Url(f"https://example.com/{path}"), words)
images = st.builds(
    Image, st.builds(Base64, words, st.just("image/png")) | links | st.builds(FileId, words), maybe, marks, extras
)
documents = st.builds(
    Document, st.builds(Base64, words, st.just("application/pdf")), title=words, cache=marks, extras=extras
) | st.builds(Document, st.builds(FileId, words) | links, title=maybe, extras=extras)
sounds = st.builds(Audio, words, st.sampled_from(["wav", "mp3"]), extras=extras)
opaque = st.builds(lambda value: Opaque(NAME, {"type": "hologram", "value": value}), words)
contents = st.lists(st.one_of(texts, images, documents, sounds, opaque), min_size=1, max_size=3)
results = st.builds(ToolResult, words, st.lists(images, min_size=1, max_size=2), extras=extras) | st.builds(
    lambda call, text: ToolResult(call, [Text(text)]), words, words
)
calls = st.builds(
    # A result is of its call's kind: ids tell them apart, so that no function's result answers a custom call.
    lambda call, kind: msgspec.structs.replace(call, kind=kind, id=f"{kind} {call.id}"),
    st.builds(ToolCall, words, words, words, extras=extras),
    st.sampled_from(["function", "custom"]),
)
thoughts = st.builds(Thinking, st.just("") | words, redacted=maybe, id=maybe, origin=st.just("openai"), extras=extras)
said = st.builds(
    lambda text, more, citations: Text(
        text, citations, extras={NAME: {**more, FORM: {"item": {"members": list(more)} if more else {}}}}
    ),
    words,
    st.sampled_from([{}, {"id": "msg_1", "phase": "commentary"}]),
    st.lists(
        st.builds(
            Citation, st.just("url"), title=words, url=words, text_start=figures, text_end=figures, extras=extras
        ),
        max_size=2,
    ),
)
acts = st.lists(st.one_of(thoughts, said, calls, opaque), min_size=1, max_size=4)
conversations = st.builds(
    lambda system, turns: [*system, *(message for turn in turns for message in turn)],
    st.lists(
        st.builds(lambda role, parts, more: Message(role, parts, extras=more),
                  st.sampled_from(["system", "developer"]), contents, extras),
        max_size=1,
    ),
    st.lists(
        st.tuples(
            st.builds(lambda parts, more: Message("user", parts, extras=more), contents, extras),
            acts.map(lambda parts: Message("assistant", parts)),
            st.builds(lambda parts: Message("user", parts), st.lists(results, min_size=1, max_size=3)),
        ),
        min_size=1, max_size=2,
    ),
)  # fmt: skip
tools: st.SearchStrategy[Tool] = st.one_of(
    st.builds(FunctionTool, words, maybe, objects, st.booleans(), extras=extras),
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
    lambda turns, members: ChatRequest(**{"model": "m", "messages": turns, **members}),
    conversations,
    st.fixed_dictionaries(
        {},
        optional={
            "stream": st.booleans(), "max_tokens": st.integers(1, 10**6), "temperature": st.floats(0, 2),
            "top_p": st.floats(0, 1), "top_logprobs": st.integers(0, 20), "verbosity": words,
            "output": st.builds(OutputFormat, st.sampled_from(["text", "json_object"]), extras=extras)
            | st.builds(OutputFormat, st.just("json_schema"), objects, words, maybe, flags, extras),
            "reasoning": st.builds(Reasoning, effort=maybe, display=words, extras=extras), "user": words,
            "metadata": objects, "store": st.booleans(), "service_tier": words, "prompt_cache_key": words,
            "tools": st.lists(tools, max_size=3), "tool_choice": choices, "parallel_tool_calls": st.booleans(),
            "extras": extras,
        },
    ),
)  # fmt: skip

tokens = st.fixed_dictionaries(
    {"token": words, "logprob": st.floats(-9, 0), "bytes": st.just([1]), "top_logprobs": st.just(list[Any]())}
)
logprobs = st.none() | st.builds(lambda found: {"content": found}, st.lists(tokens, min_size=1, max_size=2))
named = st.builds(lambda thought, mark: msgspec.structs.replace(thought, id=f"rs_{mark}", extras=None), thoughts, words)
answers = st.builds(
    lambda thinking, text, called: ([*thinking, *text, *called], bool(text), bool(called)),
    st.lists(named | opaque, max_size=2),
    st.lists(
        st.builds(lambda text, mark: Text(text, extras={NAME: {"id": mark, FORM: {"item": {"members": ["id"]}}}}),
                  words, words),
        max_size=1,
    ),
    st.lists(
        st.builds(lambda call, mark: msgspec.structs.replace(call, extras={NAME: {"id": mark}}), calls, words),
        max_size=2,
    ),
)  # fmt: skip
responses = st.builds(
    lambda found, cut, told, usage, tier, more: ChatResponse(
        id="resp_1", model="m", created=5, usage=usage, service_tier=tier,
        extras={NAME: {**more, FORM: {"tools": []}}},
        choices=[Choice(found[0], "length" if cut else "tool_calls" if found[2] else "stop",
                        logprobs=told if found[1] else None)],
    ),
    answers,
    st.booleans(),
    logprobs,
    st.builds(Usage, figures, figures, figures, figures, figures, extras),
    st.sampled_from([None, "default", "flex"]),
    st.sampled_from([{}, {"x_unknown": 1}]),
)  # fmt: skip


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=3),
    max_leaves=6,
)
pieces = st.fixed_dictionaries(
    {"type": st.sampled_from(["output_text", "refusal", "reasoning_text", "x"])},
    optional={"text": json_values | words, "refusal": words, "annotations": json_values, FORM: json_values},
)
items = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "web_search_call"])},
    optional={
        "id": json_values, "status": json_values, "content": st.lists(pieces, max_size=2) | json_values,
        "summary": json_values, "encrypted_content": json_values, "call_id": words, "name": words,
        "arguments": words | json_values, "input": words, FORM: json_values,
    },
)  # fmt: skip
events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "response.created", "response.output_item.added", "response.output_item.done",
                "response.content_part.added", "response.output_text.delta", "response.output_text.annotation.added",
                "response.refusal.delta", "response.reasoning_summary_text.delta", "response.reasoning_text.delta",
                "response.function_call_arguments.delta", "response.custom_tool_call_input.delta",
                "response.web_search_call.searching", "response.completed", "response.incomplete",
            ]
        )
    },
    optional={
        "output_index": st.integers(0, 2) | json_values, "content_index": st.integers(0, 2) | json_values,
        "summary_index": st.integers(0, 2), "item": items | json_values, "part": pieces | json_values,
        "delta": words | json_values, "annotation": json_values, "logprobs": json_values,
        "response": st.fixed_dictionaries({}, optional={"id": json_values, "output": st.lists(items, max_size=2) |
                                                        json_values, "status": json_values, "usage": json_values}),
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(events, max_size=8))
def test_no_event_makes_the_decoder_raise_or_break_its_promise(found: list[dict[str, Any]]) -> None:
    decoder = DIALECT.stream_decoder()
    told = decoder.feed(b"".join(b"data: %b\n\n" % json.encode(event) for event in found)) + decoder.close()
    open_parts: set[int] = set()
    for event in told:
        match type(event).__name__:
            case "PartStart":
                open_parts.add(event.index)
            case "PartEnd":
                open_parts.remove(event.index)
            case "Finish":
                assert not open_parts
            case name if name.endswith("Delta"):
                assert event.index in open_parts
    assert [type(event).__name__ for event in told[-1:]] in (["End"], ["Failure"])
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), losses)
    assert decoder.feed(b"".join(encoder.encode(event) for event in told)) == []


@bounded
@given(st.lists(items, max_size=3))
def test_no_items_make_an_answer_raise_anything_but_a_bad_answer(found: list[dict[str, Any]]) -> None:
    answer = DIALECT.decode_response({"output": found})
    assert len(DIALECT.encode_response(answer, Losses())["output"]) == len(found)


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
