from __future__ import annotations

from typing import Any

import pytest

from wye.dialects.anthropic_messages import DIALECT
from wye.kernel import clock, json
from wye.kernel.errors import (
    BadRequest,
    ClockExpired,
    Conflict,
    Forbidden,
    LimitExceeded,
    NotFound,
    OutOfMemory,
    Overloaded,
    StreamCut,
    TooLarge,
    Unauthenticated,
    Unprocessable,
    UpstreamRefused,
    WyeError,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "invalid_request_error"),
        (Unauthenticated("x"), "authentication_error"),
        (Forbidden("x"), "permission_error"),
        (NotFound("x"), "not_found_error"),
        (Conflict("x"), "conflict_error"),
        (TooLarge("x"), "request_too_large"),
        (Unprocessable("x"), "invalid_request_error"),
        (LimitExceeded("x"), "rate_limit_error"),
        (Overloaded("x"), "overloaded_error"),
        (OutOfMemory("x"), "api_error"),
        (ClockExpired("gap_s", 3), "timeout_error"),
        (StreamCut("x"), "api_error"),
        (WyeError("x"), "api_error"),
        (UpstreamRefused("x", status=529), "overloaded_error"),
        (UpstreamRefused("x", status=400, kind="billing_error"), "billing_error"),
        (UpstreamRefused("x", status=429, kind="insufficient_quota"), "rate_limit_error"),
    ],
)
def test_every_error_has_a_type_that_clients_know(error: WyeError, kind: str) -> None:
    body = DIALECT.encode_error(error, "req_1")
    assert body["error"] == {"type": kind, "message": error.message, "details": {"error_code": error.code}}
    assert (body["type"], body["request_id"]) == ("error", "req_1")


def test_details_tell_the_figures_and_the_member_at_fault() -> None:
    error = BadRequest("Too long", param="messages", code="context_overflow", details={"limit": 8})
    assert DIALECT.encode_error(error, "")["error"]["details"] == {
        "error_code": "context_overflow",
        "param": "messages",
        "limit": 8,
    }
    assert "request_id" not in DIALECT.encode_error(error, "")


def test_a_stream_ends_with_an_error_event() -> None:
    wire = DIALECT.encode_stream_error(StreamCut("Cut"), "req_1")
    head, _, data = wire.partition(b"\ndata: ")
    assert head == b"event: error"
    assert data.endswith(b"\n\n")
    assert json.decode(data) == DIALECT.encode_error(StreamCut("Cut"), "req_1")


@pytest.mark.parametrize(
    ("body", "message", "kind", "code", "param"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Full"}}, "Full", "overloaded_error",
         "upstream_error", None),
        ({"error": {"message": "No key", "type": "invalid", "code": "invalid_api_key", "param": "model"}}, "No key",
         "invalid", "invalid_api_key", "model"),
        ({"error": "Just words"}, "Just words", None, "upstream_error", None),
        ({"message": "Refused", "code": 7}, "Refused", None, "upstream_error", None),
        ({"detail": "Not here"}, "Not here", None, "upstream_error", None),
        ({"detail": [{"loc": ["body"], "msg": "bad"}]}, '[{"loc":["body"],"msg":"bad"}]', None, "upstream_error", None),
        ({"Message": "Denied"}, "Denied", None, "upstream_error", None),
        ("Plain words", "Plain words", None, "upstream_error", None),
        (["odd"], '["odd"]', None, "upstream_error", None),
        ({"error": {}}, 'The upstream answered 418: {"error":{}}', None, "upstream_error", None),
    ],
)  # fmt: skip
def test_an_upstreams_error_is_understood_whoever_wrote_it(
    body: Any, message: str, kind: str | None, code: str, param: str | None
) -> None:
    error = DIALECT.decode_error(418, {}, json.encode(body))
    assert (error.status, error.message, error.kind, error.code, error.param) == (418, message, kind, code, param)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The upstream answered 502 without a reason"),
        (b"<html><h1>oh</h1></html>", "The upstream answered 502 without a reason"),
        (b"<html><TITLE>502 Bad\n Gateway</TITLE></html>", "The upstream answered 502: 502 Bad Gateway"),
        (b"upstream \xff connect error", "The upstream answered 502: upstream \ufffd connect error"),
        (b"null", "The upstream answered 502: null"),
    ],
)
def test_a_body_that_is_no_json_error_is_put_into_words(body: bytes, message: str) -> None:
    assert DIALECT.decode_error(502, {}, body).message == message


def test_a_long_message_is_cut() -> None:
    for body in (b"x" * 9000, json.encode({"message": "x" * 9000})):
        assert len(DIALECT.decode_error(500, {}, body).message) <= 2000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"0.5"}, 0.5),
        ({b"retry-after": b"-3"}, 0.0),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after-ms": b"250", b"retry-after": b"7"}, 0.25),
        ({b"retry-after-ms": b"?", b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"Sat, 21 Nov 2026 10:00:30 GMT"}, 30.0),
        ({b"retry-after": b"Sat, 21 Nov 2026 09:00:00 GMT"}, 0.0),
    ],
)
def test_the_time_to_wait_is_read_in_all_its_forms(
    headers: dict[bytes, bytes], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "wall_s", lambda: 1795255200.0)  # Sat, 21 Nov 2026 10:00:00 GMT
    assert DIALECT.decode_error(429, headers, b"{}").retry_after_s == seconds
