from __future__ import annotations

from typing import Any

import pytest

from wye.dialects.aws_errors import (
    decode_error,
    encode_error,
    error_headers,
    error_type,
    refusal,
    stream_error_type,
)
from wye.kernel import json
from wye.kernel.errors import BadAnswer, BadRequest, ClockExpired, Forbidden, NotFound, Overloaded, UpstreamRefused


@pytest.mark.parametrize(
    ("error", "kind", "in_stream"),
    [
        (BadRequest("No"), "ValidationException", "validationException"),
        (NotFound("No"), "ResourceNotFoundException", "validationException"),
        (Forbidden("No"), "AccessDeniedException", "validationException"),
        (Forbidden("No", code="InvalidSignatureException"), "InvalidSignatureException", "validationException"),
        (Overloaded("No"), "ServiceUnavailableException", "serviceUnavailableException"),
        (ClockExpired("gap_s", 5), "ModelTimeoutException", "modelTimeoutException"),
        (BadAnswer("No"), "InternalServerException", "internalServerException"),
        (UpstreamRefused("No", status=429), "ThrottlingException", "throttlingException"),
        (UpstreamRefused("No", status=424, kind="ModelStreamErrorException"), "ModelStreamErrorException",
         "modelStreamErrorException"),
        (UpstreamRefused("No", status=529, kind="overloaded_error"), "ServiceUnavailableException",
         "serviceUnavailableException"),
    ],
)  # fmt: skip
def test_an_error_has_aws_s_word(error: Any, kind: str, in_stream: str) -> None:
    assert error_type(error) == kind
    assert stream_error_type(error) == in_stream
    assert error_headers(error) == [(b"x-amzn-errortype", kind.encode())]
    assert encode_error(error, "req-1") == {"message": error.message}


@pytest.mark.parametrize(
    ("status", "header", "body", "expected"),
    [
        (429, "ThrottlingException", {"message": "Slow"}, (429, "ThrottlingException", "Slow", True)),
        (400, "ValidationException:http://internal.amazon.com/x/", {"message": "No"},
         (400, "ValidationException", "No", False)),
        (400, "", {"__type": "com.amazon.coral.service#ValidationException", "Message": "No"},
         (400, "ValidationException", "No", False)),
        (400, "ValidationException", {"message": "The provided model identifier is invalid."},
         (404, "ValidationException", "The provided model identifier is invalid.", False)),
        (429, "ModelNotReadyException", {"message": "Wait"}, (503, "ModelNotReadyException", "Wait", True)),
        (408, "ModelTimeoutException", {"message": "Late"}, (503, "ModelTimeoutException", "Late", True)),
        (500, "", ["?"], (500, None, '["?"]', True)),
    ],
)  # fmt: skip
def test_an_upstream_s_error_is_understood(status: int, header: str, body: Any, expected: tuple[Any, ...]) -> None:
    headers = {b"x-amzn-errortype": header.encode()} if header else {}
    error = decode_error(status, headers, json.encode(body))
    assert (error.status, error.kind, error.message, error.retryable) == expected


def test_a_page_of_html_is_an_error_too() -> None:
    error = decode_error(502, {b"retry-after": b"3"}, b"<html><title>Bad Gateway</title></html>")
    assert (error.status, error.kind, error.retry_after_s) == (502, None, 3)
    assert "Bad Gateway" in error.message


@pytest.mark.parametrize(
    ("kind", "status"),
    [("throttlingException", 429), ("modelStreamErrorException", 424), ("modelTimeoutException", 503), ("new", 502)],
)
def test_an_error_in_a_stream_has_the_status_of_its_type(kind: str, status: int) -> None:
    error = refusal(kind, {"message": "Too late"})
    assert (error.status, error.message) == (status, "Too late")
    assert error.kind == kind[0].upper() + kind[1:]
