"""The tap sees every frame that matters, and no text of the model can pass for one."""

from __future__ import annotations

import pytest

from wye.canon.usage import Usage
from wye.dialects.openai_chat import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadAnswer, BadRequest, UpstreamRefused
from wye.kernel.sse import frame

TAP = DIALECT.tap
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def compact(value: object) -> bytes:
    return json.encode(value)


def spaced(value: object) -> bytes:
    """JSON as a serializer of default settings writes it, and then some."""
    text = json.encode(value)
    return text.replace(b'":', b'" : ').replace(b",", b", ").replace(b"[]", b"[ ]")


def chunk(delta: object, finish: str | None = None, **members: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **members}


@pytest.mark.parametrize("written", [compact, spaced])
@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (chunk({}, "stop"), True),
        (chunk({"content": "a"}, "length"), True),
        (chunk({"content": "a"}, usage=USAGE), True),
        ({"choices": [], "usage": USAGE}, True),
        ({"error": {"message": "No"}}, True),
        ({"error": "No"}, True),
        (chunk({"role": "assistant", "content": ""}), False),
        (chunk({"content": "a"}, usage=None, error=None), False),
        (chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"error":{"usage":{}}}'}}]}), False),
    ],
)
def test_frames_that_matter_are_found_however_they_are_written(value: object, seen: bool, written: object) -> None:
    assert callable(written)
    assert (TAP.markers.search(frame(written(value))) is not None) is seen


@pytest.mark.parametrize("written", [compact, spaced])
@pytest.mark.parametrize(
    "text",
    [
        '"finish_reason":"stop"',
        '"usage":{',
        '"error":{"',
        "\ndata: [DONE]\n",
        "\nevent: error\n",
        '\\"usage":{',
        '\\\\"',
    ],
)
def test_no_text_of_the_model_looks_like_a_marker(text: str, written: object) -> None:
    # In JSON every quote and line break of a string is escaped, so neither pattern can begin inside of one.
    assert callable(written)
    value = chunk({"content": text, "refusal": text + '"', "tool_calls": [{"function": {"arguments": text}}]})
    assert TAP.markers.search(frame(written(value))) is None


@pytest.mark.parametrize("written", [compact, spaced])
@pytest.mark.parametrize(
    ("value", "only"),
    [
        ({"choices": [], "usage": USAGE}, True),
        ({"usage": USAGE, "choices": []}, True),
        (chunk({}, "stop", usage=USAGE), False),
        ({"choices": [], "usage": None}, False),
        ({"choices": [], "prompt_filter_results": []}, False),
    ],
)
def test_a_frame_that_only_reports_usage_can_be_left_out(value: object, only: bool, written: object) -> None:
    assert callable(written)
    assert TAP.unasked_usage is not None
    assert (TAP.unasked_usage.search(frame(written(value))) is not None) is only


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (b"{}", {"include_usage": True}, True),
        (b'{"stream_options":null}', {"include_usage": True}, True),
        (b'{"stream_options":{"include_usage":false}}', {"include_usage": True}, True),
        (
            b'{"stream_options":{"include_obfuscation":false}}',
            {"include_obfuscation": False, "include_usage": True},
            True,
        ),
        (b'{"stream_options":{"include_usage":true}}', {"include_usage": True}, False),
    ],
)
def test_usage_is_asked_for_once(before: bytes, after: object, changed: bool) -> None:
    assert TAP.ask_usage is not None
    members = json.split_object(before)
    assert TAP.ask_usage(members) is changed
    assert json.decode(json.encode(members)) == {"stream_options": after}


def test_stream_options_of_another_type_are_refused() -> None:
    assert TAP.ask_usage is not None
    with pytest.raises(BadRequest) as caught:
        TAP.ask_usage(json.split_object(b'{"stream_options":5}'))
    assert caught.value.param == "stream_options"


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"choices": []}, None),
        ({"choices": [], "usage": None, "error": None}, None),
        ({"choices": [], "usage": USAGE}, Usage(3, 4)),
        ({"choices": [], "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 2}}}, Usage(3, 4, 2)),
    ],
)
def test_the_figures_of_an_answer_are_looked_up(body: object, usage: Usage | None) -> None:
    assert TAP.usage_of(json.encode(body)) == usage


def test_figures_of_the_wrong_type_count_as_unknown() -> None:
    found = TAP.usage_of(b'{"choices":[],"usage":{"prompt_tokens":"many","completion_tokens":4}}')
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == (None, 4)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}"])
def test_what_is_no_answer_has_no_figures(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        TAP.usage_of(body)


def test_an_error_in_place_of_an_answer_is_raised() -> None:
    with pytest.raises(UpstreamRefused, match="No"):
        TAP.usage_of(b'{"choices":[],"error":{"message":"No"}}')
