"""Real traffic of Converse, where it lies beside the repository: nothing of it gets lost on the way through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.events import End, Event
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.bedrock_converse import DIALECT, decode_count_response, encode_count_request
from wye.dialects.dialect import Dialect, Quirks
from wye.kernel import json

SHARED = Path(__file__).parents[3] / "shared"
RECORDINGS = SHARED / "recordings"
CAPTURES = SHARED / "captures"
SSE = DIALECT.as_sse or DIALECT


@pytest.fixture
def recordings() -> list[dict[str, Any]]:
    if not RECORDINGS.is_dir():
        pytest.skip("there are no recordings beside the repository")
    entries = json.decode((RECORDINGS / "index.json").read_bytes())["entries"]
    return [entry for entry in entries if entry["api"].startswith(("bedrock_converse", "bedrock_count"))]


@pytest.fixture
def requests(recordings: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    paths = [RECORDINGS / entry["request_file"] for entry in recordings if entry["request_file"]]
    found = [(path.name, json.decode(path.read_bytes())) for path in paths]
    for path in sorted(CAPTURES.glob("*/*.json")):
        capture = json.decode(path.read_bytes())
        if capture["path"].endswith(("/converse", "/converse-stream", "/count-tokens")):
            found.append((f"{path.parent.name}/{path.name}", capture["body"]))
    return found


def plain(value: Any) -> Any:
    """Without what says nothing (nulls, empty objects and arrays), and with turns that alternate."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {
        name: plain(member)
        for name, member in value.items()
        if member is not None and (member not in ({}, []) or name in ("auto", "any", "input", "content"))
    }
    if "messages" in members:
        members["messages"] = alternating(members["messages"])
    return members


def alternating(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours of one role are one turn, in which the results of tools go first."""
    joined: list[dict[str, Any]] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            blocks = [*joined[-1]["content"], *message["content"]]
            joined[-1] = {**message, "content": sorted(blocks, key=lambda block: "toolResult" not in block)}
        else:
            joined.append(message)
    return joined


def answered(body: dict[str, Any]) -> dict[str, Any]:
    """The metrics are required, which not every server knows."""
    return plain({"metrics": {"latencyMs": 0}, **body})


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


def test_real_requests_come_out_as_they_came_in(requests: list[tuple[str, dict[str, Any]]]) -> None:
    for name, body in requests:
        losses = Losses()
        if "input" in body:
            if "converse" in body["input"]:
                assert DIALECT.decode_count is not None
                said = encode_count_request(DIALECT.decode_count(body), losses, Quirks())
            else:
                continue
        else:
            said = DIALECT.encode_request(DIALECT.decode_request(body), losses, Quirks())
        assert plain(said) == plain(body), name
        assert losses == [], name


def test_real_answers_come_out_as_they_came_in(recordings: list[dict[str, Any]]) -> None:
    for entry in recordings:
        body = json.decode((RECORDINGS / entry["response_file"]).read_bytes()) if entry["format"] == "json" else {}
        if entry["status"] >= 400:
            error = DIALECT.decode_error(entry["status"], {}, json.encode(body))
            assert DIALECT.encode_error(error, "") == body, entry["id"]
        elif "inputTokens" in body:
            assert decode_count_response(body) == body["inputTokens"], entry["id"]
        elif body:
            losses = Losses()
            answer = DIALECT.decode_response(body)
            assert answered(DIALECT.encode_response(answer, losses)) == answered(body), entry["id"]
            assert losses == [], entry["id"]
            for dialect in (DIALECT, SSE):
                again = fold(events_of(dialect, encoded(dialect, unfold(answer)), 1 << 20))
                assert answered(DIALECT.encode_response(again, losses)) == answered(body), entry["id"]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_real_streams_hold_the_same_answer_however_they_are_cut(recordings: list[dict[str, Any]], size: int) -> None:
    for entry in recordings:
        if entry["format"] == "eventstream":
            wire = (RECORDINGS / entry["response_file"]).read_bytes()
            events = events_of(DIALECT, wire, size)
            assert events == events_of(DIALECT, wire, len(wire)), entry["id"]
            assert isinstance(events[-1], End), entry["id"]
            body = DIALECT.encode_response(fold(events), Losses())
            for dialect in (DIALECT, SSE):
                again = fold(events_of(dialect, encoded(dialect, events), size))
                assert DIALECT.encode_response(again, Losses()) == body, entry["id"]
