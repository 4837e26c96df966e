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
    Ping,
    RefusalDelta,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.loss import Losses
from wye.canon.parts import Audio, Citation, Opaque, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.usage import Usage
from wye.dialects.openai_chat import DIALECT
from wye.kernel import clock, json
from wye.kernel.errors import Overloaded
from wye.kernel.sse import SseDecoder

NAME = "openai_chat"
OTHER = "anthropic_messages"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
LOGPROBS = {"content": [{"token": "a"}], "refusal": None}


def said(*events: Event, include_usage: bool = False) -> tuple[list[Any], dict[str, str]]:
    """The chunks that a client is told, and the severity of each loss by its field."""
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="asked", messages=[], include_usage=include_usage), losses)
    frames = SseDecoder().feed(b"".join(encoder.encode(event) for event in events))
    assert all(item.event is None for item in frames)
    told = [item.data.decode() if item.data == b"[DONE]" else json.decode(item.data) for item in frames]
    return told, {loss.field: loss.severity for loss in losses}


def deltas(*events: Event) -> tuple[list[Any], dict[str, str]]:
    """The deltas of the only choice, without the first, which tells the role."""
    told, losses = said(Start("i", "m"), *events)
    return [value["choices"][0]["delta"] for value in told[1:]], losses


def test_a_stream_is_said_as_openai_says_it() -> None:
    head = {"id": "i", "object": "chat.completion.chunk", "created": 5, "model": "m", "service_tier": "default"}
    events = [
        Start("i", "m", 5, Usage(3), "standard"),
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        TextDelta(0, "\n\u00e4\""),
        Ping(),
        PartEnd(0),
        Finish("stop"),
        UsageReport(Usage(output_tokens=4)),
        End(),
    ]  # fmt: skip
    plain = [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "a"},
        {"content": "\n\u00e4\""},
        {},
    ]  # fmt: skip
    chunks = [
        {**head, "choices": [{"index": 0, "delta": d, "logprobs": None, "finish_reason": "stop" if d == {} else None}]}
        for d in plain
    ]
    assert said(*events) == ([*chunks, "[DONE]"], {})
    reported = [*({**c, "usage": None} for c in chunks), {**head, "choices": [], "usage": USAGE}, "[DONE]"]
    assert said(*events, include_usage=True) == (reported, {})


def test_what_another_dialect_leaves_out_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "wall_s", lambda: 1790000000.5)
    told, losses = said(Start("", "m"), Finish("stop"), End(), include_usage=True)
    assert told[0]["id"].startswith("chatcmpl-")
    assert {value["created"] for value in told[:-1]} == {1790000000}
    assert len({value["id"] for value in told[:-1]}) == 1
    assert (told[-1], len(told), losses) == ("[DONE]", 3, {})


def test_each_choice_has_its_role_first() -> None:
    told, _ = said(
        Start("i", "m"),
        PartStart(0, Text("a")),
        PartStart(0, Text("")),
        TextDelta(0, "x", 1),
        TextDelta(0, "y", 1),
    )
    assert [(value["choices"][0]["index"], value["choices"][0]["delta"]) for value in told] == [
        (0, {"role": "assistant", "content": "", "refusal": None}),
        (0, {"content": "a"}),
        (1, {"role": "assistant", "content": "x", "refusal": None}),
        (1, {"content": "y"}),
    ]


def test_members_of_the_whole_answer_come_with_the_next_chunk() -> None:
    told, losses = said(
        Start("i", "m", extras={OTHER: {"container": {}}}),
        Aside({NAME: {"timings": 1}}),
        TextDelta(0, "a"),
        TextDelta(0, "b"),
        UsageReport(Usage(1, 2), {NAME: {"late": 2}}),
        End(),
    )
    assert [value.get("timings") for value in told[:-1]] == [None, 1, None, None]
    assert (told[-2]["choices"][0]["delta"], told[-2]["late"], told[-1]) == ({}, 2, "[DONE]")
    assert losses == {"container": "info"}


def test_calls_are_numbered_as_they_begin() -> None:
    assert deltas(
        PartStart(0, Text("")),
        PartStart(1, ToolCall("s", "search", kind="server")),
        ArgumentsDelta(1, "lost"),
        PartStart(2, ToolCall("a", "f")),
        PartStart(3, ToolCall("b", "g", kind="custom")),
        ArgumentsDelta(3, "x"),
        ArgumentsDelta(2, "{}"),
        PartEnd(2),
    ) == (
        [
            {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"tool_calls": [{"index": 1, "id": "b", "type": "custom", "custom": {"name": "g", "input": ""}}]},
            {"tool_calls": [{"index": 1, "custom": {"input": "x"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        ],
        {"choices[0].message.content[1]": "warning"},
    )


def test_a_signed_thought_is_told_whole_at_its_end() -> None:
    assert deltas(
        PartStart(0, Thinking("a", "s")),
        ThinkingDelta(0, "b"),
        ThinkingDelta(0, "c", extras={OTHER: {"estimate": 1}}),
        SignatureDelta(0, "t"),
        PartEnd(0),
        PartStart(1, Thinking(redacted="x")),
        PartEnd(1),
        PartStart(2, Thinking()),
        ThinkingDelta(2, "d"),
        PartEnd(2),
        PartEnd(2),
    ) == (
        [
            {"reasoning_content": "a"},
            {"reasoning_content": "b"},
            {"reasoning_content": "c"},
            {"reasoning_details": [{"type": "reasoning.text", "text": "abc", "signature": "st", "index": 0}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "index": 1}]},
            {"reasoning_content": "d"},
            {"reasoning_details": [{"type": "reasoning.text", "text": "d", "index": 2}]},
        ],
        {"choices[0].message.content[0].estimate": "info"},
    )


def test_a_thought_with_nothing_to_keep_is_only_a_text() -> None:
    events = [PartStart(0, Thinking()), ThinkingDelta(0, "a"), ThinkingDelta(0, ""), PartEnd(0)]
    assert deltas(*events) == ([{"reasoning_content": "a"}], {})
    assert deltas(ThinkingDelta(0, "", extras={NAME: {"x": 1}}), PartEnd(0)) == ([], {})


def test_a_thought_that_has_a_name_is_announced() -> None:
    own = {NAME: {"format": "f"}}
    events = [PartStart(0, Thinking(id="r")), ThinkingDelta(0, "a"), ThinkingDelta(0, "", extras=own), PartEnd(0)]
    detail = {"type": "reasoning.text", "index": 0}
    assert deltas(*events) == (
        [
            {"reasoning_details": [{**detail, "text": "", "id": "r"}]},
            {"reasoning_content": "a"},
            {"reasoning_details": [{**detail, "text": "a", "format": "f"}]},
        ],
        {},
    )


def test_a_named_thought_is_ended_even_when_there_is_no_more_to_keep() -> None:
    kind = {NAME: {"type": "reasoning.summary"}}
    detail = {"type": "reasoning.summary", "index": 0}
    assert deltas(PartStart(0, Thinking("a", id="r", extras=kind)), PartEnd(0)) == (
        [
            {"reasoning_details": [{**detail, "summary": "", "id": "r"}]},
            {"reasoning_content": "a"},
            {"reasoning_details": [{**detail, "summary": "a"}]},
        ],
        {},
    )


def test_the_encrypted_reasoning_that_an_end_tells_stands_beside_its_summary() -> None:
    whole = Thinking("a", redacted="x", id="rs_1", origin="openai")
    named = {"format": "openai-responses-v1"}
    assert deltas(
        PartStart(0, Thinking(id="rs_1", origin="openai")), ThinkingDelta(0, "a"), PartEnd(0, part=whole)
    ) == (
        [
            {"reasoning_details": [{**named, "type": "reasoning.summary", "summary": "", "id": "rs_1", "index": 0}]},
            {"reasoning_content": "a"},
            {
                "reasoning_details": [
                    {"type": "reasoning.summary", "summary": "a", "index": 0},
                    {"type": "reasoning.encrypted", "data": "x", "index": 0},
                ]
            },
        ],
        {},
    )


def test_a_citation_is_placed_in_the_whole_text_and_numbered() -> None:
    told, losses = deltas(
        PartStart(0, Text("")),
        TextDelta(0, "The "),
        PartEnd(0),
        PartStart(1, Text("")),
        TextDelta(1, "Rhine", logprobs=LOGPROBS),
        CitationDelta(1, Citation("url", url="u", title="t")),
        CitationDelta(1, Citation("char", "q", text_start=1, text_end=2, extras={OTHER: {"x": 1}})),
    )
    web = {"title": "t", "url": "u", "start_index": 4, "end_index": 9}
    assert [value["annotations"] for value in told[2:]] == [
        [{"type": "url_citation", "url_citation": web, "index": 0}],
        [
            {
                "type": "citation",
                "citation": {"kind": "char", "quote": "q", "start_index": 5, "end_index": 6},
                "index": 1,
            }
        ],
    ]
    assert losses == {"choices[0].message.content[1].citations.x": "info"}


def test_parts_of_other_dialects_are_reported() -> None:
    assert deltas(
        PartStart(0, Opaque(OTHER, {"type": "web_search_tool_result"})),
        OpaqueDelta(0, OTHER, {"x": 1}),
        PartEnd(0),
        PartStart(1, Opaque(OTHER, {})),
        PartStart(2, Text("", extras={OTHER: {"y": 1}})),
        TextDelta(2, "a", extras={OTHER: {"z": 1}}),
        Aside({OTHER: {"w": 1}}, 0),
    ) == (
        [{"content": "a"}],
        {
            "choices[0].message.content[0]": "warning",
            "choices[0].message.content[1]": "warning",
            "choices[0].message.content[2].y": "info",
            "choices[0].message.content[2].z": "info",
            "choices[0].w": "info",
        },
    )


def test_refusals_and_audio_have_their_own_members() -> None:
    assert deltas(
        PartStart(0, Refusal("")),
        RefusalDelta(0, "no"),
        PartEnd(0),
        PartStart(1, Refusal("!")),
        PartStart(2, Audio("", id="a")),
        OpaqueDelta(2, NAME, {"data": "UklG"}),
        OpaqueDelta(2, OTHER, {"data": "lost"}),
    ) == (
        [
            {"refusal": "no"},
            {"refusal": "!"},
            {"audio": {"id": "a", "data": "", "transcript": ""}},
            {"audio": {"data": "UklG"}},
        ],
        {},
    )


@pytest.mark.parametrize(
    ("finish", "reason", "losses"),
    [
        (Finish("content_filter"), "content_filter", {}),
        (Finish("stop", extras={NAME: {"finish_reason": "paused"}}), "paused", {}),
        (Finish("stop", extras={NAME: {"message": {"mood": "calm"}}}), "stop", {}),
        (Finish("stop", stop_sequence="END"), "stop", {"choices[0].stop_sequence": "info"}),
        (Finish("stop", extras={OTHER: {"stop_reason": "pause_turn"}}), "stop", {"choices[0].stop_reason": "info"}),
        (Finish("error"), "length", {"choices[0].finish_reason": "warning"}),
    ],
)
def test_the_reason_is_told_in_the_last_chunk(finish: Finish, reason: str, losses: dict[str, str]) -> None:
    told, lost = said(Start("i", "m"), finish, End())
    choice = told[-2]["choices"][0]
    assert (choice["finish_reason"], told[-1], lost) == (reason, "[DONE]", losses)
    assert choice["delta"] == (finish.extras or {}).get(NAME, {}).get("message", {})


def test_a_failure_ends_the_stream_without_a_terminator() -> None:
    told, _ = said(Start("i", "m"), TextDelta(0, "a"), Failure(Overloaded("Full")))
    assert told[-1]["error"]["message"] == "Full"
    assert told[-1]["error"]["type"] == "overloaded_error"
    assert "[DONE]" not in told
