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
from wye.canon.fold import fold
from wye.canon.loss import Losses
from wye.canon.parts import Audio, Citation, FileId, Image, Opaque, Refusal, Text, Thinking, ToolCall, Url
from wye.canon.request import ChatRequest
from wye.canon.seal import unseal
from wye.canon.usage import Usage
from wye.dialects.bedrock_converse import DIALECT
from wye.dialects.dialect import Dialect
from wye.kernel import json
from wye.kernel.errors import BadAnswer, ClockExpired, Overloaded, StreamCut, UpstreamRefused
from wye.kernel.eventstream import encode_message, exception, message, parse
from wye.kernel.sse import frame, split

NAME = "bedrock_converse"
SSE = DIALECT.as_sse or DIALECT
START = ("messageStart", {"role": "assistant"})
STOP = ("messageStop", {"stopReason": "end_turn"})
METADATA = ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 4}})
REPORT = UsageReport(Usage(1, 2), {NAME: {"metrics": {"latencyMs": 4}}})
Told = tuple[str, Any]


def start(value: Any, index: Any = 0) -> Told:
    return "contentBlockStart", {"contentBlockIndex": index, "start": value}


def delta(value: Any, index: Any = 0) -> Told:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": value}


def stop(index: Any = 0) -> Told:
    return "contentBlockStop", {"contentBlockIndex": index}


def wire(*told: Told) -> bytes:
    return b"".join(message(kind, json.encode(value)) for kind, value in told)


def events_of(data: bytes, dialect: Dialect = DIALECT, size: int = 1 << 20) -> list[Event]:
    decoder = dialect.stream_decoder()
    events = [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]
    return events + decoder.close()


def encode(*events: Event) -> tuple[list[Told], dict[str, str]]:
    """What is said after the start of the message, and the severity of each loss by its field."""
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), losses)
    said = b"".join(encoder.encode(event) for event in (Start("i", "m"), *events))
    told = [(found.text(":event-type"), json.decode(found.payload)) for found in parse(said)]
    assert told[0] == START
    return told[1:], {loss.field: loss.severity for loss in losses}


# Reading


def test_what_a_stream_means() -> None:
    data = wire(START, delta({"text": "a"}), stop(), STOP, METADATA)
    assert events_of(data) == [
        Start("", ""),
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        PartEnd(0),
        Finish("stop"),
        REPORT,
        End(),
    ]


def test_content_before_the_start_of_its_message_begins_it() -> None:
    data = (delta({"text": "a"}), stop(), STOP, METADATA)
    assert events_of(wire(*data)) == events_of(wire(START, *data))


@pytest.mark.parametrize("told", [(START, delta({"text": "a"}, "0")), (START, STOP, delta({"text": "late"}))])
def test_a_piece_of_no_block_is_a_failure(told: tuple[Told, ...]) -> None:
    *_, last = events_of(wire(*told))
    assert isinstance(last, Failure)
    assert "belongs to no block" in last.error.message


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # No metadata: the answer is complete, and the end of the stream is its end.
        ((START, STOP), [Start("", ""), Finish("stop"), End()]),
        # From some servers they come first, and the message is not begun.
        ((METADATA, STOP), [Start("", ""), REPORT, Finish("stop"), End()]),
        ((STOP,), [Start("", ""), Finish("stop"), End()]),
        ((START, ("initial-response", {}), STOP), [Start("", ""), Ping(), Finish("stop"), End()]),
        ((START, stop(3), STOP), [Start("", ""), Finish("stop"), End()]),
        (
            (START, ("metadata", {"usage": "none"}), STOP),
            [Start("", ""), UsageReport(Usage(), {NAME: {"usage": "none"}}), Finish("stop"), End()],
        ),
        (
            (START, ("messageStop", {"stopReason": None, "p": "abc", "new": 1})),
            [Start("", ""), Finish("stop", extras={NAME: {"stopReason": None, "new": 1}}), End()],
        ),
        (
            (("messageStart", {"role": "assistant", "p": "ab", "new": 1}), STOP),
            [Start("", "", extras={NAME: {"new": 1}}), Finish("stop"), End()],
        ),
        (
            (START, ("contentBlockStop", {"contentBlockIndex": 0, "p": "ab", "new": 1}), STOP),
            [Start("", ""), Aside({NAME: {"new": 1}}), Finish("stop"), End()],
        ),
        (
            (START, ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}, "p": "ab", "new": 1}), STOP),
            [Start("", ""), PartStart(0, Text("")), TextDelta(0, "a"), Aside({NAME: {"new": 1}}), PartEnd(0),
             Finish("stop"), End()],
        ),
        (
            (START, start({"toolUse": {"toolUseId": "t", "name": "n"}}),
             delta({"toolUse": {"input": "{}", "new": 1}, "newer": 2}), STOP),
            [Start("", ""), PartStart(0, ToolCall("t", "n")), ArgumentsDelta(0, "{}"),
             Aside({NAME: {"new": 1, "newer": 2}}), PartEnd(0),
             Finish("stop", extras={NAME: {"stopReason": "end_turn"}}), End()],
        ),
        (
            (START, delta({"reasoningContent": {"signature": "s"}}), STOP),
            [Start("", ""), PartStart(0, Thinking()), SignatureDelta(0, "s"), PartEnd(0), Finish("stop"), End()],
        ),
        (
            (START, delta({"reasoningContent": {"text": "t", "new": 1}, "newer": 2}), STOP),
            [Start("", ""), PartStart(0, Thinking()),
             ThinkingDelta(0, "t", extras={NAME: {"new": 1, "block": {"newer": 2}}}), PartEnd(0),
             Finish("stop"), End()],
        ),
        (
            (START, delta({"citation": {"title": 7}, "new": 1}), STOP),
            [Start("", ""), PartStart(0, Text("")), Aside({NAME: {"citation": {"title": 7}, "new": 1}}), PartEnd(0),
             Finish("stop"), End()],
        ),
        # A piece of another kind than its block is a block of its own.
        (
            (START, delta({"reasoningContent": {"text": "t"}}),
             delta({"reasoningContent": {"redactedContent": "YQ=="}}), STOP),
            [Start("", ""), PartStart(0, Thinking()), ThinkingDelta(0, "t"), PartEnd(0),
             PartStart(1, Thinking(redacted="a")), PartEnd(1), Finish("stop"), End()],
        ),
        # Bytes in two pieces.
        (
            (START, delta({"reasoningContent": {"redactedContent": "YQ=="}}),
             delta({"reasoningContent": {"redactedContent": "Yg=="}}), STOP),
            [Start("", ""), PartStart(0, Thinking(redacted="ab")), PartEnd(0), Finish("stop"), End()],
        ),
        (
            (START, delta({"reasoningContent": {"redactedContent": "YQ=="}}),
             delta({"reasoningContent": {"redactedContent": 7}}), STOP),
            [Start("", ""), PartStart(0, Thinking(redacted="a")), PartEnd(0), Finish("stop"), End()],
        ),
        (
            (START, start({"image": {"format": "png"}}),
             delta({"image": {"source": {"s3Location": {"uri": "s3://b/a.png"}}}}), stop(), STOP),
            [Start("", ""), PartStart(0, Image(Url("s3://b/a.png"), extras={NAME: {"~": {"format": "png"}}})),
             PartEnd(0), Finish("stop"), End()],
        ),
        (
            (START, delta({"toolResult": [{"text": "a"}]}), stop(), STOP),
            [Start("", ""), PartStart(0, Opaque(NAME, {"toolResult": {"content": [{"text": "a"}]}})), PartEnd(0),
             Finish("stop"), End()],
        ),
        (
            (START, start({"toolUse": {"name": "no id"}}), stop(), STOP),
            [Start("", ""), PartStart(0, Opaque(NAME, {"toolUse": {"name": "no id"}})), PartEnd(0), Finish("stop"),
             End()],
        ),
    ],
)  # fmt: skip
def test_streams_that_are_a_little_odd(told: tuple[Told, ...], expected: list[Event]) -> None:
    for size in (1, 50, 1 << 20):
        assert events_of(wire(*told), size=size) == expected


BEGUN = [Start("", ""), PartStart(0, Text("")), TextDelta(0, "a")]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ((START,), "second time"),
        ((delta({"text": "b"}, "0"),), "no block"),
        ((delta({"text": "b"}, None),), "no block"),
        ((delta("b"),), "without a piece"),
        ((start({"toolUse": {}}, 0),), "none can begin"),
        ((start("x", 1),), "none can begin"),
        ((stop("x"),), "no block"),
    ],
)
def test_what_cannot_be_understood_ends_the_stream(told: tuple[Told, ...], words: str) -> None:
    events = events_of(wire(START, delta({"text": "a"}), *told, STOP))
    assert events[:-1] == BEGUN
    failure = events[-1]
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadAnswer)
    assert words in failure.error.message


@pytest.mark.parametrize("told", [STOP, delta({"text": "b"})])
def test_nothing_comes_after_the_stop_but_metadata(told: Told) -> None:
    [*_, failure] = events_of(wire(START, STOP, told))
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadAnswer)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (message("contentBlockDelta", b"{"), BadAnswer),
        (message("contentBlockDelta", b"[]"), BadAnswer),
        (b"HTTP/1.1 200 OK", BadAnswer),
        (message("x", b"{}")[:-1] + b"?", BadAnswer),
        (exception("throttlingException", b"Slow"), BadAnswer),
        (message("x", b"{}")[:20], StreamCut),
        (b"", StreamCut),
    ],
)
def test_a_broken_stream_is_a_failure_after_what_came_before(data: bytes, error: type[Exception]) -> None:
    for size in (1, 7, 1 << 20):
        events = events_of(wire(START, delta({"text": "a"})) + data, size=size)
        assert events[:-1] == BEGUN
        assert isinstance(events[-1], Failure)
        assert isinstance(events[-1].error, error)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("modelStreamErrorException", 424),
        ("throttlingException", 429),
        ("internalServerException", 500),
        ("validationException", 400),
        ("serviceUnavailableException", 503),
        ("ofANewKindException", 502),
    ],
)
@pytest.mark.parametrize("dialect", [DIALECT, SSE], ids=["binary", "sse"])
def test_an_exception_within_a_stream_has_its_status(kind: str, status: int, dialect: Dialect) -> None:
    body = b'{"message":"No more"}'
    data = exception(kind, body) if dialect is DIALECT else frame(body, kind)
    [failure] = events_of(data + data, dialect)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, UpstreamRefused)
    assert (failure.error.status, failure.error.message) == (status, "No more")
    assert failure.error.kind == kind[0].upper() + kind[1:]


def test_the_service_s_own_failure_is_told_by_its_headers() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "Broken"}
    [failure] = events_of(encode_message(headers, b""))
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, UpstreamRefused)
    assert (failure.error.kind, failure.error.message) == ("InternalError", "Broken")


def test_a_complete_answer_stays_complete_whatever_follows() -> None:
    data = wire(START, STOP) + message("metadata", b"{}")[:20]
    assert events_of(data) == [Start("", ""), Finish("stop"), End()]
    decoder = DIALECT.stream_decoder()
    assert decoder.feed(wire(START, STOP, METADATA))[-1] == End()
    assert decoder.feed(wire(START)) == decoder.close() == []


def test_a_last_frame_of_sse_needs_no_blank_line() -> None:
    data = frame(b'{"role":"assistant"}', "messageStart") + b'event: messageStop\ndata: {"stopReason":"end_turn"}'
    assert events_of(data, SSE) == [Start("", ""), Finish("stop"), End()]
    [first, failure] = events_of(frame(b'{"role":"assistant"}', "messageStart") + b"event: messageStop\ndata: {", SSE)
    assert first == Start("", "")
    assert isinstance(failure, Failure)


def test_more_than_the_end_may_lie_in_one_chunk() -> None:
    assert events_of(wire(START, STOP, METADATA, START)) == [Start("", ""), Finish("stop"), REPORT, End()]


# Writing


def test_a_text_has_no_start_and_the_end_waits_for_the_figures() -> None:
    told, losses = encode(
        PartStart(0, Text("")),
        TextDelta(0, "a"),
        Ping(),
        PartEnd(0),
        Finish("length", extras={NAME: {"stopReason": "model_context_window_exceeded"}}),
        UsageReport(Usage(5), {NAME: {"metrics": {"latencyMs": 9}}}),
        UsageReport(Usage(output_tokens=2)),
        Aside({NAME: {"new": 1}, "openai_chat": {"other": 2}}),
        End(),
    )
    assert told == [
        delta({"text": "a"}),
        stop(),
        ("messageStop", {"stopReason": "model_context_window_exceeded"}),
        ("metadata", {"usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}, "metrics": {"latencyMs": 9},
                      "new": 1}),
    ]  # fmt: skip
    assert losses == {"other": "info"}


def thought(*more: Event, part: Thinking | None = None, whole: Thinking | None = None) -> list[Event]:
    return [PartStart(0, part or Thinking()), *more, PartEnd(0, part=whole), End()]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([End()], []),
        ([PartStart(0, Text("")), PartEnd(0), End()], [delta({"text": ""}), stop()]),
        ([PartStart(0, Text("a")), TextDelta(0, "b", extras={NAME: {"x": 1}}), PartEnd(0), End()],
         [delta({"text": "a"}), delta({"text": "b", "x": 1}), stop()]),
        (thought(), [delta({"reasoningContent": {"text": ""}}), stop()]),
        (thought(ThinkingDelta(0, "b"), part=Thinking("a", "s")),
         [delta({"reasoningContent": {"text": "a"}}), delta({"reasoningContent": {"text": "b"}}),
          delta({"reasoningContent": {"signature": "s"}}), stop()]),
        (thought(SignatureDelta(0, "s"), SignatureDelta(0, "t")),
         [delta({"reasoningContent": {"signature": "st"}}), stop()]),
        (thought(ThinkingDelta(0, "a", extras={NAME: {"x": 1, "block": {"y": 2}}})),
         [delta({"reasoningContent": {"text": "a", "x": 1}, "y": 2}), stop()]),
        (thought(part=Thinking(redacted="a")), [delta({"reasoningContent": {"redactedContent": "YQ=="}}), stop()]),
        (thought(ThinkingDelta(0, "a"), whole=Thinking("a", "s", origin="anthropic")),
         [delta({"reasoningContent": {"text": "a"}}), delta({"reasoningContent": {"signature": "s"}}), stop()]),
        ([PartStart(0, ToolCall("t", "n", "{")), ArgumentsDelta(0, "}"), PartEnd(0), End()],
         [start({"toolUse": {"toolUseId": "t", "name": "n"}}), delta({"toolUse": {"input": "{"}}),
          delta({"toolUse": {"input": "}"}}), stop()]),
        ([PartStart(0, Audio("AA", "mp3")), PartEnd(0), End()],
         [start({"audio": {"format": "mp3", "source": {"bytes": "AA"}}}), stop()]),
        ([PartStart(0, Opaque(NAME, {"new": "a"})), OpaqueDelta(0, NAME, {"new": "b"}), PartEnd(0), End()],
         [start({"new": "ab"}), stop()]),
        ([PartStart(0, Text("")), OpaqueDelta(0, NAME, {"new": 1}), PartEnd(0), End()], [delta({"new": 1}), stop()]),
        ([PartStart(0, Text("a", extras={NAME: {"~": {"content": [1, 1]}, "x": 1}})), TextDelta(0, "b"),
          CitationDelta(0, Citation("block", title="T")), PartEnd(0), End()],
         [delta({"text": "a", "x": 1}), delta({"text": "b", "x": 1}), delta({"citation": {"title": "T"}}), stop()]),
        # Parts that overlap are said one after the other.
        ([PartStart(0, Text("")), PartStart(1, ToolCall("t", "n")), ArgumentsDelta(1, "{}"), TextDelta(0, "a"),
          PartEnd(1), PartStart(0, Text("")), PartEnd(0), End()],
         [delta({"text": "a"}), stop(), start({"toolUse": {"toolUseId": "t", "name": "n"}}, 1),
          delta({"toolUse": {"input": "{}"}}, 1), stop(1)]),
    ],
)  # fmt: skip
def test_parts_are_said_in_the_words_of_a_stream(events: list[Event], expected: list[Told]) -> None:
    told, losses = encode(*events)
    assert told[:-2] == expected
    assert losses == {}


@pytest.mark.parametrize(
    ("events", "expected", "losses"),
    [
        ([PartStart(0, Refusal("")), RefusalDelta(0, "No.", logprobs={"refusal": []}), PartEnd(0), End()],
         [delta({"text": "No."}), stop()], {"logprobs": "info"}),
        ([PartStart(0, Text("")), TextDelta(0, "a", extras={"openai_chat": {"x": 1}}), PartEnd(0), End()],
         [delta({"text": "a"}), stop()], {"content[0].x": "info"}),
        ([PartStart(0, ToolCall("t", "n", kind="custom")), ArgumentsDelta(0, "fr"), ArgumentsDelta(0, "ee"), PartEnd(0),
          End()],
         [start({"toolUse": {"toolUseId": "t", "name": "n"}}), delta({"toolUse": {"input": '{"input":"free"}'}}),
          stop()],
         {"content[0].arguments": "warning"}),
        ([PartStart(0, Text("")), CitationDelta(0, Citation("file", file_id="f")), TextDelta(0, "a"), PartEnd(0),
          End()],
         [delta({"text": "a"}), stop()], {"content[0].citations": "warning"}),
        ([PartStart(0, Text("a")), OpaqueDelta(0, "openai_chat", {"x": 1}), PartEnd(0), End()],
         [delta({"text": "a"}), stop()], {"content[0]": "warning"}),
        ([PartStart(0, Image(FileId("f"))), PartEnd(0), End()], [], {"content[0].source": "warning"}),
        ([PartStart(0, Text("a")), PartEnd(0), PartStart(0, Text("b"), 1), TextDelta(0, "b", 1), PartEnd(0, 1),
          Finish("length", 1), End()],
         [delta({"text": "a"}), stop()], {"choices[1]": "warning"}),
    ],
)  # fmt: skip
def test_what_a_stream_cannot_say_is_named(events: list[Event], expected: list[Told], losses: dict[str, str]) -> None:
    told, lost = encode(*events)
    assert (told[:-2], lost) == (expected, losses)


@pytest.mark.parametrize(
    ("events", "whole"),
    [
        ([PartStart(0, Thinking(id="rs_1", origin="openai")), ThinkingDelta(0, "Hm."),
          PartEnd(0, part=Thinking("Hm.", redacted="gA", id="rs_1", origin="openai"))],
         Thinking("", redacted="gA", id="rs_1", origin="openai")),
        ([PartStart(0, Opaque("anthropic_messages", {"type": "x", "a": ""})),
          OpaqueDelta(0, "anthropic_messages", {"a": "b"}), PartEnd(0)],
         Opaque("anthropic_messages", {"type": "x", "a": "b"})),
        ([PartStart(0, ToolCall("t", "n", kind="server")), ArgumentsDelta(0, "{}"), PartEnd(0)],
         ToolCall("t", "n", "{}", "server")),
    ],
)  # fmt: skip
def test_what_only_another_vendor_understands_is_sealed_when_it_is_whole(events: list[Event], whole: Any) -> None:
    told, _ = encode(*events, End())
    signature = told[-4][1]["delta"]["reasoningContent"]["signature"]
    assert unseal(signature) == whole
    assert told[:-4] == ([delta({"reasoningContent": {"text": "Hm."}})] if isinstance(whole, Thinking) else [])


def test_an_error_is_never_a_silent_end() -> None:
    losses = Losses()
    request = ChatRequest(model="m", messages=[])
    failure = Failure(Overloaded("Full"))
    [told] = parse(DIALECT.stream_encoder(request, losses).encode(failure))
    assert told.headers[":message-type"] == "exception"
    assert told.text(":exception-type") == "serviceUnavailableException"
    assert told.payload == b'{"message":"Full"}'
    said = SSE.stream_encoder(request, losses).encode(failure)
    assert said == b'event: serviceUnavailableException\ndata: {"message":"Full"}\n\n'
    assert said == SSE.encode_stream_error(failure.error, "")
    [told] = parse(DIALECT.encode_stream_error(ClockExpired("gap_s", 5), "req"))
    assert json.decode(told.payload)["originalStatusCode"] == 504


def test_the_tap_sees_the_frames_that_matter_and_no_others() -> None:
    text = '"messageStop" metadata \\u0007\\u0000 event: metadata throttlingException'
    data = wire(START, delta({"text": text}), stop(), STOP, METADATA)
    seen = [DIALECT.tap.markers.search(piece) is not None for piece in DIALECT.framing.split(data)]
    assert seen == [False, False, False, True, True]
    frames = b"".join(frame(json.encode(value), kind) for kind, value in (START, stop(), STOP, METADATA))
    frames += SSE.encode_stream_error(Overloaded("Full"), "")
    assert [SSE.tap.markers.search(piece) is not None for piece in split(frames)] == [False, False, True, True, True]


def test_a_stream_and_its_folding_agree() -> None:
    told = [START, delta({"text": "a"}), stop(), start({"toolUse": {"toolUseId": "t", "name": "n"}}, 1), stop(1)]
    answer = fold(events_of(wire(*told, ("messageStop", {"stopReason": "tool_use"}), METADATA)))
    assert answer.choices[0].parts == [Text("a"), ToolCall("t", "n")]
    assert answer.choices[0].finish_reason == "tool_calls"
