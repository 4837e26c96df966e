"""Texts to vectors: the same dialect on both sides passes through, any other goes through the canonical form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from msgspec.structs import replace

from wye.canon.embedding import EmbeddingRequest, EmbeddingResponse
from wye.canon.usage import total_of
from wye.dialects.dialect import EmbeddingDialect
from wye.dialects.registry import DIALECTS
from wye.gateway.at_once import at_once
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange, Whole
from wye.gateway.relay.answer import MAX_ANSWER_BYTES, raise_refusal
from wye.kernel import clock
from wye.kernel.errors import BadAnswer, NotFound
from wye.kernel.json import decode_answer, decode_body, demand_utf8, encode
from wye.ports.provider import Call
from wye.ports.transport import HeaderMap


async def embed(exchange: Exchange, deployment: Deployment, caller: EmbeddingDialect) -> Whole:
    """One attempt. Raises WyeError; NotFound for a model that makes no embeddings."""
    upstream = deployment.provider.embeds(deployment.model)
    if upstream is None:
        raise NotFound(
            f"'{deployment.id}' makes no embeddings: name a model that does, as 'text-embedding-3-small' of OpenAI",
            param="model",
            code="no_embeddings",
        )
    if upstream is caller and deployment.provider.passthrough:
        return await _pass_through(exchange, deployment, caller)
    return await _translate(exchange, deployment, caller, upstream)


async def _pass_through(exchange: Exchange, deployment: Deployment, dialect: EmbeddingDialect) -> Whole:
    body = exchange.body
    if not dialect.model_in_path:
        body = encode({**exchange.members, "model": deployment.model_json})
    answer, headers = await _call(deployment, dialect, body, exchange.headers)
    demand_utf8(answer)
    usage = dialect.usage_of(answer, headers)
    return Whole(answer if dialect.as_asked is None else dialect.as_asked(exchange.members, answer), usage)


async def _translate(
    exchange: Exchange, deployment: Deployment, caller: EmbeddingDialect, upstream: EmbeddingDialect
) -> Whole:
    request = caller.decode_request(decode_body(exchange.body))
    request.model = request.model or exchange.model
    exchange.losses.clear()
    parts = list(_parts(replace(request, model=deployment.model), upstream.inputs_per_call))
    bodies = [encode(upstream.encode_request(part, exchange.losses)) for part in parts]
    if exchange.strict:
        exchange.losses.refuse()
    asked = zip(parts, bodies, strict=True)
    answers = await at_once([partial(_ask, deployment, upstream, part, body) for part, body in asked])
    response = _joined(answers)
    return Whole(encode(caller.encode_response(request, response, exchange.losses)), response.usage)


def _parts(request: EmbeddingRequest, size: int) -> Iterator[EmbeddingRequest]:
    for start in range(0, len(request.inputs), size):
        yield replace(request, inputs=request.inputs[start : start + size])


async def _ask(
    deployment: Deployment, dialect: EmbeddingDialect, request: EmbeddingRequest, body: bytes
) -> EmbeddingResponse:
    answer, headers = await _call(deployment, dialect, body)
    response = dialect.decode_response(decode_answer(answer), headers)
    found, wanted = len(response.embeddings), len(request.inputs)
    if found != wanted:
        raise BadAnswer(f"The upstream's answer holds {found} embeddings for {wanted} inputs")
    return response


def _joined(answers: list[EmbeddingResponse]) -> EmbeddingResponse:
    """One answer of many. Members that only their dialect understands are those of the first."""
    first = answers[0]
    if len(answers) == 1:
        return first
    return EmbeddingResponse(
        model=first.model,
        embeddings=[embedding for answer in answers for embedding in answer.embeddings],
        usage=total_of([answer.usage for answer in answers]),
        extras=first.extras,
    )


async def _call(
    deployment: Deployment, dialect: EmbeddingDialect, body: bytes, caller: HeaderMap | None = None
) -> tuple[bytes, HeaderMap]:
    """The answer's body and headers. Raises the upstream's refusal."""
    call = Call(dialect.name, deployment.model, body, operation="embed", clocks=deployment.clocks, caller=caller or {})
    reply = await deployment.provider.call(call)
    deployment.health.read(reply.headers, clock.monotonic_s())
    try:
        if reply.status >= 400:
            await raise_refusal(reply, DIALECTS[dialect.kin])
        return await reply.read_all(MAX_ANSWER_BYTES, deployment.clocks.headers_s), reply.headers
    finally:
        reply.close()
