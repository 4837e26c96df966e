from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from wye.canon.events import (
    ArgumentsDelta,
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
from wye.canon.fold import fold
from wye.canon.loss import Losses
from wye.canon.parts import Audio, Citation, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.seal import seal
from wye.canon.usage import Usage
from wye.dialects.anthropic_messages import DIALECT
from wye.kernel import json, sse
from wye.kernel.errors import BadAnswer, StreamCut, UpstreamRefused
from wye.kernel.sse import SseDecoder, frame

NAME = "anthropic_messages"
NO_USAGE = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}


def wire(*events: dict[str, Any]) -> bytes:
    return b"".join(frame(json.encode(event), event.get("type")) for event in events)


def begin(**message: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 1}
    return {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": usage, **message}}


def start(index: Any = 0, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block or {"type": "text", "text": ""}}


def delta(index: Any = 0, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": members}


def stop(index: Any = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(**usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}


OVER = {"type": "message_stop"}


def decode(*events: dict[str, Any]) -> list[Event]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(wire(*events)) + decoder.close()


def block_events(*events: dict[str, Any]) -> list[Event]:
    """The events of one block, of a stream that is otherwise empty."""
    found = decode(begin(), *events, end(), OVER)
    assert isinstance(found[-1], End), found[-1]
    return found[1:-3] if isinstance(found[-2], UsageReport) else found[1:-2]


def said(*events: Event) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What a client is told for these events, and the severity of each loss by its field."""
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="asked-for", messages=[]), losses)
    frames = SseDecoder().feed(b"".join(encoder.encode(event) for event in events))
    told = [json.decode(item.data) for item in frames]
    assert [item.event for item in frames] == [item["type"] for item in told]
    return told, {loss.field: loss.severity for loss in losses}


# Decoding


def test_a_frame_without_an_end_is_a_failure_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_FRAME_BYTES", 100)
    decoder = DIALECT.stream_decoder()
    (failure,) = decoder.feed(b"data: " + b"x" * 200)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadAnswer)
    assert decoder.feed(wire(begin())) == []


@pytest.mark.parametrize("index", [1, 2])
def test_a_text_for_what_is_no_block_of_text_is_not_taken_for_one(index: int) -> None:
    thought = start(1, type="thinking", thinking="", signature="")
    found = decode(
        begin(), start(), thought, delta(index, type="text_delta", text="a"), delta(0, type="text_delta", text="b")
    )
    texts = [event.text for event in found if isinstance(event, TextDelta)]
    assert texts == (["b"] if index == 1 else [])
    assert isinstance(found[-1], Failure)


@pytest.mark.parametrize("more", [{}, {"x_new": 1}])
def test_a_piece_of_text_keeps_what_else_it_says(more: dict[str, Any]) -> None:
    (piece,) = (
        e for e in decode(begin(), start(), delta(type="text_delta", text="a", **more)) if isinstance(e, TextDelta)
    )
    assert piece == TextDelta(0, "a", extras={NAME: more} if more else None)


def test_a_block_gives_a_part_of_the_same_kind() -> None:
    cited = {"type": "web_search_result_location", "url": "u", "cited_text": "q"}
    assert block_events(
        start(type="text", text="a", citations=[cited]),
        delta(type="text_delta", text="b", estimate=1),
        delta(type="citations_delta", citation=cited),
        stop(),
    ) == [
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        CitationDelta(0, Citation("url", "q", url="u")),
        TextDelta(0, "b", extras={NAME: {"estimate": 1}}),
        CitationDelta(0, Citation("url", "q", url="u")),
        PartEnd(0),
    ]
    assert block_events(
        start(type="thinking", thinking="a", signature="s"),
        delta(type="thinking_delta", thinking="b", estimated_tokens=4),
        delta(type="thinking_delta", thinking="c"),
        delta(type="signature_delta", signature="t"),
        stop(),
    ) == [
        PartStart(0, Thinking(origin="anthropic")),
        ThinkingDelta(0, "a"),
        SignatureDelta(0, "s"),
        ThinkingDelta(0, "b", extras={NAME: {"estimated_tokens": 4}}),
        ThinkingDelta(0, "c"),
        SignatureDelta(0, "t"),
        PartEnd(0),
    ]


@pytest.mark.parametrize(
    ("given", "pieces", "arguments"),
    [
        ({}, [], ["{}"]),
        ({}, [""], ["{}"]),
        ({}, ["", '{"a"', ": 1}"], ['{"a"', ": 1}"]),
        ({"a": 1}, [], ['{"a":1}']),
        ({"a": 1}, [""], ['{"a":1}']),
        ({"a": 1}, ['{"a": 2}'], ['{"a": 2}']),
    ],
)
@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use", "mcp_tool_use"])
def test_arguments_come_in_pieces_or_with_the_start(
    given: dict[str, Any], pieces: list[str], arguments: list[str], kind: str
) -> None:
    events = block_events(
        start(type=kind, id="t", name="f", input=given),
        *(delta(type="input_json_delta", partial_json=piece) for piece in pieces),
        stop(),
    )
    assert isinstance(events[0], PartStart)
    assert isinstance(events[0].part, ToolCall)
    assert events[1:-1] == [ArgumentsDelta(0, text) for text in arguments]


def test_blocks_and_deltas_of_unknown_kind_stay_whole() -> None:
    assert block_events(
        start(type="compaction", content=None), delta(type="compaction_delta", content="So far"), stop()
    ) == [
        PartStart(0, Opaque(NAME, {"type": "compaction", "content": None})),
        OpaqueDelta(0, NAME, {"content": "So far"}),
        PartEnd(0),
    ]
    assert block_events(start(type=None), stop())[0] == PartStart(0, Opaque(NAME, {"type": None}))
    for odd in (
        {"type": "audio_delta", "audio": "x"},
        {"type": "thinking_delta", "thinking": "not of a text"},
        {"type": "citations_delta", "citation": 7},
    ):
        assert block_events(start(), delta(**odd), stop())[1] == OpaqueDelta(0, NAME, odd)


def test_unknown_events_and_pings_mean_that_the_upstream_is_alive() -> None:
    events = decode(begin(), {"type": "ping"}, {"type": "weather_report"}, {"no": "type"}, end(), OVER)
    assert events[1:4] == [Ping(), Ping(), Ping()]


def test_blocks_left_open_end_before_the_answer_does() -> None:
    assert decode(begin(), start(), end(), OVER)[1:3] == [PartStart(0, Text("")), PartEnd(0)]
    assert decode(begin(), start(5), start(9), OVER)[1:] == [
        PartStart(0, Text("")), PartStart(1, Text("")), PartEnd(0), PartEnd(1), End(),
    ]  # fmt: skip


def test_figures_left_out_are_as_they_were() -> None:
    first = {"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 1, "service_tier": "standard"}
    answer = fold(decode(begin(usage=first), end(output_tokens=9, input_tokens=None), OVER))
    assert answer.usage == Usage(13, 9, 10, extras={NAME: {"service_tier": "standard"}})


def test_the_end_is_told_once() -> None:
    early = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 2}}
    events = decode(begin(), early, end(output_tokens=3), end(output_tokens=4), OVER)
    assert [type(event) for event in events] == [Start, UsageReport, Finish, UsageReport, UsageReport, End]


def test_a_message_delta_that_says_nothing_is_nothing() -> None:
    assert [type(e) for e in decode(begin(), {"type": "message_delta"}, OVER)] == [Start, End]


def test_an_answer_begins_with_little() -> None:
    events = decode({"type": "message_start", "message": {"usage": None, "content": ["x"], "container": None}}, OVER)
    assert isinstance(events[0], Start)
    assert events[0].id.startswith("msg_")
    assert (events[0].model, events[0].usage, events[0].extras) == ("", None, {NAME: {"content": ["x"]}})


@pytest.mark.parametrize(
    "broken",
    [
        [{"type": "message_start"}],
        [begin(), begin()],
        [start()],
        [end()],
        [begin(), start(), start()],
        [begin(), start("0")],
        [begin(), {"type": "content_block_start", "index": 0, "content_block": 7}],
        [begin(), delta(type="text_delta", text="x")],
        [begin(), start(), delta([], type="text_delta", text="x")],
        [begin(), start(), delta(type="text_delta", text=None)],
        [begin(), start(), {"type": "content_block_delta", "index": 0}],
        [begin(), stop()],
        [begin(), stop({})],
    ],
)
def test_a_stream_that_makes_no_sense_fails_and_is_over(broken: list[dict[str, Any]]) -> None:
    decoder = DIALECT.stream_decoder()
    last = decoder.feed(wire(*broken))[-1]
    assert isinstance(last, Failure)
    assert isinstance(last.error, BadAnswer)
    assert decoder.feed(wire(begin(), OVER)) == []
    assert decoder.close() == []


@pytest.mark.parametrize("data", [b"{", b"[1]", b"7", b'{"type":"content_block_delta","index":0,"delta":{"text'])
def test_a_frame_that_is_no_json_object_ends_the_stream(data: bytes) -> None:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(wire(begin(), start()) + frame(data) + wire(delta(type="text_delta", text="x")))
    assert [type(event) for event in events] == [Start, PartStart, Failure]
    assert decoder.close() == []


@pytest.mark.parametrize(
    ("error", "status"),
    [({"type": "overloaded_error", "message": "Full"}, 529), ({"type": "api_error", "message": "Full"}, 500)],
)
@pytest.mark.parametrize("before", [[], [begin(), start()]])
@pytest.mark.parametrize("named", [True, False])
def test_an_error_event_is_a_failure_wherever_it_stands(
    error: dict[str, Any], status: int, before: list[dict[str, Any]], named: bool
) -> None:
    body = {"type": "error", "error": error} if named else {"error": error}
    events = decode(*before, body, OVER)
    assert len(events) == len(before) + 1
    assert isinstance(events[-1], Failure)
    assert isinstance(events[-1].error, UpstreamRefused)
    assert (events[-1].error.status, events[-1].error.message) == (status, "Full")


def test_a_stream_cut_short_never_looks_complete() -> None:
    events = decode(begin(), start(), delta(type="text_delta", text="x"))
    assert isinstance(events[-1], Failure)
    assert isinstance(events[-1].error, StreamCut)
    assert isinstance(decode()[-1], Failure)


def test_a_stream_without_its_last_event_is_complete_once_the_reason_is_known() -> None:
    assert decode(begin(), end())[-1] == End()


@pytest.mark.parametrize(
    ("tail", "last"),
    [(wire(OVER)[:-2], End), (wire(OVER)[:-9], Failure), (b"data: [DONE]\n\n", Failure), (b"data: 7", Failure)],
)
def test_a_last_frame_counts_if_it_is_whole(tail: bytes, last: type[Event]) -> None:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(wire(begin()) + tail) + decoder.close()
    assert isinstance(events[-1], last)
    assert decoder.close() == []


def test_done_after_the_end_is_nothing() -> None:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(wire(begin(), end(), OVER) + b"data: [DONE]\n\n")
    assert (events[-1], decoder.feed(wire(begin()))) == (End(), [])


def test_an_event_line_stands_for_a_missing_type() -> None:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(frame(json.encode({"message": {}}), "message_start") + frame(b"{}", "message_stop"))
    assert [type(event) for event in events] == [Start, End]


# Encoding


def test_a_message_is_told_in_the_order_that_clients_expect() -> None:
    told, losses = said(
        Start("id-1", "m", usage=Usage(7, 0)), PartStart(0, Text("")), TextDelta(0, "a"), Ping(), PartEnd(0),
        Finish("stop"), UsageReport(Usage(7, 2)), End(),
    )  # fmt: skip
    usage = {**NO_USAGE, "input_tokens": 7}
    head = {"id": "id-1", "type": "message", "role": "assistant", "model": "m", "content": []}
    ending = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
    assert told == [
        {"type": "message_start", "message": {**head, **ending, "usage": usage}},
        start(),
        delta(type="text_delta", text="a"),
        {"type": "ping"},
        stop(),
        {
            "type": "message_delta",
            "delta": {**ending, "stop_reason": "end_turn"},
            "usage": {**usage, "output_tokens": 2},
        },
        OVER,
    ]
    assert losses == {}


def test_what_an_upstream_leaves_out_is_made_up() -> None:
    told, _ = said(Start("", ""), End())
    message = told[0]["message"]
    assert message["id"].startswith("msg_")
    assert (message["model"], message["usage"]) == ("asked-for", NO_USAGE)
    assert told[1]["delta"]["stop_reason"] is None
    assert told[1]["usage"] == NO_USAGE


def test_the_reason_and_the_figures_come_once_in_whatever_order_they_were_told() -> None:
    reports = [UsageReport(Usage(5, 1)), UsageReport(Usage(None, 4))]
    for events in (
        [reports[0], Finish("length"), reports[1]],
        [Finish("length"), *reports],
        [*reports, Finish("length")],
    ):
        told, _ = said(Start("i", "m", service_tier="default"), *events, End())
        assert [event["type"] for event in told] == ["message_start", "message_delta", "message_stop"]
        assert told[0]["message"]["usage"]["service_tier"] == "standard"
        assert told[1]["delta"]["stop_reason"] == "max_tokens"
        assert told[1]["usage"] == {**NO_USAGE, "input_tokens": 5, "output_tokens": 4}


def test_members_beside_the_delta_come_back() -> None:
    edits = {"applied_edits": []}
    told, losses = said(
        Start("i", "m"), Finish("stop", extras={NAME: {"container": {"id": "c"}}}),
        UsageReport(Usage(), {NAME: {"context_management": edits}, "other": {"x": 1}}), End(),
    )  # fmt: skip
    assert (told[1]["context_management"], told[1]["delta"]["container"]) == (edits, {"id": "c"})
    assert losses == {"x": "info"}


def test_parts_that_overlap_come_one_after_the_other() -> None:
    told, losses = said(
        Start("i", "m"),
        PartStart(0, ToolCall("a", "f")), PartStart(1, ToolCall("b", "g")), PartStart(2, Text("")),
        ArgumentsDelta(1, '{"n"'), ArgumentsDelta(0, '{"m"'), TextDelta(2, "x"), ArgumentsDelta(1, ":2}"),
        ArgumentsDelta(0, ":1}"), PartEnd(1), PartEnd(0), TextDelta(2, "y"), PartEnd(2), Finish("stop"), End(),
    )  # fmt: skip
    assert told[1:-2] == [
        start(0, type="tool_use", id="a", name="f", input={}),
        delta(0, type="input_json_delta", partial_json='{"m"'),
        delta(0, type="input_json_delta", partial_json=":1}"),
        stop(0),
        start(1, type="tool_use", id="b", name="g", input={}),
        delta(1, type="input_json_delta", partial_json='{"n"'),
        delta(1, type="input_json_delta", partial_json=":2}"),
        stop(1),
        start(2),
        delta(2, type="text_delta", text="x"),
        delta(2, type="text_delta", text="y"),
        stop(2),
    ]
    assert told[-2]["delta"]["stop_reason"] == "tool_use"
    assert losses == {}


def test_a_thousand_overlapping_calls_are_told_in_order() -> None:
    calls = range(1000)
    told, _ = said(*(PartStart(i, ToolCall(str(i), "f")) for i in calls), *(PartEnd(i) for i in reversed(calls)), End())
    assert [event["content_block"]["id"] for event in told if "content_block" in event] == [str(i) for i in calls]
    assert [event["index"] for event in told if event["type"] == "content_block_stop"] == list(calls)


def test_a_signature_comes_in_one_piece_at_the_end_of_its_block() -> None:
    told, _ = said(
        PartStart(0, Thinking("a", "s")), SignatureDelta(0, "i"), ThinkingDelta(0, "b", extras={NAME: {"n": 1}}),
        SignatureDelta(0, "g"), PartEnd(0),
    )  # fmt: skip
    assert told == [
        start(type="thinking", thinking="", signature=""),
        delta(type="thinking_delta", thinking="a"),
        delta(type="thinking_delta", thinking="b", n=1),
        delta(type="signature_delta", signature="sig"),
        stop(),
    ]


def test_a_custom_tools_text_becomes_an_object() -> None:
    told, losses = said(
        PartStart(0, ToolCall("c", "patch", "*** ", "custom")), ArgumentsDelta(0, '"Begin"'), PartEnd(0),
        PartStart(1, ToolCall("d", "patch", "", "custom")), PartEnd(1),
    )  # fmt: skip
    assert told[1] == delta(type="input_json_delta", partial_json='{"input":"*** \\"Begin\\""}')
    assert told[3:] == [start(1, type="tool_use", id="d", name="patch", input={}), stop(1)]
    assert losses == {"content[0].arguments": "warning"}


@pytest.mark.parametrize(
    ("part", "deltas", "told", "losses"),
    [
        (Refusal(""), [RefusalDelta(0, "No.", logprobs={"refusal": []})],
         [start(), delta(type="text_delta", text="No."), stop()], {"logprobs": "info"}),
        (Text("a"),
         [TextDelta(0, "b", extras={"openai_chat": {"obfuscation": "zz"}}), TextDelta(0, "c", 0, {"content": []})],
         [start(), delta(type="text_delta", text="a"), delta(type="text_delta", text="b"),
          delta(type="text_delta", text="c"), stop()],
         {"content[0].obfuscation": "info", "logprobs": "info"}),
        (Text(""), [CitationDelta(0, Citation("file", file_id="f"))], [start(), stop()],
         {"content[0].citations": "warning"}),
        (Thinking(redacted="x="), [], [start(type="redacted_thinking", data="x="), stop()], {}),
        (Opaque(NAME, {"type": "compaction", "content": None}), [OpaqueDelta(0, NAME, {"content": "c"})],
         [start(type="compaction", content=None), delta(type="compaction_delta", content="c"), stop()], {}),
        (Opaque(NAME, {"type": "new_tool_use"}), [OpaqueDelta(0, NAME, {"partial_json": "{"})],
         [start(type="new_tool_use"), delta(type="input_json_delta", partial_json="{"), stop()], {}),
        (Text(""),
         [OpaqueDelta(0, NAME, {"type": "audio_delta", "audio": "x"}), OpaqueDelta(0, "openai_chat", {"a": 1})],
         [start(), delta(type="audio_delta", audio="x"), stop()], {"content[0]": "warning"}),
        (Opaque("openai_responses", {"type": "x"}), [OpaqueDelta(0, "openai_responses", {"a": 1})],
         [start(type="redacted_thinking", data=seal(Opaque("openai_responses", {"type": "x"}))), stop()],
         {"content[0]": "info"}),
        (Audio(""), [OpaqueDelta(0, "openai_chat", {"data": "AA"})], [], {"content[0]": "warning"}),
        (ToolCall("c", "search", "", "server"), [ArgumentsDelta(0, "{}")], [], {"content[0]": "warning"}),
    ],
)  # fmt: skip
def test_parts_of_every_kind_are_told_or_reported(
    part: Part, deltas: list[Event], told: list[dict[str, Any]], losses: dict[str, str]
) -> None:
    assert said(PartStart(0, part), *deltas, PartEnd(0)) == (told, losses)
    after, _ = said(PartStart(0, part), *deltas, PartEnd(0), PartStart(1, Text("")), PartEnd(1))
    assert [event["index"] for event in after] == [event["index"] for event in told] + [len(told) > 0] * 2


SUMMARY = Thinking("Hm, so.", redacted="gAAA", id="rs_1", origin="openai")


def test_the_thought_of_another_vendor_carries_what_its_end_tells_as_a_seal() -> None:
    told, losses = said(
        PartStart(0, Thinking(id="rs_1", origin="openai")), ThinkingDelta(0, ""), ThinkingDelta(0, "Hm, "),
        ThinkingDelta(0, "so."), PartEnd(0, part=SUMMARY),
    )  # fmt: skip
    assert told == [
        start(type="thinking", thinking="", signature=""),
        delta(type="thinking_delta", thinking="Hm, "),
        delta(type="thinking_delta", thinking="so."),
        delta(type="signature_delta", signature=seal(replace(SUMMARY, text=""))),
        stop(),
    ]
    assert losses == {}


def test_the_silent_thought_of_another_vendor_is_a_seal_alone() -> None:
    thought = Thinking("", "sig", id="rs_1", origin="openai")
    told, losses = said(
        PartStart(0, Thinking(id="rs_1", origin="openai")), SignatureDelta(0, "si"), SignatureDelta(0, "g"), PartEnd(0)
    )
    assert told == [start(type="redacted_thinking", data=seal(thought)), stop()]
    assert losses == {}


def test_the_end_of_a_foreign_item_tells_what_is_sealed() -> None:
    ended = Opaque("openai_responses", {"type": "web_search_call", "status": "completed"})
    told, losses = said(PartStart(0, Opaque("openai_responses", {"type": "web_search_call"})), PartEnd(0, part=ended))
    assert told == [start(type="redacted_thinking", data=seal(ended)), stop()]
    assert losses == {"content[0]": "info"}


def test_only_the_first_choice_is_told() -> None:
    told, losses = said(
        Start("i", "m"), PartStart(0, Text("")), PartStart(0, Text(""), 1), TextDelta(0, "b", 1), TextDelta(0, "a"),
        PartEnd(0, 1), Finish("length", 1), PartEnd(0), Finish("stop"), End(),
    )  # fmt: skip
    assert told[1:4] == [start(), delta(type="text_delta", text="a"), stop()]
    assert told[4]["delta"]["stop_reason"] == "end_turn"
    assert losses == {"choices[1]": "warning"}


def test_a_failure_is_an_error_event() -> None:
    told, _ = said(Start("i", "m"), Failure(StreamCut("The upstream went away")))
    assert told[1] == {
        "type": "error",
        "error": {
            "type": "api_error",
            "message": "The upstream went away",
            "details": {"error_code": "upstream_stream_cut"},
        },
    }


# The tap


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (wire(begin()), True),
        (wire(end()), True),
        (wire(OVER), True),
        (wire({"type": "error", "error": {"type": "api_error", "message": "x"}}), True),
        (b'data: {"error": {"message": "x"}}\n\n', True),
        (b'data: {"index": 0, "type" : "message_stop"}\n\n', True),
        (b'event:message_stop\r\ndata: {"type":"message_stop"}\r\n\r\n', True),
        (wire(start(type="tool_use", id="t", name="f", input={"error": {"code": 1}})), False),
        (wire(start()), False),
        (wire(stop()), False),
        (wire({"type": "ping"}), True),
        (wire(start(type="web_fetch_tool_result", content={"type": "web_fetch_tool_result_error"})), False),
        *((wire(delta(type="text_delta", text=text)), False) for text in (
            "plain", '"type":"message_stop"', '{"type": "error", "error": {}}', "\nevent: message_delta\n",
            'event: error\ndata: {"error":{', "\\\"type\\\":\\\"message_start\\\"",
        )),
    ],
)  # fmt: skip
def test_the_tap_sees_the_frames_that_matter_and_no_text_that_looks_like_them(data: bytes, seen: bool) -> None:
    assert bool(DIALECT.tap.markers.search(data)) is seen


def test_a_forgotten_terminator_is_the_one_that_is_encoded() -> None:
    told, _ = said(Start("i", "m"), End())
    assert SseDecoder().feed(DIALECT.tap.terminator)[0].event == told[-1]["type"] == "message_stop"
