"""Errors of the Responses API, where they are not those of all of OpenAI's: `dialects/openai_errors.py`.

https://platform.openai.com/docs/api-reference/responses-streaming/error
"""

from __future__ import annotations

from wye.dialects.openai_errors import members_of
from wye.kernel.errors import WyeError
from wye.kernel.json import JsonObject, encode
from wye.kernel.sse import frame


def encode_stream_error(error: WyeError, request_id: str, sequence_number: int = 0) -> bytes:
    """The members lie flat, as OpenAI's types have them, and under `error`, as its servers send and its SDKs read."""
    members = members_of(error)
    flat = {name: members[name] for name in ("code", "message", "param")}
    body: JsonObject = {"type": "error", "sequence_number": sequence_number, **flat, "error": members}
    if request_id:
        body["request_id"] = request_id
    return frame(encode(body), "error")


def response_error(error: WyeError) -> JsonObject:
    """The `error` of a response that failed."""
    return {"code": error.code, "message": error.message}
