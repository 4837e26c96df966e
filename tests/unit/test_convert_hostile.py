"""Whatever comes in, an answer or a WyeError comes out: arbitrary values, and a corpus with members gone wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wye
from wye.dialects.registry import DIALECTS
from wye.kernel import json
from wye.kernel.sse import frame, parse, split

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(DIALECTS)
QUIET = settings(max_examples=400, deadline=None, derandomize=True)

WRONG: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**30, "", "x", "\x00", "data:;base64,@@"),
    *([], {}, [[]], [{}], [None], ["x"], {"type": "text"}, {"type": ["text"]}, {"a": {"b": []}}),
]


def corpus(kind: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name in NAMES:
        for path in sorted((GOLDEN / name / kind).glob("*.json")):
            body = json.decode(path.read_bytes())
            found.append((name, body.get("wire", body)))
    return found


def frames_of(path: Path) -> list[tuple[str | None, Any]]:
    if path.suffix == ".jsonl":
        return [(None, json.decode(line)) for line in path.read_bytes().splitlines() if line.strip()]
    found: list[tuple[str | None, Any]] = []
    for one in split(path.read_bytes()):
        for event in parse(one):
            try:
                found.append((event.event, json.decode(event.data)))
            except json.JsonError:
                found.append((event.event, event.data))
    return found


REQUESTS, ANSWERS = corpus("requests"), corpus("responses")
STREAMS = [(name, frames_of(path)) for name in NAMES for path in sorted((GOLDEN / name / "streams").glob("*.*"))]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(NAMES)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*at, key)
            yield from places(below, (*at, key))


@st.composite
def gone_wrong(draw: st.DrawFn, sound: Any) -> Any:
    """A body of which some members are missing or of another type."""
    body = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(body))
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        holder = body
        for key in way:
            holder = holder[key]
        if draw(st.integers(0, 4)):
            holder[last] = copy.deepcopy(draw(st.sampled_from(WRONG)))
        else:
            del holder[last]
    return body


def survives(convert: Callable[[], Any]) -> None:
    with suppress(wye.WyeError):
        convert()


@QUIET
@given(names, names, st.binary(max_size=50) | st.text(max_size=50) | json_values, st.text(max_size=9))
def test_any_value(one: str, other: str, body: Any, name: str) -> None:
    survives(lambda: wye.detect(body))
    survives(lambda: wye.convert_request(body, to=other))
    survives(lambda: wye.convert_request(body, to=other, from_=one, model=name, stream=True))
    survives(lambda: wye.convert_request(body, to=name, from_=one))
    survives(lambda: wye.convert_response(body, to=other, from_=one))
    survives(lambda: wye.convert_response({}, to=other, from_=one, request=body or b""))
    survives(lambda: list(wye.convert_stream([body], to=other, from_=one)))


@QUIET
@given(st.data(), names)
def test_a_request_gone_wrong(data: st.DataObject, other: str) -> None:
    one, sound = data.draw(st.sampled_from(REQUESTS))
    body = data.draw(gone_wrong(sound))
    survives(lambda: wye.detect(body))
    survives(lambda: wye.convert_request(body, to=other, from_=one, model="m"))
    survives(lambda: wye.convert_response({}, to=one, from_=other, request=body))


@QUIET
@given(st.data(), names)
def test_an_answer_gone_wrong(data: st.DataObject, other: str) -> None:
    one, sound = data.draw(st.sampled_from(ANSWERS))
    body = data.draw(gone_wrong(sound))
    survives(lambda: wye.convert_response(body, to=other, from_=one))


@QUIET
@given(st.data(), names)
def test_a_stream_gone_wrong(data: st.DataObject, other: str) -> None:
    """Frames lost, told twice, out of order, or with members gone wrong."""
    one, sound = data.draw(st.sampled_from(STREAMS))
    events = list(sound)
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(events) - 1))
        kind, value = events[at]
        match data.draw(st.sampled_from(["wrong", "wrong", "lost", "twice", "late"])):
            case "wrong" if not isinstance(value, bytes):
                events[at] = (kind, data.draw(gone_wrong(value)))
            case "lost" if len(events) > 1:
                del events[at]
            case "twice":
                events.insert(at, events[at])
            case _:
                events.append(events.pop(at))
    survives(lambda: list(wye.convert_stream([wire_of(events)], to=other, from_=one)))


def wire_of(events: list[tuple[str | None, Any]]) -> bytes:
    return b"".join(
        frame(value if isinstance(value, bytes) else json.encode(value), kind or "message") for kind, value in events
    )


def native(one: str, wire: bytes) -> bytes:
    """In the dialect's own framing. Made once: each time it would have other ids and times."""
    return b"".join(wye.convert_stream([wire], to=one, from_=one)) if DIALECTS[one].as_sse else wire


WIRES = [(one, native(one, wire_of(events))) for one, events in STREAMS]


@QUIET
@given(st.data(), names, st.binary(max_size=9))
def test_bytes_of_a_stream_gone_wrong(data: st.DataObject, other: str, noise: bytes) -> None:
    one, wire = data.draw(st.sampled_from(WIRES))
    at = data.draw(st.integers(0, len(wire)))
    wire = wire[:at] + noise + wire[at + data.draw(st.integers(0, 9)) :]
    survives(lambda: list(wye.convert_stream([wire[:at], wire[at:]], to=other, from_=one)))


DEEP = 900
"""Levels: about what Python's own limit lets JSON have."""


def nested(levels: int, inner: Any, around: Callable[[Any], Any]) -> Any:
    for _ in range(levels):
        inner = around(inner)
    return inner


@pytest.mark.parametrize("levels", [50, 300, DEEP, 5000])
@pytest.mark.parametrize("other", NAMES)
@pytest.mark.parametrize(
    ("one", "around"),
    [
        ("anthropic_messages", lambda inner: {"type": "tool_result", "tool_use_id": "t", "content": [inner]}),
        ("bedrock_converse", lambda inner: {"toolResult": {"toolUseId": "t", "content": [inner]}}),
        ("openai_chat", lambda inner: {"type": "text", "text": [inner]}),
        ("openai_responses", lambda inner: {"type": "message", "role": "user", "content": [inner]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_depth_is_no_way_to_break_it(one: str, other: str, around: Callable[[Any], Any], levels: int) -> None:
    parts = [nested(levels, {"type": "text", "text": "x"} if one != "bedrock_converse" else {"text": "x"}, around)]
    conversation = {"input": parts} if one == "openai_responses" else {"messages": [{"role": "user", "content": parts}]}
    body = {"model": "m", "max_tokens": 9, **conversation, "tools": nested(levels, [], lambda inner: [inner])}
    survives(lambda: wye.convert_request(body, to=other, from_=one))
    survives(lambda: wye.detect(body))
    survives(lambda: wye.convert_response({"error": body, "output": parts}, to=other, from_=one))
    del body["tools"]
    survives(lambda: wye.convert_request(body, to=other, from_=one))


def chat_answer(**choice: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "Hi"}, **choice}]}


def responses_answer(*output: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "model": "m", "status": "completed", "output": [*output]}


LOGPROBS = {"content": ["no object", {"token": "Hi", "logprob": 0}], "refusal": None}
MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}


@pytest.mark.parametrize(
    ("one", "other", "body"),
    [
        ("openai_chat", "openai_responses", chat_answer(logprobs=LOGPROBS)),
        ("openai_chat", "openai_responses", chat_answer(logprobs={"content": 7, "refusal": "x"})),
        ("openai_chat", "openai_chat", {**chat_answer(), "usage": {"prompt_tokens_details": 7}}),
        ("openai_chat", "openai_chat", {**chat_answer(), "usage": {"completion_tokens_details": ["x"]}}),
        ("openai_responses", "openai_responses", {**responses_answer(), "usage": {"input_tokens_details": [7]}}),
        ("openai_responses", "openai_responses", responses_answer({"type": ["message"]}, {"new": 1}, MESSAGE)),
        ("openai_responses", "openai_responses", responses_answer({**MESSAGE, "content": 7}, MESSAGE)),
        (
            "openai_responses",
            "openai_chat",
            responses_answer({**MESSAGE, "content": [{**MESSAGE["content"][0], "annotations": [{"type": []}]}]}),
        ),
        (
            "openai_completions",
            "openai_completions",
            {"choices": [{"text": "Hi", "logprobs": {"content": [{"token": "Hi", "text_offset": "x"}]}}]},
        ),
        (
            "openai_completions",
            "openai_completions",
            {"choices": [{"text": "Hi", "logprobs": {"tokens": ["Hi"], "token_logprobs": [0], "text_offset": ["x"]}}]},
        ),
    ],
)
def test_answers_whose_odd_members_are_kept(one: str, other: str, body: dict[str, Any]) -> None:
    """Odd as they are, they are answers: an upstream's whims are passed on or named."""
    assert wye.convert_response(body, to=other, from_=one).body


def test_a_request_whose_items_have_an_odd_type_names_it() -> None:
    with pytest.raises(wye.BadRequest) as caught:
        wye.convert_request({"model": "m", "input": [{"type": ["message"], "role": "user"}]}, to="chat")
    assert caught.value.param == "input[0].type"


def test_a_schema_whose_list_of_required_members_is_none() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {}}, "required": True}}}
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}
    asked = wye.convert_request(body, to="bedrock_cohere")
    assert asked.body["tools"][0]["parameter_definitions"]["a"]["required"] is False


def test_an_item_that_ends_as_another_than_it_began() -> None:
    def told(kind: str, item: Any) -> bytes:
        return frame(json.encode({"type": f"response.output_item.{kind}", "output_index": 0, "item": item}))

    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    two = {**MESSAGE, "content": [*MESSAGE["content"], {"type": "refusal", "refusal": "No more."}]}
    done = frame(json.encode({"type": "response.completed", "response": responses_answer(two)}))
    stream = wye.convert_stream([told("added", thought), told("done", two), done], to="chat", from_="responses")
    said = b"".join(stream)
    assert stream.error is None
    assert b"Hi" in said
    assert b"No more." in said


def test_audio_whose_pieces_are_no_text() -> None:
    def delta(**members: Any) -> bytes:
        choice = {"index": 0, "delta": {"audio": members}, "finish_reason": None}
        return frame(json.encode({"id": "c", "model": "m", "object": "chat.completion.chunk", "choices": [choice]}))

    stream = [delta(id="a", data=["x"]), delta(transcript=7), delta(data="UklG", transcript="Hi")]
    end = [frame(json.encode({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})), frame(b"[DONE]")]
    told = wye.convert_stream([*stream, *end], to="bedrock_cohere", from_="chat")
    assert list(told)
    assert told.error is None
