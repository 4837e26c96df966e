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
    PartEnd,
    PartStart,
    Ping,
    RefusalDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.loss import Losses
from wye.canon.parts import Citation, Opaque, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.usage import Usage
from wye.dialects.openai_completions import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadAnswer, Overloaded, StreamCut, UpstreamRefused
from wye.kernel.sse import MAX_FRAME_BYTES, SseDecoder, frame

NAME, OTHER = "openai_completions", "openai_chat"


def chunk(text: Any, finish: str | None = None, index: Any = 0, **members: Any) -> dict[str, Any]:
    return {
        "id": "i",
        "object": "text_completion",
        "created": 5,
        "model": "m",
        "choices": [{"text": text, "index": index, "logprobs": None, "finish_reason": finish}],
        **members,
    }


def read(*frames: Any) -> list[Event]:
    decoder = DIALECT.stream_decoder()
    events: list[Event] = []
    for value in frames:
        events += decoder.feed(frame(value if isinstance(value, bytes) else json.encode(value)))
    return events + decoder.close()


def test_a_stream_is_one_text_for_each_choice() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert read(
        chunk("a"), chunk(""), chunk("b"), chunk("", "stop"), {**chunk(""), "choices": [], "usage": usage}, b"[DONE]"
    ) == [
        Start("i", "m", 5),
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        TextDelta(0, "b"),
        PartEnd(0),
        Finish("stop"),
        UsageReport(Usage(3, 2)),
        End(),
    ]


def test_a_stream_whose_end_is_forgotten_is_complete_with_its_reason() -> None:
    assert read(chunk("a"), chunk("", "length"))[-2:] == [Finish("length"), End()]


def test_a_stream_that_is_declared_over_needs_no_reason() -> None:
    assert read(chunk("a"), b"[DONE]")[-3:] == [PartEnd(0), Finish("stop"), End()]


def test_a_reason_counts_once_and_nothing_comes_after_it() -> None:
    events = read(chunk("a", "stop"), chunk("b", "length"), chunk("", None), b"[DONE]", chunk("c"))
    assert events == [Start("i", "m", 5), PartStart(0, Text("")), TextDelta(0, "a"), PartEnd(0), Finish("stop"), End()]


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([chunk("a")], StreamCut),
        ([], StreamCut),
        ([b"[DONE]"], StreamCut),
        ([chunk("a"), b"{"], BadAnswer),
        ([chunk("a"), b"[]"], BadAnswer),
        ([chunk("a"), {"error": {"message": "No"}}], UpstreamRefused),
        ([chunk("a"), {"object": "error", "message": "No"}], UpstreamRefused),
    ],
)
def test_a_stream_that_breaks_off_ends_in_one_failure(frames: list[Any], error: type[Exception]) -> None:
    events = read(*frames)
    assert [type(event.error) for event in events if isinstance(event, Failure)] == [error]
    assert isinstance(events[-1], Failure)


def test_a_frame_without_end_is_a_failure() -> None:
    decoder = DIALECT.stream_decoder()
    (event,) = decoder.feed(b"data: " + b" " * MAX_FRAME_BYTES)
    assert isinstance(event, Failure)
    assert isinstance(event.error, BadAnswer)


def test_what_comes_after_the_end_is_not_looked_at() -> None:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(frame(json.encode(chunk("a", "stop"))) + frame(b"[DONE]") + frame(b"nonsense"))
    assert events[-1] == End()
    assert decoder.feed(frame(b"nonsense")) == []


def test_members_are_told_once_and_news_on_the_way() -> None:
    filtered = {"choices": [], "id": "", "prompt_filter_results": [1]}
    events = read(
        filtered, chunk("a", x=1, obfuscation="zz"), chunk("b", x=1), chunk("c", x=2), chunk("", "stop"), b"[DONE]"
    )
    assert events[0] == Start("i", "m", 5, extras={NAME: {"prompt_filter_results": [1], "x": 1}})
    assert [event for event in events if isinstance(event, Aside)] == [Aside({NAME: {"x": 2}})]


def test_what_is_not_understood_of_a_choice_is_kept() -> None:
    odd = {"text": 7, "index": "x", "finish_reason": None, "token_ids": [1], "stop_reason": None}
    events = read({**chunk(""), "choices": [7, odd]}, chunk("", "stop", 1), b"[DONE]")
    assert events[1:] == [Aside({NAME: {"text": 7, "token_ids": [1]}}, 1), Finish("stop", 1), End()]


def test_an_answer_without_a_name_gets_one() -> None:
    first = read({"choices": [{"text": "a", "finish_reason": "stop"}]})[0]
    assert isinstance(first, Start)
    assert first.id.startswith("cmpl-")


def said(
    *events: Event, include_usage: bool = False, request: ChatRequest | None = None
) -> tuple[list[Any], dict[str, str]]:
    """The chunks that a client is told, and the severity of each loss by its field."""
    losses = Losses()
    request = request or ChatRequest(model="asked", messages=[], include_usage=include_usage)
    encoder = DIALECT.stream_encoder(request, losses)
    frames = SseDecoder().feed(b"".join(encoder.encode(event) for event in events))
    told = [item.data.decode() if item.data == b"[DONE]" else json.decode(item.data) for item in frames]
    return told, {loss.field: loss.severity for loss in losses}


def test_a_stream_is_said_as_openai_says_it() -> None:
    events = [Start("i", "m", 5, Usage(3)), PartStart(0, Text("")), TextDelta(0, "a"), TextDelta(0, '\n"'), Ping(),
              PartEnd(0), Finish("stop"), UsageReport(Usage(output_tokens=4)), End()]  # fmt: skip
    chunks = [chunk("a"), chunk('\n"'), chunk("", "stop")]
    assert said(*events) == ([*chunks, "[DONE]"], {})
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    last = {**chunk(""), "choices": [], "usage": usage}
    assert said(*events, include_usage=True) == ([*({**c, "usage": None} for c in chunks), last, "[DONE]"], {})


def test_what_is_not_told_is_made() -> None:
    (first, _), _ = said(Start("", "m"), Finish("stop"), End())
    assert first["id"].startswith("cmpl-")
    assert first["created"] > 1_700_000_000


def test_usage_that_nobody_reported_is_not_said() -> None:
    told, _ = said(Start("i", "m", 5), TextDelta(0, "a"), Finish("stop"), End(), include_usage=True)
    assert told[-1] == "[DONE]"
    assert told[-2]["choices"][0]["finish_reason"] == "stop"


def test_members_on_the_way_are_said_with_the_next_chunk() -> None:
    told, losses = said(
        Start("i", "m", 5, extras={NAME: {"x": 1}, OTHER: {"y": 1}}, service_tier="flex"),
        TextDelta(0, "a"),
        Aside({NAME: {"x": 2}}),
        TextDelta(0, "b"),
        Aside({NAME: {"token_ids": [1]}}, 0),
        Aside({OTHER: {"message": 1}}, 0),
        Finish("stop", extras={NAME: {"finish_reason": "eos", "index": "x"}}),
        UsageReport(Usage(1), {NAME: {"timings": 1}}),
        End(),
    )
    choice = chunk("")["choices"][0]
    assert told == [
        chunk("a", x=1),
        chunk("b", x=2),
        chunk("", x=1, choices=[{**choice, "token_ids": [1]}]),
        chunk("", x=1, choices=[{**choice, "index": "x", "finish_reason": "eos"}]),
        {**chunk("", x=1, choices=[]), "timings": 1},
        "[DONE]",
    ]
    assert losses == {"y": "info", "service_tier": "info", "choices[0].message": "info"}


def test_of_other_parts_only_a_refusal_is_text() -> None:
    told, losses = said(
        Start("i", "m", 5),
        PartStart(0, Thinking("")),
        ThinkingDelta(0, "Hm.", extras={OTHER: {"x": 1}}),
        PartEnd(0),
        PartStart(1, Text("A")),
        CitationDelta(1, Citation("url")),
        TextDelta(1, "B", extras={OTHER: {"x": 1}}),
        PartEnd(1),
        PartStart(2, Refusal("")),
        RefusalDelta(2, "No."),
        PartEnd(2),
        PartStart(3, ToolCall("c", "f")),
        ArgumentsDelta(3, "{}"),
        PartEnd(3),
        PartStart(4, Opaque(OTHER, {"type": "hologram"})),
        Finish("tool_calls", stop_sequence="\n"),
        End(),
    )
    assert told == [chunk("A"), chunk("B"), chunk("No."), chunk("", "stop"), "[DONE]"]
    assert losses == {
        "choices[0].content[0]": "warning",
        "choices[0].content[0].x": "info",
        "choices[0].content[1].citations": "info",
        "choices[0].content[1].x": "info",
        "choices[0].content[2].refusal": "info",
        "choices[0].content[3]": "warning",
        "choices[0].content[4]": "warning",
        "choices[0].stop_sequence": "info",
        "choices[0].finish_reason": "warning",
    }


def test_probabilities_tell_where_in_the_whole_text_a_token_is() -> None:
    logprobs = {"content": [{"token": "b", "logprob": -1.0}]}
    told, _ = said(Start("i", "m", 5), TextDelta(0, "aa"), TextDelta(0, "b", logprobs=logprobs))
    assert told[1]["choices"][0]["logprobs"] == {
        "tokens": ["b"],
        "token_logprobs": [-1.0],
        "top_logprobs": None,
        "text_offset": [2],
    }


def test_the_prompt_is_repeated_before_each_choice() -> None:
    request = DIALECT.decode_request({"model": "m", "prompt": "Once", "echo": True})
    told, _ = said(
        Start("i", "m", 5), TextDelta(0, " upon"), TextDelta(0, " a"), Finish("stop"), Finish("stop", 1), End(),
        request=request,
    )  # fmt: skip
    assert told == [chunk("Once upon"), chunk(" a"), chunk("", "stop"), chunk("Once", "stop", 1), "[DONE]"]


def test_a_failure_is_the_last_that_is_said() -> None:
    told, _ = said(Start("i", "m", 5), TextDelta(0, "a"), Failure(Overloaded("Full")))
    assert told[-1]["error"]["message"] == "Full"
