"""Headers of InvokeModel, whatever the family."""

from __future__ import annotations

from typing import Any

import pytest

from wye.canon.events import Start
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.claude import DIALECT as CLAUDE
from wye.dialects.bedrock_invoke.headers import HEADERS, decode_answer, decode_request, encode_answer, encode_request
from wye.kernel.errors import BadRequest

GUARD = {
    b"x-amzn-bedrock-guardrailidentifier": b"gr1",
    b"x-amzn-bedrock-guardrailversion": b"DRAFT",
    b"x-amzn-bedrock-trace": b"ENABLED_FULL",
}
SERVED = {
    **GUARD,
    b"x-amzn-bedrock-performanceconfig-latency": b"optimized",
    b"x-amzn-bedrock-service-tier": b"flex",
    b"x-amzn-bedrock-request-metadata": b'{"team":"docs"}',
}
CONVERSE = {
    "guardrailConfig": {"guardrailIdentifier": "gr1", "guardrailVersion": "DRAFT", "trace": "enabled_full"},
    "performanceConfig": {"latency": "optimized"},
}


GUARDED = {"streamProcessingMode": "async", "trace": "enabled"}


def asked(**members: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=[Message("user", [Text("Hi")])], **members)


def test_what_a_request_asks_for_in_headers_is_what_converse_has_in_its_body() -> None:
    request = decode_request(asked(extras={"bedrock_titan": {"x": 1}}), {b"host": b"h", **SERVED})
    assert request == asked(
        service_tier="flex", metadata={"team": "docs"}, extras={"bedrock_titan": {"x": 1}, "bedrock_converse": CONVERSE}
    )
    left, headers = encode_request(request, Losses())
    assert (left, headers) == (asked(extras={"bedrock_titan": {"x": 1}}), SERVED)


def test_headers_that_ask_for_nothing_change_nothing() -> None:
    told = asked(service_tier="flex", metadata={"a": "b"})
    assert decode_request(told, {b"content-type": b"application/json"}) == told
    assert encode_request(asked(), Losses()) == (asked(), {})


@pytest.mark.parametrize("tags", [b"{", b"[]", b"\xff"])
def test_tags_that_are_no_object_are_refused(tags: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(asked(), {b"x-amzn-bedrock-request-metadata": tags})
    assert caught.value.param == "requestMetadata"


@pytest.mark.parametrize(
    ("members", "left", "headers"),
    [
        ({"service_tier": "standard_only"}, {}, {b"x-amzn-bedrock-service-tier": b"default"}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}, {}),
        ({"metadata": {}}, {"metadata": {}}, {}),
        ({"metadata": {"a": "\u00e9"}}, {"metadata": {"a": "\u00e9"}}, {}),
        ({"metadata": {"a": "b" * 8500}}, {"metadata": {"a": "b" * 8500}}, {}),
        (
            {
                "extras": {
                    "bedrock_converse": {"guardrailConfig": {"trace": "enabled", "streamProcessingMode": "async"}}
                }
            },
            {"extras": {"bedrock_converse": {"guardrailConfig": {"streamProcessingMode": "async"}}}},
            {b"x-amzn-bedrock-trace": b"ENABLED"},
        ),
        (
            {"extras": {"bedrock_converse": {"performanceConfig": {"latency": "a\r\nb: c"}, "x": 1}}},
            {"extras": {"bedrock_converse": {"performanceConfig": {"latency": "a\r\nb: c"}, "x": 1}}},
            {},
        ),
    ],
)
def test_what_no_header_can_say_is_left_to_the_body(
    members: dict[str, Any], left: dict[str, Any], headers: dict[bytes, bytes]
) -> None:
    assert encode_request(asked(**members), Losses()) == (asked(**left), headers)


def test_claude_s_own_client_names_previews_in_a_header_too() -> None:
    assert CLAUDE.headers is not None
    said = {b"anthropic-beta": b"b-2", **GUARD}
    request = CLAUDE.headers.decode_request(asked(betas=["a-1"]), said)
    assert request.betas == ["a-1", "b-2"]
    assert request.extras == {"bedrock_converse": {"guardrailConfig": CONVERSE["guardrailConfig"]}}


COUNTED = {
    b"x-amzn-bedrock-input-token-count": b"7",
    b"x-amzn-bedrock-output-token-count": b"3",
    b"x-amzn-bedrock-cache-read-input-token-count": b"4",
    b"x-amzn-bedrock-cache-write-input-token-count": b"2",
}


@pytest.mark.parametrize(
    ("headers", "start"),
    [
        ({b"x-amzn-requestid": b"r"}, None),
        ({b"x-amzn-bedrock-input-token-count": b"-1", b"x-amzn-bedrock-output-token-count": b""}, None),
        ({b"x-amzn-bedrock-input-token-count": b"9" * 5000}, None),
        (COUNTED, Start("", "", usage=Usage(13, 3, 4, 2))),
        ({b"x-amzn-bedrock-input-token-count": b"7"}, Start("", "", usage=Usage(7))),
        ({b"x-amzn-bedrock-output-token-count": b"3"}, Start("", "", usage=Usage(None, 3))),
        ({b"x-amzn-bedrock-service-tier": b"flex"}, Start("", "", service_tier="flex")),
        (
            {b"x-amzn-bedrock-performanceconfig-latency": b"optimized"},
            Start("", "", extras={"bedrock_converse": {"performanceConfig": {"latency": "optimized"}}}),
        ),
    ],
)
def test_what_an_answer_tells_in_headers(headers: dict[bytes, bytes], start: Start | None) -> None:
    assert decode_answer(headers) == start


def test_an_answer_says_how_it_was_served() -> None:
    extras = {"bedrock_converse": {"performanceConfig": {"latency": "optimized"}, "trace": {}}, "openai_chat": {"x": 1}}
    start = Start("i", "m", 1, Usage(13, 3, 4, 2), "standard", extras)
    served = {b"x-amzn-bedrock-performanceconfig-latency": b"optimized", b"x-amzn-bedrock-service-tier": b"default"}
    left = {"bedrock_converse": {"trace": {}}, "openai_chat": {"x": 1}}
    assert encode_answer(start, False, 250) == (
        Start("i", "m", 1, Usage(13, 3, 4, 2), None, left),
        {**served, b"x-amzn-bedrock-invocation-latency": b"250", **COUNTED},
    )
    assert encode_answer(start, True, None)[1] == {**served, b"x-amzn-bedrock-content-type": b"application/json"}


def test_figures_that_nobody_knows_are_not_made_up() -> None:
    assert encode_answer(Start("", "", service_tier="batch"), False, 1) == (
        Start("", "", service_tier="batch"),
        {b"x-amzn-bedrock-invocation-latency": b"1"},
    )
    assert encode_answer(Start("", "", usage=Usage(None, None)), False, 1)[1] == {
        b"x-amzn-bedrock-invocation-latency": b"1",
        b"x-amzn-bedrock-input-token-count": b"0",
        b"x-amzn-bedrock-output-token-count": b"0",
    }
    assert HEADERS.passed_on == b"x-amzn-bedrock-"
