from __future__ import annotations

from typing import Any

import pytest

from wye.dialects import aws_errors
from wye.dialects.refusal import MAX_MESSAGE, decode_refusal, refusal_of
from wye.kernel import clock, json
from wye.kernel.errors import UpstreamRefused


@pytest.mark.parametrize(
    ("body", "message", "kind", "code", "param"),
    [
        ({"error": {"message": "No", "type": "t", "code": "c", "param": "p"}}, "No", "t", "c", "p"),
        ({"error": {"message": "No", "type": 1, "code": 400, "param": ["p"]}}, "No", None, None, None),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "No"}}, "No", "overloaded_error", None,
         None),
        ({"error": {"message": "No", "details": {"error_code": "c", "param": "p"}}}, "No", None, "c", "p"),
        ({"object": "error", "message": "No", "type": "BadRequestError", "code": 400}, "No", "BadRequestError", None,
         None),
        ({"error": "No"}, "No", None, None, None),
        ({"message": "No"}, "No", None, None, None),
        ({"Message": "No"}, "No", None, None, None),
        ({"detail": "No"}, "No", None, None, None),
        ({"detail": [{"loc": ["body"], "msg": "No"}]}, '[{"loc":["body"],"msg":"No"}]', None, None, None),
        ("No", "No", None, None, None),
        (["No"], '["No"]', None, None, None),
    ],
)  # fmt: skip
def test_a_refusal_is_understood_whoever_wrote_it(
    body: Any, message: str, kind: str | None, code: str | None, param: str | None
) -> None:
    error = decode_refusal(400, {}, json.encode(body))
    assert (error.status, error.message, error.kind, error.param) == (400, message, kind, param)
    assert error.code == (code or UpstreamRefused.code)


TOO_LONG = [
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "prompt is too long: 210034 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
    "Input is too long for requested model.",
    "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
    "The input token count (1189808) exceeds the maximum number of tokens allowed (1048575).",
    "This model's maximum prompt length is 131072 but the request contains 153012 tokens.",
    "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens",
    "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
]


@pytest.mark.parametrize("message", TOO_LONG)
def test_an_input_that_is_too_long_has_one_code_in_whatever_words(message: str) -> None:
    assert decode_refusal(400, {}, json.encode({"message": message})).code == "context_length_exceeded"
    error = aws_errors.decode_error(
        400, {b"x-amzn-errortype": b"ValidationException"}, json.encode({"message": message})
    )
    assert (error.code, error.kind) == ("context_length_exceeded", "ValidationException")
    assert decode_refusal(500, {}, json.encode({"message": message})).code == UpstreamRefused.code


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
        "Invalid 'input': string too long. Expected a string with maximum length 10",
        "The content was refused by the content policy",
        "messages: at least one message is required",
    ],
)
def test_what_no_larger_model_would_take_is_not_too_long_for_its_context(message: str) -> None:
    assert decode_refusal(400, {}, json.encode({"message": message})).code == UpstreamRefused.code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><title>Bad\n gateway</title></html>", "The upstream answered 502: Bad gateway"),
        (b"<html></html>", "The upstream answered 502 without a reason"),
        (b"", "The upstream answered 502 without a reason"),
        (b" \n", "The upstream answered 502 without a reason"),
        (b"{}", "The upstream answered 502: {}"),
        (b"No such\n thing", "The upstream answered 502: No such thing"),
        (b"\xff", "The upstream answered 502: \ufffd"),
        (b"[" * 100_000, f"The upstream answered 502: {'[' * 100_000}"[:MAX_MESSAGE]),
    ],
)
def test_a_body_without_a_reason_is_put_into_words(body: bytes, message: str) -> None:
    assert decode_refusal(502, {}, body).message == message


def test_a_long_message_is_cut() -> None:
    for body in (b"x" * 9000, json.encode({"message": "x" * 9000}), json.encode({"detail": ["x" * 9000]})):
        assert len(decode_refusal(500, {}, body).message) == MAX_MESSAGE


def test_further_details_are_kept_and_the_body_is_not_changed() -> None:
    body = {"error": {"message": "Full", "details": {"error_code": "c", "limit": 8}}}
    error = refusal_of(429, body, "otherwise", 1.5)
    assert (error.code, error.details, error.retry_after_s) == ("c", {"limit": 8}, 1.5)
    assert body == {"error": {"message": "Full", "details": {"error_code": "c", "limit": 8}}}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"-3"}, 0.0),
        ({b"retry-after": b"7", b"retry-after-ms": b"1500"}, 1.5),
        ({b"retry-after": b"7", b"retry-after-ms": b"?"}, 7.0),
        ({b"retry-after": b"Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({b"retry-after": b"Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({b"retry-after": b"Tue, 14 Nov 99999 22:00:00 GMT"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"\xff"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
    ],
)
def test_the_time_to_wait_is_read_in_all_its_forms(
    headers: dict[bytes, bytes], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "wall_s", lambda: 1700000000.0)
    assert decode_refusal(429, headers, b"{}").retry_after_s == seconds
