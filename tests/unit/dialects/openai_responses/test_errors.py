from __future__ import annotations

import pytest

from wye.dialects.openai_responses import DIALECT
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
    Unauthenticated,
    UpstreamRefused,
    WyeError,
)
from wye.kernel.sse import SseDecoder


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "invalid_request_error"),
        (Unauthenticated("x"), "authentication_error"),
        (Forbidden("x"), "permission_error"),
        (NotFound("x"), "not_found_error"),
        (Conflict("x"), "conflict_error"),
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


def test_figures_stand_beside_the_message() -> None:
    error = Overloaded("Full", details={"queue_size": 3})
    body = DIALECT.encode_error(error, "")
    assert body["error"]["queue_size"] == 3
    assert "request_id" not in body


@pytest.mark.parametrize("request_id", ["", "req_1"])
def test_an_error_in_a_stream_is_read_in_both_ways(request_id: str) -> None:
    (item,) = SseDecoder().feed(DIALECT.encode_stream_error(Overloaded("Full"), request_id))
    assert item.event == "error"
    assert json.decode(item.data) == {
        "type": "error",
        "sequence_number": 0,
        "code": "overloaded",
        "message": "Full",
        "param": None,
        "error": {"message": "Full", "type": "overloaded_error", "code": "overloaded", "param": None},
        **({"request_id": request_id} if request_id else {}),
    }
