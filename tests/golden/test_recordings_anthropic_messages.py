"""Real traffic of the Messages API, where it lies beside the repository: nothing of it gets lost on the way through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.events import End, Event
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.anthropic_messages import DIALECT, decode_count_request, encode_count_request
from wye.dialects.dialect import Quirks
from wye.kernel import json

SHARED = Path(__file__).parents[3] / "shared"
RECORDINGS = SHARED / "recordings"
CAPTURES = SHARED / "captures"


@pytest.fixture
def recordings() -> list[dict[str, Any]]:
    if not RECORDINGS.is_dir():
        pytest.skip("there are no recordings beside the repository")
    entries = json.decode((RECORDINGS / "index.json").read_bytes())["entries"]
    return [entry for entry in entries if entry["api"] == "anthropic_messages"]


@pytest.fixture
def requests(recordings: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    paths = [RECORDINGS / entry["request_file"] for entry in recordings if entry["request_file"]]
    found = [(path.name, json.decode(path.read_bytes())) for path in paths]
    for path in sorted(CAPTURES.glob("*/*.json")):
        capture = json.decode(path.read_bytes())
        if "/v1/messages" in capture["path"] and isinstance(capture["body"], dict):
            found.append((f"{path.parent.name}/{path.name}", capture["body"]))
    return found


def plain(value: Any) -> Any:
    """Without what says nothing (nulls, empty arrays, defaults), lone texts as strings, turns that alternate."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: plain(member) for name, member in value.items() if member not in (None, [])}
    if members.get("stream") is False:
        del members["stream"]
    if members.get("type") == "custom":
        del members["type"]
    for name in ("content", "system"):
        match members.get(name):
            case [{"type": "text", "text": str(text), **more}] if not more and "stop_reason" not in members:
                members[name] = text
    if "messages" in members:
        members["messages"] = alternating(members["messages"])
    return members


def alternating(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    joined: list[dict[str, Any]] = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if joined and joined[-1]["role"] == message["role"] != "system":
            joined[-1]["content"] = [*joined[-1]["content"], *blocks]
        else:
            joined.append({"role": message["role"], "content": blocks})
    return joined


def events_of(wire: bytes, size: int) -> list[Event]:
    decoder = DIALECT.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


def encoded(events: list[Event]) -> bytes:
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="claude", messages=[]), losses)
    wire = b"".join(encoder.encode(event) for event in events)
    assert losses == []
    return wire


def test_real_requests_come_out_as_they_came_in(requests: list[tuple[str, dict[str, Any]]]) -> None:
    for name, body in requests:
        losses = Losses()
        said = encode_count_request(decode_count_request(body), losses, Quirks())
        for member in body.keys() - said.keys():
            said[member] = DIALECT.encode_request(decode_count_request(body), losses, Quirks()).get(member)
        assert plain(said) == plain(body), name
        assert losses == [], name


def test_real_answers_come_out_as_they_came_in(recordings: list[dict[str, Any]]) -> None:
    for entry in recordings:
        if entry["format"] == "json":
            body = json.decode((RECORDINGS / entry["response_file"]).read_bytes())
            losses = Losses()
            answer = DIALECT.decode_response(body)
            assert plain(DIALECT.encode_response(answer, losses)) == plain(body), entry["id"]
            assert losses == [], entry["id"]
            assert fold(events_of(encoded(unfold(answer)), 1 << 20)) == answer, entry["id"]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_real_streams_hold_the_same_answer_however_they_are_cut(recordings: list[dict[str, Any]], size: int) -> None:
    for entry in recordings:
        if entry["format"] == "sse":
            wire = (RECORDINGS / entry["response_file"]).read_bytes()
            events = events_of(wire, size)
            assert events == events_of(wire, len(wire)), entry["id"]
            assert isinstance(events[-1], End), entry["id"]
            body = DIALECT.encode_response(fold(events), Losses())
            again = fold(events_of(encoded(events), size))
            assert DIALECT.encode_response(again, Losses()) == body, entry["id"]
