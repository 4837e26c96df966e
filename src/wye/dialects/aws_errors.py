"""Errors of Amazon Bedrock's runtime: the type in a header, the words in the body.

https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from wye.dialects.refusal import decode_refusal, refusal_of
from wye.kernel.errors import UpstreamRefused, WyeError
from wye.kernel.json import JsonError, JsonObject, as_object, decode

TYPE_HEADER = b"x-amzn-errortype"

_STATUS_OF = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 400,
    "ConflictException": 400,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ModelStreamErrorException": 424,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}
_TYPE_OF = {
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
    529: "ServiceUnavailableException",
}
_MEANT = {"ModelNotReadyException": 503, "ModelTimeoutException": 503}
"""Types whose status would blame the caller for what the model's host cannot do now."""
_STREAMED = frozenset(
    {
        "InternalServerException",
        "ModelStreamErrorException",
        "ModelTimeoutException",
        "ServiceUnavailableException",
        "ThrottlingException",
        "ValidationException",
    }
)
"""The types that the service's model knows within a stream."""
_TYPE = re.compile(r"[A-Za-z]+Exception")


def encode_error(error: WyeError, request_id: str) -> JsonObject:
    """The body; the request's id and the type are headers."""
    return {"message": error.message}


def error_headers(error: WyeError) -> list[tuple[bytes, bytes]]:
    """The header by which AWS's clients choose the exception that they raise."""
    return [(TYPE_HEADER, error_type(error).encode())]


def error_type(error: WyeError) -> str:
    """AWS's word for it: the upstream's own, or the one for its status."""
    for word in (error.kind if isinstance(error, UpstreamRefused) else None, error.code):
        if word is not None and is_type_of_aws(word):
            return word
    return _TYPE_OF.get(error.status, "ValidationException" if error.status < 500 else "InternalServerException")


def is_type_of_aws(word: str) -> bool:
    return _TYPE.fullmatch(word) is not None


def stream_error_type(error: WyeError) -> str:
    """The `:exception-type` of an error within a stream."""
    word = error_type(error)
    if word not in _STREAMED:
        word = "ValidationException" if error.status < 500 else "InternalServerException"
    return word[0].lower() + word[1:]


def decode_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamRefused:
    """An answer of status >= 400. The type is the header's, or that of the older member `__type`."""
    said = headers.get(TYPE_HEADER, b"").decode("latin-1")
    if not said:
        try:
            said = str((as_object(decode(body)) or {}).get("__type", ""))
        except JsonError:
            said = ""
    return _typed(decode_refusal(status, headers, body), said)


def refusal(kind: str, body: JsonObject) -> UpstreamRefused:
    """An error that came within a stream: its type tells the status that it should have had."""
    word = kind[:1].upper() + kind[1:]
    words = "The upstream sent an error without a message"
    return _typed(refusal_of(_STATUS_OF.get(_short(word), 502), body, words), word)


def _short(said: str) -> str:
    """`ValidationException:http://internal.amazon.com/...` and `com.amazon.coral#ValidationException` name one type."""
    return said.partition(":")[0].rpartition("#")[2]


def _typed(error: UpstreamRefused, said: str) -> UpstreamRefused:
    kind = _short(said) or None
    status = _MEANT.get(kind or "", error.status)
    if kind == "ValidationException" and "model identifier is invalid" in error.message:
        status = 404
    return UpstreamRefused(
        error.message,
        status=status,
        kind=kind,
        code=error.code,
        retry_after_s=error.retry_after_s,
        details=error.details,
    )
