"""Errors of the Messages API. https://docs.anthropic.com/en/api/errors"""

from __future__ import annotations

from wye.dialects.refusal import decode_refusal, refusal_of
from wye.kernel.errors import UpstreamRefused, WyeError
from wye.kernel.json import JsonObject, as_object, encode
from wye.kernel.sse import frame

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

decode_error = decode_refusal


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
    """The upstream's word, if it is one of Anthropic's; the status tells more than the one for all mistakes."""
    kind = error.kind if isinstance(error, UpstreamRefused) else None
    if kind in _STATUS_OF and kind != "invalid_request_error":
        return kind
    return _TYPE_OF.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")


def encode_stream_error(error: WyeError, request_id: str) -> bytes:
    return frame(encode(encode_error(error, request_id)), "error")


def refusal(body: JsonObject) -> UpstreamRefused:
    """An error that came in the place of an answer: its type tells the status that it should have had."""
    members = as_object(body.get("error")) or {}
    status = _STATUS_OF.get(str(members.get("type")), 502)
    return refusal_of(status, body, "The upstream sent an error without a message")
