"""The tap sees every frame that matters, and no text of the model can pass for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.events import End, Failure, Finish, UsageReport
from wye.canon.usage import Usage
from wye.dialects.openai_responses import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadAnswer, UpstreamRefused
from wye.kernel.sse import frame, split

TAP = DIALECT.tap
STREAMS = Path(__file__).parents[3] / "golden" / "openai_responses" / "streams"


def spaced(value: Any) -> bytes:
    """JSON as a serializer of default settings writes it, and then some."""
    return json.encode(value).replace(b'":', b'" : ').replace(b",", b", ")


@pytest.mark.parametrize("written", [json.encode, spaced])
@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ({"type": "response.completed", "response": {}}, True),
        ({"sequence_number": 1, "type": "response.incomplete"}, True),
        ({"type": "response.failed"}, True),
        ({"type": "error", "error": {}}, True),
        ({"type": "keepalive", "sequence_number": 3}, True),
        ({"type": "response.created", "response": {"usage": None, "error": None}}, False),
        ({"type": "response.output_text.delta", "delta": 'type":"response.completed"'}, False),
        ({"type": "response.output_text.delta", "delta": '{"type":"error"}'}, False),
        ({"type": "response.output_item.done", "item": {"type": "message", "status": "completed"}}, False),
    ],
)
def test_frames_that_matter_are_found_however_they_are_written(value: Any, seen: bool, written: Any) -> None:
    assert (TAP.markers.search(frame(written(value), value["type"])) is not None) is seen


@pytest.mark.parametrize("name", sorted(path.stem for path in STREAMS.glob("*.sse")))
def test_the_frames_that_are_found_tell_how_a_stream_ended(name: str) -> None:
    """A relay decodes all frames up to the first content, and of the others only those that it finds."""
    decoder, whole = DIALECT.stream_decoder(), DIALECT.stream_decoder()
    wire = (STREAMS / f"{name}.sse").read_bytes()
    frames = split(wire)
    seen = [item for i, item in enumerate(frames) if i < 4 or TAP.markers.search(item)]
    ends = (Finish, UsageReport, End, Failure)
    told = [event for item in seen for event in decoder.feed(item)] + decoder.close()
    all_told = whole.feed(wire) + whole.close()
    assert [e for e in told if isinstance(e, ends)] == [e for e in all_told if isinstance(e, ends)]


def test_the_figures_of_an_answer_are_looked_up() -> None:
    usage: dict[str, Any] = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert TAP.usage_of(json.encode({"output": [], "usage": usage})) == Usage(3, 4)
    usage |= {"input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 1}}
    assert TAP.usage_of(json.encode({"output": [], "usage": usage, "error": None})) == Usage(
        3, 4, 2, reasoning_tokens=1
    )
    assert TAP.usage_of(json.encode({"output": [], "usage": None})) is None


def test_figures_of_the_wrong_type_count_as_unknown() -> None:
    found = TAP.usage_of(json.encode({"output": [], "usage": {"input_tokens": "3", "output_tokens": 4}}))
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == (None, 4)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"output":null}', b"[]", b"\xff"])
def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        TAP.usage_of(body)


def test_an_error_in_the_place_of_an_answer_is_raised() -> None:
    with pytest.raises(UpstreamRefused, match="Full"):
        TAP.usage_of(json.encode({"output": [], "error": {"code": "server_error", "message": "Full"}}))


def test_a_stream_that_forgot_its_end_is_given_one() -> None:
    assert TAP.terminator == b"data: [DONE]\n\n"
