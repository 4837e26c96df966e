"""Errors within a stream; those before it are all of Bedrock's: `dialects/aws_errors.py`.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html
"""

from __future__ import annotations

from wye.dialects.aws_errors import encode_error, stream_error_type
from wye.kernel import eventstream, sse
from wye.kernel.errors import WyeError
from wye.kernel.json import JsonObject, encode


def _exception(error: WyeError) -> tuple[str, JsonObject]:
    """The type and body of an error, as streams of Converse know it: they have no type for a clock that ran out."""
    kind, body = stream_error_type(error), encode_error(error, "")
    if kind == "modelTimeoutException":
        return "modelStreamErrorException", {**body, "originalStatusCode": error.status}
    return kind, body


def encode_stream_error(error: WyeError, request_id: str) -> bytes:
    kind, body = _exception(error)
    return eventstream.exception(kind, encode(body))


def encode_sse_error(error: WyeError, request_id: str) -> bytes:
    kind, body = _exception(error)
    return sse.frame(encode(body), kind)
