"""Reading an upstream's whole answer: bounded, and understood or refused."""

from __future__ import annotations

from typing import NoReturn

from wye.dialects.dialect import Dialect
from wye.kernel.errors import UpstreamError
from wye.kernel.json import JsonObject, decode_answer
from wye.ports.transport import Clocks, Reply

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
_ERROR_BODY_S = 10.0


async def json_answer(reply: Reply, clocks: Clocks) -> JsonObject:
    """Raises BadAnswer, StreamCut, ClockExpired."""
    return decode_answer(await reply.read_all(MAX_ANSWER_BYTES, clocks.headers_s))


async def raise_refusal(reply: Reply, dialect: Dialect) -> NoReturn:
    """Raise the error that an upstream answered with; its status counts even when its body cannot be read."""
    try:
        body = await reply.read_all(MAX_ERROR_BYTES, _ERROR_BODY_S)
    except UpstreamError:
        body = b""
    reply.close()
    raise dialect.decode_error(reply.status, reply.headers, body)
