"""Members of a wrong kind: a request that has them is refused, an answer keeps them."""

from __future__ import annotations

from typing import Any

import pytest

from tests import vendors
from wye.canon.events import End, PartEnd, PartStart, ThinkingDelta
from wye.canon.fold import fold
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Text, Thinking
from wye.dialects.openai_responses import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadRequest
from wye.kernel.sse import frame


def answer(**members: Any) -> dict[str, Any]:
    return {**vendors.response_body([vendors.RESPONSES_OUTPUT[2]]), **members}


def said(body: dict[str, Any]) -> dict[str, Any]:
    return DIALECT.encode_response(DIALECT.decode_response(body), Losses())


def with_text(**members: Any) -> dict[str, Any]:
    (content,) = vendors.RESPONSES_OUTPUT[2]["content"]
    return answer(output=[{**vendors.RESPONSES_OUTPUT[2], "content": [{**content, **members}]}])


def test_an_item_whose_type_is_no_text_is_refused_by_name() -> None:
    with pytest.raises(BadRequest) as refused:
        DIALECT.decode_request({"model": "m", "input": [{"type": ["message"]}]})
    assert refused.value.param == "input[0].type"


@pytest.mark.parametrize("details", [[1], "x", 3])
def test_details_of_usage_in_another_shape_are_said_again(details: Any) -> None:
    body = answer(usage={**vendors.RESPONSES_USAGE, "input_tokens_details": details, "output_tokens_details": details})
    assert said(body)["usage"] == body["usage"]


@pytest.mark.parametrize("logprobs", [["a"], [{"token": "a", "top_logprobs": True}], {"content": []}])
def test_probabilities_in_another_shape_are_said_again(logprobs: Any) -> None:
    body = with_text(logprobs=logprobs)
    assert DIALECT.decode_response(body).choices[0].logprobs is None
    assert said(body)["output"][0]["content"][0]["logprobs"] == logprobs


@pytest.mark.parametrize("annotation", [{"type": []}, {"type": "citation", "kind": {}}])
def test_annotations_in_another_shape_are_said_again(annotation: Any) -> None:
    body = with_text(annotations=[annotation])
    assert said(body)["output"][0]["content"][0]["annotations"] == [annotation]


def test_probabilities_in_another_shape_do_not_stop_a_stream() -> None:
    events = [b'"logprobs": []', b'"logprobs": ["a"]']
    stream = b"".join(vendors.response_stream([vendors.RESPONSES_OUTPUT[2]])).replace(*events)
    decoder = DIALECT.stream_decoder()
    (part,) = fold(decoder.feed(stream) + decoder.close()).choices[0].parts
    assert isinstance(part, Text)
    assert part.text == vendors.WORD


def test_an_item_may_end_as_something_else_than_it_began() -> None:
    thought = vendors.RESPONSES_OUTPUT[0]
    frames = vendors.response_stream([thought])
    new = {**thought, "summary": [{"type": "picture"}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": new}
    at = next(i for i, piece in enumerate(frames) if b"output_item.done" in piece)
    decoder = DIALECT.stream_decoder()
    stream = b"".join([*frames[:at], frame(json.encode(done), done["type"]), *frames[at + 1 :]])
    events = decoder.feed(stream) + decoder.close()
    told = [event for event in events if isinstance(event, PartStart | PartEnd | ThinkingDelta)]
    assert told[0] == PartStart(0, Thinking(id="rs_1", origin="openai"))
    assert told[-3:] == [PartEnd(0), PartStart(1, Opaque("openai_responses", new)), PartEnd(1)]
    assert events[-1] == End()
