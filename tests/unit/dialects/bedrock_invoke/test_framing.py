from __future__ import annotations

from base64 import b64encode

import pytest

from tests.unit.dialects.bedrock_invoke.wire import as_sse, request
from wye.canon.events import Aside, End, Event, Failure, Finish, Ping, Start, TextDelta, UsageReport
from wye.canon.extras import FORM
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.claude import DIALECT as CLAUDE
from wye.dialects.bedrock_invoke.families import FAMILIES
from wye.dialects.bedrock_invoke.metrics import MEMBER, decode_metrics, encode_metrics
from wye.dialects.bedrock_invoke.titan import DIALECT as TITAN
from wye.dialects.dialect import Dialect
from wye.kernel import clock, eventstream, json, sse
from wye.kernel.errors import BadAnswer, LimitExceeded, StreamCut, UpstreamError, UpstreamRefused

CHUNK = b'{"outputText":"Hi","index":0,"completionReason":"FINISH"}'
STREAMED = [dialect for dialect in FAMILIES if dialect.name != "bedrock_stability"]


def message(chunk: bytes) -> bytes:
    return eventstream.message("chunk", b'{"bytes":"%b","p":"abcd"}' % b64encode(chunk))


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_chunk_is_base64_in_an_event() -> None:
    decoder = TITAN.stream_decoder()
    assert kinds(decoder.feed(message(CHUNK))) == ["Start", "PartStart", "TextDelta", "PartEnd", "Finish"]
    assert kinds(decoder.close()) == ["End"]
    assert decoder.feed(message(CHUNK)) == decoder.close() == []


def test_line_breaks_within_a_chunk_are_white_space() -> None:
    pretty = b'{\r\n "outputText": "Hi",\n "completionReason": "FINISH"\n}'
    decoder = TITAN.stream_decoder()
    assert kinds(decoder.feed(message(pretty)) + decoder.close())[-2:] == ["Finish", "End"]


def test_events_that_are_no_chunks_say_nothing() -> None:
    decoder = TITAN.stream_decoder()
    assert decoder.feed(eventstream.message("initial-response", b"{}")) == []


@pytest.mark.parametrize(
    "wire",
    [
        eventstream.message("chunk", b"{"),
        eventstream.message("chunk", b'{"bytes":1}'),
        eventstream.message("chunk", b'{"bytes":"\xff"}'),
        eventstream.message("chunk", b'{"bytes":"a"}'),
        eventstream.message("chunk", b'{"bytes":"?!=="}'),
        message(b"nothing"),
        b"HTTP/1.1 500 Oh no, this is no event stream",
        message(CHUNK)[:-1] + b"x",
    ],
)
def test_what_cannot_be_read_is_one_failure(wire: bytes) -> None:
    decoder = TITAN.stream_decoder()
    (failure,) = decoder.feed(wire)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadAnswer)
    assert decoder.feed(message(CHUNK)) == decoder.close() == []


@pytest.mark.parametrize(
    ("wire", "status", "kind", "words"),
    [
        (eventstream.exception("throttlingException", b'{"message":"Slow"}'), 429, "ThrottlingException", "Slow"),
        (eventstream.exception("modelStreamErrorException", b'{"message":"?","originalStatusCode":500}'), 424,
         "ModelStreamErrorException", "?"),
        (eventstream.exception("validationException", b"?"), 400, "ValidationException", "without a message"),
        (eventstream.encode_message(
            {":message-type": "error", ":error-code": "InternalServerException", ":error-message": "Oh"}, b""),
         500, "InternalServerException", "Oh"),
    ],
)  # fmt: skip
def test_an_exception_in_the_stream_is_the_upstream_s_error(wire: bytes, status: int, kind: str, words: str) -> None:
    decoder = TITAN.stream_decoder()
    *events, failure = decoder.feed(message(b'{"outputText":"Hi"}') + wire)
    assert isinstance(events[-1], TextDelta)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, UpstreamRefused)
    assert (failure.error.status, failure.error.kind) == (status, kind)
    assert words in failure.error.message


def test_a_message_that_is_cut_off_is_none() -> None:
    complete = TITAN.stream_decoder()
    complete.feed(message(CHUNK) + message(CHUNK)[:20])
    assert kinds(complete.close()) == ["End"]
    cut = TITAN.stream_decoder()
    assert cut.feed(message(CHUNK)[:-1]) == []
    (failure,) = cut.close()
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, StreamCut)


def test_what_is_wrong_at_the_end_fails_only_an_answer_that_is_not_complete() -> None:
    complete = TITAN.stream_decoder()
    assert kinds(complete.feed(message(CHUNK) + bytes(20)))[-1] == "Finish"
    assert kinds(complete.close()) == ["End"]
    decoder = TITAN.stream_decoder()
    decoder.feed(message(b'{"outputText":"Hi"}') + bytes(20))
    (failure,) = decoder.close()
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadAnswer)
    assert decoder.close() == []


@pytest.mark.parametrize("dialect", STREAMED, ids=lambda dialect: dialect.name)
def test_a_failure_is_an_exception_in_the_stream(dialect: Dialect) -> None:
    wire = dialect.stream_encoder(request(), Losses()).encode(Failure(LimitExceeded("Slow")))
    assert wire == dialect.encode_stream_error(LimitExceeded("Slow"), "req-1")
    (sent,) = eventstream.parse(wire)
    assert sent.text(":message-type") == "exception"
    assert sent.text(":exception-type") == "throttlingException"
    assert json.decode(sent.payload) == {"message": "Slow"}


@pytest.mark.parametrize("dialect", STREAMED, ids=lambda dialect: dialect.name)
def test_both_framings_hold_the_same_chunks(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: 1.0)
    monkeypatch.setattr(clock, "wall_s", lambda: 1_790_000_000.0)
    events: list[Event] = [Start("x", "m", usage=Usage(3, 0)), Ping(), Finish("stop"), UsageReport(Usage(3, 2)), End()]
    native, shown = dialect.stream_encoder(request(), Losses()), as_sse(dialect).stream_encoder(request(), Losses())
    frames = sse.parse(b"".join(shown.encode(event) for event in events))
    messages = eventstream.parse(b"".join(native.encode(event) for event in events))
    assert [json.encode({"bytes": b64encode(found.data).decode()}) for found in frames if found.data != b"[DONE]"] == [
        sent.payload for sent in messages
    ]
    ends = [found.data for found in frames if found.data == b"[DONE]"]
    assert len(ends) == (dialect.name in ("bedrock_mistral", "bedrock_ai21", "bedrock_writer", "bedrock_openai"))
    named = [found.event for found in frames if found.event is not None]
    assert bool(named) == (dialect is CLAUDE)


def test_a_dialect_says_how_it_is_framed() -> None:
    assert TITAN.framing.content_type == b"application/vnd.amazon.eventstream"
    assert as_sse(TITAN).framing.content_type.startswith(b"text/event-stream")
    assert as_sse(TITAN).as_sse is None
    assert TITAN.tap.markers.search(b"") is not None
    assert TITAN.tap.terminator == b""
    assert as_sse(CLAUDE).tap.terminator.startswith(b"event: message_stop")


# The figures of the last chunk


def test_figures_are_counted_as_bedrock_does() -> None:
    metrics = {
        "inputTokenCount": 5,
        "outputTokenCount": 7,
        "cacheReadInputTokenCount": 20,
        "cacheWriteInputTokenCount": 4,
    }
    usage = decode_metrics(metrics)
    assert usage == Usage(29, 7, 20, 4)
    assert encode_metrics(usage) == metrics
    assert encode_metrics(Usage()) == {"inputTokenCount": 0, "outputTokenCount": 0}
    assert decode_metrics({"inputTokenCount": True, "outputTokenCount": "7"}) == Usage()


def test_latencies_are_measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic_s", lambda: now[0])
    encoder = as_sse(TITAN).stream_encoder(request(), Losses())
    now[0] += 0.25
    wire = encoder.encode(Start("x", "", usage=Usage(3, 1)))
    now[0] += 1.0
    wire += encoder.encode(Finish("stop")) + encoder.encode(End())
    (last,) = [json.decode(found.data) for found in sse.parse(wire)]
    assert last[MEMBER] == {
        "inputTokenCount": 3,
        "outputTokenCount": 1,
        "invocationLatency": 1250,
        "firstByteLatency": 250,
    }


def test_figures_of_its_own_go_before_the_metrics() -> None:
    metrics = {"inputTokenCount": 50, "outputTokenCount": 70, "invocationLatency": 9}
    for chunk, expected in (
        ({"outputText": "Hi", "completionReason": "FINISH"}, [Usage(50, 70)]),
        ({"outputText": "Hi", "completionReason": "FINISH", "inputTextTokenCount": 3}, [Usage(3)]),
    ):
        decoder = as_sse(TITAN).stream_decoder()
        events = decoder.feed(sse.frame(json.encode({**chunk, MEMBER: metrics}))) + decoder.close()
        assert [event.usage for event in events if isinstance(event, UsageReport)] == expected
        assert Aside({TITAN.name: {FORM: {MEMBER: metrics}}}) in events
        assert isinstance(events[-1], End)


@pytest.mark.parametrize("metrics", [None, 3, []])
def test_metrics_that_are_none_are_left_out(metrics: object) -> None:
    decoder = as_sse(TITAN).stream_decoder()
    chunk = json.encode({"outputText": "Hi", "completionReason": "FINISH", MEMBER: metrics})
    assert kinds(decoder.feed(sse.frame(chunk)))[-1] == "Finish"


def test_a_chunk_with_metrics_that_is_no_json_is_one_failure() -> None:
    decoder = as_sse(TITAN).stream_decoder()
    (failure,) = decoder.feed(b'data: {"%b":\n\n' % MEMBER.encode())
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadAnswer)


def test_a_text_may_speak_of_metrics() -> None:
    decoder = as_sse(TITAN).stream_decoder()
    text = f'{{"{MEMBER}": 1}}'
    events = decoder.feed(sse.frame(json.encode({"outputText": text, "completionReason": "FINISH"})))
    assert TextDelta(0, text) in events
    assert not any(isinstance(event, UsageReport) for event in events)


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_FRAME_BYTES", 100)
    decoder = as_sse(TITAN).stream_decoder()
    (failure,) = decoder.feed(b"data: " + b"x" * 200)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, UpstreamError)
    assert decoder.feed(b"data: {}\n\n") == decoder.close() == []


def test_a_byte_order_mark_is_no_part_of_the_first_chunk() -> None:
    decoder = as_sse(TITAN).stream_decoder()
    assert kinds(decoder.feed(b"\xef\xbb\xbf" + sse.frame(CHUNK)) + decoder.close())[-2:] == ["Finish", "End"]


@pytest.mark.parametrize("apart", [False, True])
def test_nothing_follows_the_end(apart: bool) -> None:
    """Not even an exception that the upstream sends after a complete answer, nor figures."""
    wire = b"".join(message(chunk) for chunk in (
        b'{"type":"message_start","message":{"id":"m","model":"m","content":[],"usage":{}}}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}',
        b'{"type":"message_stop"}',
    ))  # fmt: skip
    late = eventstream.exception("throttlingException", b'{"message":"Slow"}')
    decoder = CLAUDE.stream_decoder()
    events = decoder.feed(wire) + decoder.feed(late) if apart else decoder.feed(wire + late)
    assert kinds(events) == ["Start", "Finish", "End"]
    assert decoder.close() == []
    figures = message(b'{"type":"ping","%b":{"inputTokenCount":1}}' % MEMBER.encode())
    decoder = CLAUDE.stream_decoder()
    events = decoder.feed(wire) + decoder.feed(figures) if apart else decoder.feed(wire + figures)
    assert kinds(events) == ["Start", "Finish", "End"]


def test_nothing_is_told_after_a_failure_not_even_metrics() -> None:
    assert CLAUDE.as_sse is not None
    decoder = CLAUDE.as_sse.stream_decoder()
    metrics = {"type": "message_stop", MEMBER: {"inputTokenCount": 1}}
    broken = {"type": "message_start", "message": "none"}
    events = decoder.feed(b"".join(sse.frame(json.encode(one)) for one in (broken, metrics, metrics)))
    assert kinds(events) == ["Failure"]
    assert decoder.feed(sse.frame(json.encode(metrics))) == decoder.close() == []
