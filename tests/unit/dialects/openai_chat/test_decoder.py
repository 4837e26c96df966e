from __future__ import annotations

from typing import Any

import pytest

from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    RefusalDelta,
    Start,
    TextDelta,
    UsageReport,
)
from wye.canon.fold import fold
from wye.canon.parts import Audio, Citation, Refusal, Text, Thinking, ToolCall
from wye.canon.usage import Usage
from wye.dialects.openai_chat import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadAnswer, StreamCut, UpstreamRefused
from wye.kernel.sse import MAX_FRAME_BYTES, frame

NAME = "openai_chat"
OTHER = "anthropic_messages"
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def chunk(*choices: Any, **members: Any) -> dict[str, Any]:
    return {"id": "i", "model": "m", "choices": list(choices), **members}


def piece(finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def wire(*chunks: Any) -> bytes:
    return b"".join(frame(json.encode(value)) for value in chunks)


def decode(data: bytes) -> list[Event]:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(data) + decoder.close()
    assert decoder.feed(data) == []
    return events


def choice_events(*deltas: dict[str, Any], finish: str = "stop") -> list[Event]:
    """The events of one choice between the start of the answer and its end."""
    events = decode(wire(*(chunk(piece(**delta)) for delta in deltas), chunk(piece(finish))) + DONE)
    assert isinstance(events[0], Start)
    assert events[-1] == End()
    return events[1:-1]


def call(index: Any = None, identity: Any = None, name: Any = None, arguments: Any = None) -> dict[str, Any]:
    below = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    members = {"index": index, "id": identity, "function": below}
    return {"tool_calls": [{key: value for key, value in members.items() if value is not None}]}


def test_text_comes_in_pieces_and_empty_ones_say_nothing() -> None:
    assert choice_events(
        {"role": "assistant", "content": ""}, {"content": None}, {"content": "a"}, {"content": ""}, {"content": "b"}
    ) == [PartStart(0, Text("")), TextDelta(0, "a"), TextDelta(0, "b"), PartEnd(0), Finish("stop")]


def test_a_chunk_may_hold_text_reason_and_usage_at_once() -> None:
    assert decode(wire(chunk(piece("length", content="a"), usage=USAGE)))[1:] == [
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        PartEnd(0),
        Finish("length"),
        UsageReport(Usage(3, 4)),
        End(),
    ]


def test_a_message_in_place_of_a_delta_is_read_too() -> None:
    events = decode(wire(chunk({"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"})))
    assert fold(events).choices[0].parts == [Text("a")]


def test_an_answer_without_id_or_model_gets_an_id() -> None:
    start = decode(wire({"choices": [piece("stop")]}))[0]
    assert isinstance(start, Start)
    assert start.id.startswith("chatcmpl-")
    assert start.model == ""


@pytest.mark.parametrize(
    ("members", "extras"),
    [
        ({"object": "chat.completion.chunk", "obfuscation": "xy", "usage": None}, None),
        ({"object": "other"}, {NAME: {"object": "other"}}),
        ({"system_fingerprint": "fp", "service_tier": 4}, {NAME: {"system_fingerprint": "fp", "service_tier": 4}}),
    ],
)
def test_the_start_keeps_what_only_this_dialect_knows(members: dict[str, Any], extras: Any) -> None:
    assert decode(wire(chunk(**members)))[0] == Start("i", "m", extras=extras)


def test_what_is_told_on_the_way_is_told_once() -> None:
    news = [chunk(piece(content="a"), provider="p"), chunk(piece(content="b"), provider="p", timings={"n": 1})]
    events = decode(wire(chunk(piece(role="assistant")), *news, chunk(piece("stop"), timings={"n": 2})))
    assert [event for event in events if isinstance(event, Aside)] == [
        Aside({NAME: {"provider": "p"}}),
        Aside({NAME: {"timings": {"n": 1}}}),
        Aside({NAME: {"timings": {"n": 2}}}),
    ]


def test_what_a_choice_is_told_after_its_end_is_kept_but_not_its_words() -> None:
    late = {**piece(content="late"), "content_filter_results": {}}
    assert decode(wire(chunk(piece("stop", content="a")), chunk(late), chunk(piece("length"))))[4:] == [
        Finish("stop"),
        Aside({NAME: {"content_filter_results": {}}}, 0),
        End(),
    ]


def test_choices_are_told_apart_by_their_index_or_their_place() -> None:
    answer = fold(
        decode(
            wire(
                chunk({"delta": {"content": "a"}}, {"delta": {"content": "x"}}, 7),
                chunk(piece(index=1, content="y"), piece(index=0, content="b")),
                chunk(piece("stop", 1), piece("length", 0)),
            )
        )
    )
    assert [(c.index, c.parts, c.finish_reason) for c in answer.choices] == [
        (0, [Text("ab")], "length"),
        (1, [Text("xy")], "stop"),
    ]


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([call(0, "a", "f", ""), call(0, arguments="{}")], id="as OpenAI does"),
        pytest.param([call(0, "a", "f", "{}")], id="whole"),
        pytest.param([call(0, "a", "f", "{"), call(0, "a", "f", "}")], id="all repeated"),
        pytest.param([call(0, "a", "f", "{"), call(0, "", "", "}")], id="empty id and name"),
        pytest.param([call(0, "a", "f", "{"), call(0, "b", arguments="}")], id="another id for each piece"),
        pytest.param([call(None, "a", "f", "{"), call(arguments="}")], id="no index"),
        pytest.param([call(None, "a", "f", "{"), call(None, "a", "f", "}")], id="no index, all repeated"),
        pytest.param([call("0", "a", "f", {}), call(0, "a")], id="arguments as an object"),
        pytest.param([call(0, "a", "f"), call(0, arguments="{}"), call(0, arguments=7)], id="no arguments at first"),
    ],
)
def test_a_call_comes_in_many_ways(deltas: list[dict[str, Any]]) -> None:
    answer = fold(decode(wire(*(chunk(piece(**delta)) for delta in deltas), chunk(piece("tool_calls"))) + DONE))
    assert answer.choices[0].parts == [ToolCall("a", "f", "{}")]
    assert answer.choices[0].extras is None


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [call(0, "a", "f", ""), call(1, "b", "g", ""), call(0, arguments="{}"), call(1, arguments="[]")],
            id="by turns",
        ),
        pytest.param([call(0, "a", "f", "{}"), call(0, "b", "g", "[]")], id="whole, each the first"),
        pytest.param([call(None, "a", "f", "{}"), call(None, "b", "g", "[]")], id="whole, no index"),
        pytest.param(
            [{"tool_calls": [*call(0, "a", "f", "{}")["tool_calls"], *call(1, "b", "g", "[]")["tool_calls"]]}],
            id="at once",
        ),
    ],
)
def test_several_calls_are_told_apart(deltas: list[dict[str, Any]]) -> None:
    answer = fold(decode(wire(*(chunk(piece(**delta)) for delta in deltas), chunk(piece("tool_calls")))))
    assert answer.choices[0].parts == [ToolCall("a", "f", "{}"), ToolCall("b", "g", "[]")]


def test_calls_without_an_id_get_one_each() -> None:
    answer = fold(decode(wire(chunk(piece(**call(0, name="f"))), chunk(piece("tool_calls", **call(1, name="g"))))))
    first, second = answer.choices[0].parts
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id.startswith("call_")
    assert first.id != second.id


def test_text_between_calls_ends_before_the_next() -> None:
    assert choice_events({"content": "a"}, call(0, "c", "f", "{}"), {"content": "b"}, finish="tool_calls") == [
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        PartEnd(0),
        PartStart(1, ToolCall("c", "f")),
        ArgumentsDelta(1, "{}"),
        PartStart(2, Text("")),
        TextDelta(2, "b"),
        PartEnd(2),
        PartEnd(1),
        Finish("tool_calls"),
    ]


def test_a_function_call_is_a_tool_call() -> None:
    deltas = [{"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}]
    assert choice_events(*deltas, finish="function_call") == [
        PartStart(0, ToolCall("f", "f")),
        ArgumentsDelta(0, "{}"),
        PartEnd(0),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [7]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"function_call": {"arguments": "{}"}},
        {"tool_calls": 7},
        {"content": [{"type": "thinking"}]},
        {"reasoning_details": [{"type": "reasoning.dance"}]},
        {"annotations": [{"type": "dance"}]},
        {"role": "robot"},
        {"mood": "calm"},
    ],
)
def test_deltas_that_are_not_understood_stay_whole(delta: dict[str, Any]) -> None:
    assert choice_events(delta) == [Aside({NAME: {"message": delta}}, 0), Finish("stop")]


LOGPROBS = {"content": [{"token": "a"}], "refusal": None}
REFUSED = {"content": None, "refusal": [{"token": "n"}]}


@pytest.mark.parametrize(
    ("delta", "logprobs", "events"),
    [
        ({"content": "a"}, LOGPROBS, [PartStart(0, Text("")), TextDelta(0, "a", logprobs=LOGPROBS)]),
        ({"content": ""}, LOGPROBS, [PartStart(0, Text("")), TextDelta(0, "", logprobs=LOGPROBS)]),
        ({"refusal": "n"}, REFUSED, [PartStart(0, Refusal("")), RefusalDelta(0, "n", logprobs=REFUSED)]),
        ({}, REFUSED, [PartStart(0, Refusal("")), RefusalDelta(0, "", logprobs=REFUSED)]),
        ({"content": "a"}, {"content": []}, [PartStart(0, Text("")), TextDelta(0, "a")]),
        ({"content": "a"}, None, [PartStart(0, Text("")), TextDelta(0, "a")]),
    ],
)
def test_logprobs_belong_to_their_text(delta: dict[str, Any], logprobs: Any, events: list[Event]) -> None:
    found = decode(wire(chunk({**piece(**delta), "logprobs": logprobs}), chunk(piece("stop"))))
    assert found[1:-2] == [*events, PartEnd(0)]


@pytest.mark.parametrize("logprobs", [{"tokens": ["a"]}, 7])
def test_logprobs_of_another_shape_stay_whole(logprobs: Any) -> None:
    events = decode(wire(chunk({**piece("stop", content="a"), "logprobs": logprobs})))
    assert Aside({NAME: {"logprobs": logprobs}}, 0) in events


def test_a_citation_belongs_to_the_text_before_it() -> None:
    annotation = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}
    citation = Citation("url", url="u", title="t", text_start=0, text_end=1)
    assert choice_events({"content": "a"}, {"annotations": [annotation]})[2] == CitationDelta(0, citation)
    numbered = {**annotation, "index": 3}
    assert choice_events({"annotations": [numbered]})[:2] == [PartStart(0, Text("")), CitationDelta(0, citation)]


def test_audio_is_one_part_that_grows() -> None:
    assert choice_events(
        {"audio": {"id": "a"}}, {"audio": {"data": "UklG"}}, {"audio": {"id": "a", "transcript": "x", "expires_at": 1}}
    ) == [
        PartStart(0, Audio("", id="a")),
        OpaqueDelta(0, NAME, {"data": "UklG"}),
        OpaqueDelta(0, NAME, {"transcript": "x", "expires_at": 1}),
        PartEnd(0),
        Finish("stop"),
    ]


def detail(kind: str = "text", **members: Any) -> dict[str, Any]:
    return {"reasoning_details": [{"type": f"reasoning.{kind}", **members}]}


GPT = {"format": "openai-responses-v1"}


@pytest.mark.parametrize(
    ("deltas", "parts"),
    [
        ([{"reasoning_content": "a"}, {"reasoning": "b"}], [Thinking("ab")]),
        ([{"reasoning": "a", **detail(text="a")}, detail(text="b"), detail(signature="s")], [Thinking("ab", "s")]),
        ([detail(text="a"), detail(text="a"), detail(text="a")], [Thinking("aaa")]),
        ([{"reasoning_content": "ab"}, detail(text="ab", signature="s")], [Thinking("ab", "s")]),
        ([{"reasoning_content": "a"}, detail(text="b", signature="s")], [Thinking("ab", "s")]),
        ([detail(id="r"), {"reasoning_content": "ab"}, detail(text="ab", id="r")], [Thinking("ab", id="r")]),
        ([detail(text="a", id="r"), detail(text="b", id="r")], [Thinking("ab", id="r")]),
        ([detail(text="a", id="r"), detail(text="b", id="s")], [Thinking("a", id="r"), Thinking("b", id="s")]),
        ([detail(text="a", signature="s"), detail(text="b", signature="t")], [Thinking("a", "s"), Thinking("b", "t")]),
        ([detail("encrypted", data="x"), detail(text="b")], [Thinking(redacted="x"), Thinking("b")]),
        (
            [detail(text="a", format="f"), detail(text="b", format="f")],
            [Thinking("ab", extras={NAME: {"format": "f"}})],
        ),
        ([{"reasoning": "a", **detail("encrypted", data="x")}], [Thinking("a"), Thinking(redacted="x")]),
        ([{"reasoning": "a", **detail(signature="s")}], [Thinking("a", "s")]),
        (
            [detail("summary", summary="a", **GPT), {"reasoning": "b"}, detail("encrypted", data="x", id="r", **GPT)],
            [Thinking("ab", redacted="x", id="r", origin="openai")],
        ),
        ([{"reasoning_content": "a"}, detail(format="f")], [Thinking("a", extras={NAME: {"format": "f"}})]),
    ],
)
def test_reasoning_is_put_together_once(deltas: list[dict[str, Any]], parts: list[Thinking]) -> None:
    answer = fold(decode(wire(*(chunk(piece(**delta)) for delta in deltas), chunk(piece("stop", content="x")))))
    assert answer.choices[0].parts == [*parts, Text("x")]


def test_an_upstream_that_gives_no_reason_ends_with_its_last_word() -> None:
    text = chunk(piece(content="a"))
    assert decode(wire(text) + DONE)[-3:] == [PartEnd(0), Finish("stop"), End()]
    assert decode(wire(chunk(piece(**call(0, "c", "f")))) + DONE)[-2:] == [Finish("tool_calls"), End()]
    told = chunk(piece("length"), piece(index=1, content="a"))
    assert decode(wire(told) + DONE)[-2:] == [Finish("stop", 1), End()]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", StreamCut),
        (DONE, StreamCut),
        (b": only a comment\n\n", StreamCut),
        (wire({"choices": [], "prompt_filter_results": []}), StreamCut),
        (wire(chunk(piece(content="a"))), StreamCut),
        (wire(chunk(piece("stop"), piece(index=1))), StreamCut),
        (wire(chunk(piece("stop")))[:-30], BadAnswer),
        (b"data: {\n\n", BadAnswer),
        (b"data: [1]\n\n", BadAnswer),
        (b"data: " + b"x" * (MAX_FRAME_BYTES + 1), BadAnswer),
        (wire({"error": {"message": "No"}}), UpstreamRefused),
        (wire({"object": "error", "message": "No"}), UpstreamRefused),
        (wire(chunk(piece(content="a")), {"error": "No"}), UpstreamRefused),
        (b'event: error\ndata: {"message":"No"}\n\n', UpstreamRefused),
    ],
)
def test_a_stream_that_breaks_off_is_a_failure(data: bytes, error: type[Exception]) -> None:
    last = decode(data)[-1]
    assert isinstance(last, Failure)
    assert type(last.error) is error


def test_an_error_in_a_stream_has_the_status_of_its_kind() -> None:
    last = decode(wire({"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}))[-1]
    assert isinstance(last, Failure)
    assert (last.error.status, last.error.message, last.error.code) == (429, "Slow down", "rate_limit_exceeded")


def test_nothing_is_read_after_the_end() -> None:
    data = wire(chunk(piece("stop"))) + DONE + wire({"error": "late"})
    assert decode(data)[-1] == End()
