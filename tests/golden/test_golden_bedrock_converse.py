"""The corpus of Converse: decoded and encoded again, each case says the same.

Streams are kept as server-sent events, which people can read; the binary frames are made of them here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.events import Event
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.bedrock_converse import DIALECT
from wye.dialects.dialect import Dialect, Quirks
from wye.kernel import eventstream, json, sse

CORPUS = Path(__file__).parent / "bedrock_converse"
STREAMS = sorted(path.stem for path in CORPUS.glob("streams/*.sse"))
RESPONSES = sorted(path.stem for path in CORPUS.glob("responses/*.json"))
SSE = DIALECT.as_sse or DIALECT


def load(kind: str, name: str) -> dict[str, Any]:
    return json.decode((CORPUS / kind / f"{name}.json").read_bytes())


def wire_of(dialect: Dialect, name: str) -> bytes:
    text = (CORPUS / "streams" / f"{name}.sse").read_bytes()
    if dialect is SSE:
        return text
    return b"".join(eventstream.message(frame.event or "", frame.data) for frame in sse.parse(text))


def events_of(dialect: Dialect, wire: bytes, size: int) -> list[Event]:
    decoder = dialect.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


def encoded(dialect: Dialect, events: list[Event]) -> bytes:
    losses = Losses()
    encoder = dialect.stream_encoder(ChatRequest(model="", messages=[]), losses)
    wire = b"".join(encoder.encode(event) for event in events)
    assert losses == []
    return wire


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("requests/*.json")))
def test_a_request_comes_out_as_it_came_in_or_as_its_note_says(name: str) -> None:
    case = load("requests", name)
    losses = Losses()
    assert ("said" in case) == ("note" in case)
    said = DIALECT.encode_request(DIALECT.decode_request(case["wire"]), losses, Quirks())
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


@pytest.mark.parametrize("dialect", [DIALECT, SSE], ids=["binary", "sse"])
@pytest.mark.parametrize("name", RESPONSES)
def test_an_answer_told_as_events_is_the_same_answer(name: str, dialect: Dialect) -> None:
    answer = DIALECT.decode_response(load("responses", name))
    assert fold(events_of(dialect, encoded(dialect, unfold(answer)), 1 << 20)) == answer


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("dialect", [DIALECT, SSE], ids=["binary", "sse"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_holds_the_same_answer_however_it_is_cut(name: str, dialect: Dialect, size: int) -> None:
    events = events_of(dialect, wire_of(dialect, name), size)
    assert fold(events) == DIALECT.decode_response(load("responses", name))
    assert events_of(dialect, encoded(dialect, events), size) == events


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("errors/*.json")))
def test_an_error_comes_out_as_it_came_in(name: str) -> None:
    case = load("errors", name)
    error = DIALECT.decode_error(
        case["status"], {b"x-amzn-errortype": case["type"].encode()}, json.encode(case["body"])
    )
    assert error.status == case["status"]
    assert DIALECT.encode_error(error, "") == case["body"]
    assert DIALECT.error_headers is not None
    assert DIALECT.error_headers(error) == [(b"x-amzn-errortype", case["type"].encode())]
