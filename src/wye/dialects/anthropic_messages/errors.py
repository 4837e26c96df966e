"""Errors of the Messages API. https://docs.anthropic.com/en/api/errors"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from wye.kernel import clock
from wye.kernel.errors import UpstreamRefused, WyeError
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode, encode_text
from wye.kernel.sse import frame

MAX_MESSAGE = 2000
"""Characters of an upstream's message that are passed on."""

_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TYPE_OF = {status: kind for kind, status in _STATUS_OF.items()} | {408: "timeout_error", 503: "overloaded_error"}

_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def encode_error(error: WyeError, request_id: str) -> JsonObject:
    """The body of an error; `details.error_code` is the stable word for programs."""
    details: JsonObject = {"error_code": error.code}
    if error.param is not None:
        details["param"] = error.param
    said = {"type": _type_of(error), "message": error.message, "details": details | (error.details or {})}
    body: JsonObject = {"type": "error", "error": said}
    if request_id:
        body["request_id"] = request_id
    return body


def _type_of(error: WyeError) -> str:
    kind = error.kind if isinstance(error, UpstreamRefused) else None
    if kind in _STATUS_OF:
        return kind
    return _TYPE_OF.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")


def encode_stream_error(error: WyeError, request_id: str) -> bytes:
    return frame(encode(encode_error(error, request_id)), "error")


def decode_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamRefused:
    try:
        value = decode(body)
    except JsonError:
        value = None
    return _refusal(status, value, _unreadable(status, body), _retry_after_s(headers))


def refusal(body: JsonObject) -> UpstreamRefused:
    """An error that came in the place of an answer: its type tells the status that it should have had."""
    members = as_object(body.get("error")) or {}
    status = _STATUS_OF.get(str(members.get("type")), 502)
    return _refusal(status, body, "The upstream sent an error without a message")


def _refusal(status: int, value: Any, otherwise: str, retry_after_s: float | None = None) -> UpstreamRefused:
    """Understands this dialect's errors, and those of others that stand in front of an upstream."""
    body = as_object(value) or {"message": value}
    inner = body.get("error")
    error = as_object(inner) or {**body, "message": inner or body.get("message")}
    details = {**(as_object(error.get("details")) or {})}
    code = details.pop("error_code", None) or error.get("code")
    param = details.pop("param", None) or error.get("param")
    message = error.get("message") or body.get("detail") or body.get("Message") or otherwise
    kind = error.get("type")
    return UpstreamRefused(
        (message if isinstance(message, str) else encode_text(message))[:MAX_MESSAGE],
        status=status,
        kind=kind if isinstance(kind, str) else None,
        code=code if isinstance(code, str) else None,
        param=param if isinstance(param, str) else None,
        details=details or None,
        retry_after_s=retry_after_s,
    )


def _unreadable(status: int, body: bytes) -> str:
    """Words for a body that is no JSON: the title of a page, or the beginning of a text."""
    title = _TITLE.search(body)
    text = title.group(1) if title else b"" if body.lstrip().startswith(b"<") else body[:MAX_MESSAGE]
    words = " ".join(text.decode("utf-8", "replace").split())
    return f"The upstream answered {status}: {words}" if words else f"The upstream answered {status} without a reason"


def _retry_after_s(headers: Mapping[bytes, bytes]) -> float | None:
    seconds = _number(headers.get(b"retry-after-ms"), 0.001)
    given = headers.get(b"retry-after")
    if seconds is None:
        seconds = _number(given, 1)
    if seconds is None and given is not None:
        try:
            seconds = parsedate_to_datetime(given.decode("latin-1")).timestamp() - clock.wall_s()
        except (ValueError, OverflowError):
            return None
    return None if seconds is None else max(0.0, seconds)


def _number(text: bytes | None, unit: float) -> float | None:
    try:
        number = float(text or b"")
    except ValueError:
        return None
    return number * unit if math.isfinite(number) else None
