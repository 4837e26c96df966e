from __future__ import annotations

import pytest

from wye.dialects.openai_chat import DIALECT
from wye.kernel import json
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


def test_a_refusal_of_its_own_shape_is_understood() -> None:
    body = b'{"error":{"message":"No","type":"insufficient_quota","code":"c","param":"p"}}'
    error = DIALECT.decode_error(429, {b"retry-after": b"7"}, body)
    assert (error.status, error.message, error.kind, error.code, error.param, error.retry_after_s) == (
        429, "No", "insufficient_quota", "c", "p", 7.0,
    )  # fmt: skip
