"""One request for several answers, to an upstream that gives one at a time."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from wye.canon.response import ChatResponse
from wye.canon.usage import total_of
from wye.dialects.dialect import Dialect
from wye.gateway.at_once import at_once
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange, Whole
from wye.gateway.relay.translate import translate
from wye.kernel.json import JsonObject, decode_answer, encode


async def translate_several(
    exchange: Exchange, deployment: Deployment, upstream: Dialect, bodies: list[JsonObject]
) -> Whole:
    """One attempt: a call for each body, none of which streams. Raises WyeError."""
    parts = [replace(exchange, body=encode(body), request=None, lost=None) for body in bodies]
    answers = await at_once([partial(translate, part, deployment, upstream) for part in parts])
    exchange.losses.clear()
    for loss in (loss for part in parts for loss in part.losses):
        exchange.losses.add(loss.field, loss.reason, loss.severity)
    said = exchange.speaks
    wholes = [answer for answer in answers if isinstance(answer, Whole)]
    response = _joined([said.decode_response(decode_answer(whole.body)) for whole in wholes])
    return Whole(encode(said.encode_response(response, exchange.losses)), response.usage)


def _joined(answers: list[ChatResponse]) -> ChatResponse:
    """One answer of many: the choices of the first, then those of the second. All else is the first's."""
    choices = [choice for answer in answers for choice in answer.choices]
    return replace(
        answers[0],
        choices=[replace(choice, index=i) for i, choice in enumerate(choices)],
        usage=total_of([answer.usage for answer in answers]),
    )
