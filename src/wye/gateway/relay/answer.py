"""Reading an upstream's whole answer: bounded, and understood or refused."""

from __future__ import annotations

from typing import NoReturn

from wye.dialects.dialect import Dialect
from wye.kernel.errors import BadAnswer, UpstreamError
from wye.kernel.json import JsonError, JsonObject, as_object, decode, type_name
from wye.ports.transport import Clocks, Reply

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
_ERROR_BODY_S = 10.0


async def json_answer(reply: Reply, clocks: Clocks) -> JsonObject:
    """Raises BadAnswer, StreamCut, ClockExpired."""
    body = await reply.read_all(MAX_ANSWER_BYTES, clocks.headers_s)
    return as_answer(body)


def as_answer(body: bytes) -> JsonObject:
    """Raises BadAnswer when the bytes are no JSON object."""
    try:
        value = decode(body)
    except JsonError as error:
        raise BadAnswer(f"The upstream's answer is not valid JSON: {error}") from None
    answer = as_object(value)
    if answer is None:
        raise BadAnswer(f"The upstream's answer is {type_name(value)}, not a JSON object")
    return answer


async def raise_refusal(reply: Reply, dialect: Dialect) -> NoReturn:
    """Raise the error that an upstream answered with; its status counts even when its body cannot be read."""
    try:
        body = await reply.read_all(MAX_ERROR_BYTES, _ERROR_BODY_S)
    except UpstreamError:
        body = b""
    reply.close()
    raise dialect.decode_error(reply.status, dict(reply.headers), body)
