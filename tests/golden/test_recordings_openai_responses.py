"""Real traffic of the Responses API, where it lies beside the repository: nothing of it gets lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.events import End, Event, Failure
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.dialects.dialect import Quirks
from wye.dialects.openai_responses import DIALECT
from wye.kernel import json
from wye.kernel.errors import UpstreamRefused
from wye.kernel.sse import SseDecoder

WITHOUT_PLACES = "vercel-ai__xai-web-search-tool.1_v2"
"""An answer whose citations have no place in its text: they are said to support all of it."""


def entries(recordings: Path, kind: str) -> list[dict[str, Any]]:
    found = json.decode((recordings / "index.json").read_bytes())["entries"]
    apis = ("openai_responses", "openai_responses_retrieve")
    return [e for e in found if e["api"] in apis and e["format"] == kind and e["status"] == 200]


def requests(recordings: Path, captures: Path) -> list[tuple[str, dict[str, Any]]]:
    index = json.decode((recordings / "index.json").read_bytes())["entries"]
    asked = [entry for entry in index if entry["api"] == "openai_responses" and entry["request_file"]]
    found = [(entry["id"], json.decode((recordings / entry["request_file"]).read_bytes())) for entry in asked]
    for path in sorted(captures.glob("*/*.json")):
        capture = json.decode(path.read_bytes())
        if (capture["method"], capture["path"].endswith("/responses")) == ("POST", True):
            found.append((f"{path.parent.name}/{path.name}", capture["body"]))
    return found


def without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(member) for name, member in value.items() if member is not None}


def without_empties(value: Any) -> Any:
    """Some servers leave out the annotations, or the probabilities, of a text that has none."""
    if isinstance(value, list):
        return [without_empties(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: without_empties(member) for name, member in value.items() if member not in (None, [])}


def events_of(wire: bytes, size: int) -> list[Event]:
    decoder = DIALECT.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


def encoded(events: list[Event]) -> bytes:
    losses = Losses()
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), losses)
    wire = b"".join(encoder.encode(event) for event in events)
    assert losses == []
    return wire


def known(answer: ChatResponse) -> ChatResponse:
    """With the figures that are said as 0 where nobody knows them."""
    usage = answer.usage
    if usage is not None:
        usage.cached_tokens, usage.cache_write_tokens = usage.cached_tokens or 0, usage.cache_write_tokens or 0
        usage.reasoning_tokens = usage.reasoning_tokens or 0
    if answer.extras is None:
        answer.extras = DIALECT.decode_response(DIALECT.encode_response(answer, Losses())).extras
    return answer


def test_real_requests_come_out_as_they_came_in(recordings: Path, captures: Path) -> None:
    found = requests(recordings, captures)
    assert len(found) > 100
    for name, body in found:
        losses = Losses()
        said = DIALECT.encode_request(DIALECT.decode_request(body), losses, Quirks())
        assert {"stream": False, **without_nulls(said)} == {"stream": False, **without_nulls(body)}, name
        assert losses == [], name


def test_real_answers_come_out_as_they_came_in(recordings: Path) -> None:
    for entry in entries(recordings, "json"):
        body = json.decode((recordings / entry["response_file"]).read_bytes())
        losses = Losses()
        answer = DIALECT.decode_response(body)
        said = DIALECT.encode_response(answer, losses)
        assert losses == [], entry["id"]
        if not entry["id"].endswith(WITHOUT_PLACES):
            assert without_empties(said["output"]) == without_empties(body["output"]), entry["id"]
        wanted = without_nulls({**body, "output": None, "usage": None, "incomplete_details": None})
        assert {name: said.get(name) for name in wanted} == {name: body[name] for name in wanted}, entry["id"]
        if body["status"] == "completed" and not entry["id"].endswith(WITHOUT_PLACES):
            assert fold(events_of(encoded(unfold(answer)), 1 << 20)) == known(answer), entry["id"]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_real_streams_hold_the_same_answer_however_they_are_cut(recordings: Path, size: int) -> None:
    for entry in entries(recordings, "sse"):
        wire = (recordings / entry["response_file"]).read_bytes()
        events = events_of(wire, size)
        whole = events_of(wire, len(wire))
        if isinstance(whole[-1], Failure):
            assert isinstance(whole[-1].error, UpstreamRefused), entry["id"]
            continue
        assert isinstance(whole[-1], End), entry["id"]
        # An id that the upstream left out is made anew each time.
        assert events[1:] == whole[1:], entry["id"]
        answer = fold(events)
        assert fold(events_of(encoded(events), size)) == known(answer), entry["id"]


def test_real_streams_hold_what_their_last_event_repeats(recordings: Path) -> None:
    compared = 0
    for entry in entries(recordings, "sse"):
        wire = (recordings / entry["response_file"]).read_bytes()
        ends = [json.decode(frame.data) for frame in SseDecoder().feed(wire + b"\n\n") if b".completed" in frame.data]
        ends = [event["response"] for event in ends if event.get("type") == "response.completed"]
        if len(ends) == 1 and "openrouter" not in entry["id"]:  # which gives its items other ids at the end
            said = DIALECT.encode_response(fold(events_of(wire, len(wire))), Losses())
            assert plain(said["output"]) == plain(ends[0]["output"]), entry["id"]
            assert said["service_tier"] == ends[0].get("service_tier"), entry["id"]
            compared += 1
    assert compared > 20


def plain(items: list[dict[str, Any]]) -> Any:
    """What is encrypted is encrypted anew each time it is sent."""
    return [{**item, "encrypted_content": "", "fingerprint": ""} for item in items]
