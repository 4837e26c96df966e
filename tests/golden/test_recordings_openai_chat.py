"""Real traffic of the Chat Completions API, where it lies beside the repository: nothing of it gets lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.events import End, Event
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Quirks
from wye.dialects.openai_chat import DIALECT
from wye.kernel import json
from wye.kernel.errors import CallerError


def entries(recordings: Path, kind: str) -> list[dict[str, Any]]:
    found = json.decode((recordings / "index.json").read_bytes())["entries"]
    return [e for e in found if e["api"] == "openai_chat" and e["format"] == kind and e["status"] == 200]


def requests(recordings: Path, captures: Path) -> list[tuple[str, dict[str, Any]]]:
    index = json.decode((recordings / "index.json").read_bytes())["entries"]
    chats = [entry for entry in index if entry["api"] == "openai_chat" and entry["request_file"]]
    found = [(entry["id"], json.decode((recordings / entry["request_file"]).read_bytes())) for entry in chats]
    for path in sorted(captures.glob("*/*.json")):
        capture = json.decode(path.read_bytes())
        if capture["path"].endswith("/chat/completions") and isinstance(capture["body"], dict):
            found.append((f"{path.parent.name}/{path.name}", capture["body"]))
    return found


def plain(value: Any) -> Any:
    """Without what says nothing (nulls, empty arrays and objects, defaults); lone texts as strings."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: plain(member) for name, member in value.items() if member not in (None, [], {}, "")}
    if members.get("stream") is False:
        del members["stream"]
    if isinstance(members.get("stop"), str):
        members["stop"] = [members["stop"]]
    match members.get("content"):
        case [{"type": "text", "text": str(text), **more}] if not more:
            members["content"] = text
    return members


def events_of(wire: bytes, size: int) -> list[Event]:
    decoder = DIALECT.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


def encoded(events: list[Event]) -> bytes:
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), losses)
    wire = b"".join(encoder.encode(event) for event in events)
    assert losses == []
    return wire


def test_real_requests_come_out_as_they_came_in(recordings: Path, captures: Path) -> None:
    refused = 0
    for name, body in requests(recordings, captures):
        losses = Losses()
        key = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
        try:
            request = DIALECT.decode_request(body)
        except CallerError:
            # What the recorded server refused too: no messages, no model, a limit of 0.
            refused += 1
            assert not body.get("messages") or "model" not in body or body.get(key) == 0, name
            continue
        said = DIALECT.encode_request(request, losses, Quirks(max_tokens_key=key, developer_role=True))
        assert plain(said) == plain(body), name
        assert losses == [], name
    assert refused < 10


def test_real_answers_come_out_as_they_came_in(recordings: Path) -> None:
    for entry in entries(recordings, "json"):
        body = json.decode((recordings / entry["response_file"]).read_bytes())
        losses = Losses()
        answer = DIALECT.decode_response(body)
        assert plain(DIALECT.encode_response(answer, losses)) == plain(body), entry["id"]
        assert losses == [], entry["id"]
        assert fold(events_of(encoded(unfold(answer)), 1 << 20)) == answer, entry["id"]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_real_streams_hold_the_same_answer_however_they_are_cut(recordings: Path, size: int) -> None:
    for entry in entries(recordings, "sse"):
        wire = (recordings / entry["response_file"]).read_bytes()
        events = events_of(wire, size)
        assert events == events_of(wire, len(wire)), entry["id"]
        assert isinstance(events[-1], End), entry["id"]
        answer = fold(events)
        assert fold(events_of(encoded(events), size)) == answer, entry["id"]
        assert DIALECT.decode_response(DIALECT.encode_response(answer, Losses())) == answer, entry["id"]
