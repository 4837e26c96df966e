"""The odd ends of upstreams' streams: what is not as the API says it, and is understood or refused all the same."""

from __future__ import annotations

from typing import Any

import pytest

from wye.canon.events import (
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Ping,
    Start,
    TextDelta,
)
from wye.canon.parts import Opaque, Refusal
from wye.dialects.openai_responses import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadAnswer, StreamCut
from wye.kernel.sse import frame

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "output": []}}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}}


def wire(*events: dict[str, Any]) -> bytes:
    return b"".join(frame(json.encode(event), event["type"]) for event in events)


def decode(data: bytes) -> list[Event]:
    decoder = DIALECT.stream_decoder()
    return [*decoder.feed(data), *decoder.close()]


def added(place: int, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": place, "item": item}


def text(delta: Any, place: int = 0, content: int = 0) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": place, "content_index": content, "delta": delta}


def test_after_the_end_nothing_more_is_heard() -> None:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(wire(CREATED, COMPLETED) + b"data: [DONE]\n\n" + wire(text("late")))
    assert isinstance(events[-1], End)
    assert decoder.feed(wire(text("later"))) == []
    assert decoder.close() == []


def test_after_the_answer_nothing_is_said_before_the_terminator() -> None:
    late = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}
    assert decode(wire(CREATED, COMPLETED, late)) == decode(wire(CREATED, COMPLETED))


def test_two_ends_are_one() -> None:
    events = decode(wire(CREATED, COMPLETED) + b"data: [DONE]\n\ndata: [DONE]\n\n")
    assert [type(event) for event in events].count(End) == 1


def test_the_terminator_alone_is_no_end() -> None:
    events = decode(wire(CREATED) + b"data: [DONE]\n\n")
    assert isinstance(events[-1], Failure)
    assert isinstance(events[-1].error, StreamCut)


@pytest.mark.parametrize("last", [b"data: {\n\n", b"data: 7\n\n", b'data: {"type":"response.comp'])
def test_what_is_no_event_ends_in_one_failure(last: bytes) -> None:
    events = decode(wire(CREATED) + last)
    assert isinstance(events[-1], Failure)
    assert [type(event) for event in events].count(Failure) == 1
    if last.endswith(b"\n"):
        assert isinstance(events[-1].error, BadAnswer)


def test_a_broken_event_that_the_end_of_the_stream_completes() -> None:
    """Without its blank line an event is seen at the close only."""
    decoder = DIALECT.stream_decoder()
    decoder.feed(wire(CREATED) + b"data: {\n")
    (failure,) = decoder.close()
    assert isinstance(failure, Failure)


def test_a_delta_that_is_no_text_says_that_the_upstream_is_alive_or_is_carried() -> None:
    events = decode(wire(CREATED, text(7), added(0, type="message", id="msg_1"), text("a"), text(7), COMPLETED))
    assert [type(event) for event in events[:5]] == [Start, Ping, PartStart, TextDelta, OpaqueDelta]


def test_an_item_begun_twice_is_begun_once() -> None:
    item = {"type": "web_search_call", "id": "ws_1"}
    events = decode(wire(CREATED, added(0, **item), added(0, **item), COMPLETED))
    assert [event for event in events if isinstance(event, PartStart)] == [
        PartStart(0, Opaque("openai_responses", item))
    ]


def test_an_end_without_output_closes_what_is_open() -> None:
    events = decode(wire(CREATED, added(0, type="message"), text("a"), COMPLETED))
    assert [type(event) for event in events] == [Start, PartStart, TextDelta, PartEnd, Finish, End]


def test_a_part_of_a_message_that_nobody_knows_is_carried() -> None:
    part = {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {"type": "hologram"}}
    events = decode(wire(CREATED, added(0, type="message"), part, COMPLETED))
    assert Ping() in events


def test_a_refusal_that_only_its_items_end_tells() -> None:
    item = {"type": "message", "id": "msg_1", "content": [{"type": "refusal", "refusal": "No"}]}
    begun = {"type": "response.content_part.added", "output_index": 0, "content_index": 0}
    part = {**begun, "part": {"type": "refusal", "refusal": ""}}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    events = decode(wire(CREATED, added(0, type="message"), part, done, COMPLETED))
    starts = [event.part for event in events if isinstance(event, PartStart)]
    assert [type(part) for part in starts] == [Refusal]
    assert any(getattr(event, "text", "") == "No" for event in events)


def test_reasoning_that_only_its_items_end_tells() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    events = decode(wire(CREATED, added(0, type="reasoning", id="rs_1", summary=[]), done, COMPLETED))
    assert any(getattr(event, "text", "") == "Hm" for event in events)


def test_an_item_ended_twice_is_ended_once() -> None:
    item = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    events = decode(wire(CREATED, done, done, COMPLETED))
    assert [type(event) for event in events].count(PartEnd) == 1
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Hi"]


def test_an_end_that_does_not_say_how_is_an_end_all_the_same() -> None:
    ended = {"type": "response.completed", "response": {"id": "resp_1", "status": "in_progress", "output": []}}
    events = decode(wire(CREATED, ended))
    assert isinstance(events[-1], End)
    assert not [event for event in events if isinstance(event, Finish)]


def test_an_annotation_that_nobody_understands_is_carried_whole() -> None:
    note = {
        "type": "response.output_text.annotation.added",
        "output_index": 0,
        "content_index": 0,
        "annotation": {"type": "hologram"},
    }
    events = decode(wire(CREATED, added(0, type="message"), text("a"), note, COMPLETED))
    assert not [event for event in events if isinstance(event, CitationDelta)]
    assert [event.value["annotation"] for event in events if isinstance(event, OpaqueDelta)] == [{"type": "hologram"}]
