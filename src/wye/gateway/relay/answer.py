"""An upstream's whole answer: read within bounds, understood or refused, and said in the caller's words."""

from __future__ import annotations

from typing import NoReturn

from msgspec.structs import replace

from wye.canon.events import Start
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.dialects.dialect import Dialect
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange, Whole
from wye.gateway.routing.rate_limits import REMAINING
from wye.kernel import clock
from wye.kernel.errors import UpstreamError
from wye.kernel.json import JsonObject, decode_answer, encode
from wye.ports.transport import Clocks, HeaderMap, Reply

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
_ERROR_BODY_S = 10.0
_QUEUE = b"x-queue-position"
_LOSS = b"x-wye-loss"
BESIDE_ANSWERS = REMAINING | {_QUEUE, _LOSS}
"""The headers that `heard` looks for."""


def heard(exchange: Exchange, deployment: Deployment, headers: HeaderMap) -> None:
    """Keep what an upstream tells beside its answer: its limits, a local model's queue, another Wye's losses."""
    deployment.health.read(headers, clock.monotonic_s())
    position = headers.get(_QUEUE)
    if position is not None and position.isdigit():
        exchange.queue_position = position
    lost = headers.get(_LOSS)
    if lost is not None:
        for field in lost.decode("latin-1").split(", "):
            exchange.losses.add(field, "so says another Wye on the way")


async def json_answer(reply: Reply, clocks: Clocks) -> JsonObject:
    """Raises BadAnswer, StreamCut, ClockExpired."""
    return decode_answer(await reply.read_all(MAX_ANSWER_BYTES, clocks.headers_s))


def whole_answer(exchange: Exchange, request: ChatRequest, response: ChatResponse) -> Whole:
    """An answer in the caller's words."""
    caller = exchange.speaks
    if caller.echo is not None:
        response = caller.echo(request, response)
    start = Start("", "", None, response.usage, response.service_tier, response.extras)
    left = say_in_headers(exchange, start, streamed=False)
    model = response.model or request.model  # Bedrock's answers name none
    response = replace(response, model=model, service_tier=left.service_tier, extras=left.extras)
    return Whole(encode(caller.encode_response(response, exchange.losses)), response.usage)


def say_in_headers(exchange: Exchange, start: Start, *, streamed: bool) -> Start:
    """What the headers of the caller's dialect leave to its body."""
    codec = exchange.speaks.headers
    if codec is None or codec.encode_answer is None:
        return start
    took_ms = None if streamed else round((clock.monotonic_s() - exchange.started_s) * 1000)
    start, exchange.answer_headers = codec.encode_answer(start, streamed, took_ms)
    return start


async def raise_refusal(reply: Reply, dialect: Dialect) -> NoReturn:
    """Raise the error that an upstream answered with; its status counts even when its body cannot be read."""
    try:
        body = await reply.read_all(MAX_ERROR_BYTES, _ERROR_BODY_S)
    except UpstreamError:
        body = b""
    reply.close()
    raise dialect.decode_error(reply.status, reply.headers, body)
