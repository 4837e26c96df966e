"""The corpus of the older API of text completions: decoded and encoded again, each case says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.events import Event
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Quirks
from wye.dialects.openai_completions import DIALECT
from wye.kernel import json

CORPUS = Path(__file__).parent / "openai_completions"
STREAMS = sorted(path.stem for path in CORPUS.glob("streams/*.sse"))
RESPONSES = sorted(path.stem for path in CORPUS.glob("responses/*.json"))


def load(kind: str, name: str) -> dict[str, Any]:
    return json.decode((CORPUS / kind / f"{name}.json").read_bytes())


def events_of(wire: bytes, size: int) -> list[Event]:
    decoder = DIALECT.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


def encoded(events: list[Event]) -> bytes:
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), losses)
    wire = b"".join(encoder.encode(event) for event in events)
    assert losses == []
    assert wire.endswith(b"}\n\ndata: [DONE]\n\n")
    return wire


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("requests/*.json")))
def test_a_request_comes_out_as_it_came_in_or_as_its_note_says(name: str) -> None:
    case = load("requests", name)
    losses = Losses()
    assert ("said" in case) == ("note" in case)
    request = DIALECT.decode_request(case["wire"])
    said = DIALECT.encode_request(request, losses, Quirks())
    assert said == case.get("said", case["wire"])
    assert losses == []
    assert case == load("requests", name), "decoding changed the body"


@pytest.mark.parametrize("name", RESPONSES)
def test_an_answer_comes_out_as_it_came_in(name: str) -> None:
    body = load("responses", name)
    losses = Losses()
    assert DIALECT.encode_response(DIALECT.decode_response(body), losses) == body
    assert losses == []
    assert body == load("responses", name), "decoding changed the body"


@pytest.mark.parametrize("name", RESPONSES)
def test_an_answer_told_as_events_is_the_same_answer(name: str) -> None:
    answer = DIALECT.decode_response(load("responses", name))
    assert fold(events_of(encoded(unfold(answer)), 1 << 20)) == answer


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_holds_the_same_answer_however_it_is_cut(name: str, size: int) -> None:
    wire = (CORPUS / "streams" / f"{name}.sse").read_bytes()
    events = events_of(wire, size)
    answer = DIALECT.decode_response(load("responses", name))
    assert fold(events) == answer
    assert events == events_of(wire, len(wire))
    again = encoded(events)
    assert fold(events_of(again, size)) == answer
    assert fold(events_of(again.replace(b"\n", b"\r\n"), size)) == answer


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("errors/*.json")))
def test_an_error_comes_out_as_it_came_in(name: str) -> None:
    case = load("errors", name)
    error = DIALECT.decode_error(case["status"], {}, json.encode(case["body"]))
    assert error.status == case["status"]
    assert DIALECT.encode_error(error, case["body"]["request_id"]) == case["body"]
