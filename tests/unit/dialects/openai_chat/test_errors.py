from __future__ import annotations

import pytest

from wye.dialects.openai_chat import DIALECT
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
        (TooLarge("x"), "invalid_request_error"),
        (Unprocessable("x"), "invalid_request_error"),
        (LimitExceeded("x"), "rate_limit_error"),
        (Overloaded("x"), "overloaded_error"),
        (OutOfMemory("x"), "server_error"),
        (ClockExpired("gap_s", 3), "timeout_error"),
        (StreamCut("x"), "server_error"),
        (WyeError("x"), "server_error"),
        (UpstreamRefused("x", status=429, kind="insufficient_quota"), "insufficient_quota"),
        (UpstreamRefused("x", status=429), "rate_limit_error"),
    ],
)
def test_every_error_has_a_type_that_clients_know(error: WyeError, kind: str) -> None:
    assert DIALECT.encode_error(error, "req_1") == {
        "error": {"message": error.message, "type": kind, "code": error.code, "param": None},
        "detail": error.message,
        "request_id": "req_1",
    }


def test_details_stand_beside_the_message_and_never_replace_it() -> None:
    error = BadRequest("Too long", param="messages", details={"limit": 8, "message": "other"})
    assert DIALECT.encode_error(error, "") == {
        "error": {
            "limit": 8,
            "message": "Too long",
            "type": "invalid_request_error",
            "code": "invalid_request",
            "param": "messages",
        },
        "detail": "Too long",
    }


def test_an_error_in_a_stream_is_a_frame_of_its_own() -> None:
    frame = DIALECT.encode_stream_error(Overloaded("Full"), "req_1")
    assert frame.startswith(b"data: {")
    assert frame.endswith(b"}\n\n")
    assert json.decode(frame[6:]) == DIALECT.encode_error(Overloaded("Full"), "req_1")


@pytest.mark.parametrize(
    ("body", "message", "kind", "code", "param"),
    [
        (
            b'{"error":{"message":"No","type":"t","code":"c","param":"p"}}', "No", "t", "c", "p",
        ),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"No"}}', "No", "overloaded_error", None, None),
        (b'{"error":"No"}', "No", None, None, None),
        (b'{"message":"No"}', "No", None, None, None),
        (b'{"detail":"No"}', "No", None, None, None),
        (b'{"detail":[{"loc":["body"],"msg":"No"}]}', '[{"loc":["body"],"msg":"No"}]', None, None, None),
        (b"<html><title>Bad\n gateway</title></html>", "The upstream answered 400: Bad gateway", None, None, None),
        (b"<html></html>", "The upstream answered 400 without a reason", None, None, None),
        (b"", "The upstream answered 400 without a reason", None, None, None),
        (b"No such thing", "The upstream answered 400: No such thing", None, None, None),
    ],
)  # fmt: skip
def test_any_refusal_is_understood(
    body: bytes, message: str, kind: str | None, code: str | None, param: str | None
) -> None:
    error = DIALECT.decode_error(400, {}, body)
    assert (error.status, error.message, error.kind, error.param) == (400, message, kind, param)
    assert error.code == (code or UpstreamRefused.code)


def test_a_long_message_is_cut() -> None:
    assert len(DIALECT.decode_error(500, {}, b'{"message":"%b"}' % (b"x" * 9000)).message) == 2000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"7", b"retry-after-ms": b"1500"}, 1.5),
        ({b"retry-after": b"Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({b"retry-after": b"Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"nan"}, None),
    ],
)
def test_when_to_try_again_is_told_in_three_ways(
    headers: dict[bytes, bytes], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "wall_s", lambda: 1700000000.0)
    assert DIALECT.decode_error(429, headers, b"{}").retry_after_s == seconds
