"""Errors as all of OpenAI's APIs word them. https://platform.openai.com/docs/guides/error-codes"""

from __future__ import annotations

from wye.dialects.aws_errors import is_type_of_aws
from wye.dialects.refusal import CONTEXT_LENGTH_EXCEEDED, decode_refusal, refusal_of
from wye.kernel.errors import UpstreamRefused, WyeError
from wye.kernel.json import JsonObject, as_object, encode
from wye.kernel.sse import frame

_TYPE_OF = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUS_OF = {
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    CONTEXT_LENGTH_EXCEEDED: 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "tokens": 429,
    "requests": 429,
    "server_error": 500,
    "overloaded_error": 503,
    "timeout_error": 504,
}

decode_error = decode_refusal


def encode_error(error: WyeError, request_id: str) -> JsonObject:
    body: JsonObject = {"error": {**(error.details or {}), **members_of(error)}, "detail": error.message}
    if request_id:
        body["request_id"] = request_id
    return body


def members_of(error: WyeError) -> JsonObject:
    """What every error of OpenAI's has. The types are no closed set: servers of its format have words of their own."""
    kind = error.kind if isinstance(error, UpstreamRefused) else None
    if kind is None or is_type_of_aws(kind):
        kind = _TYPE_OF.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {"message": error.message, "type": kind, "code": error.code, "param": error.param}


def encode_stream_error(error: WyeError, request_id: str) -> bytes:
    return frame(encode(encode_error(error, request_id)))


def holds_error(body: JsonObject) -> bool:
    """Whether an error came in the place of an answer. Some servers leave out the `error` around it."""
    return bool(body.get("error")) or body.get("object") == "error"


def refusal(body: JsonObject) -> UpstreamRefused:
    """An error that came in the place of an answer: its type or code tells the status that it should have had."""
    members = as_object(body.get("error")) or body
    status = 502
    for word in (members.get("code"), members.get("status"), members.get("type")):
        if isinstance(word, int) and 400 <= word <= 599:
            status = word
            break
        if isinstance(word, str) and word in _STATUS_OF:
            status = _STATUS_OF[word]
            break
    return refusal_of(status, body, "The upstream sent an error without a message")
