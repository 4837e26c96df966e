"""Saying a request otherwise, in the caller's own dialect, on its way to whoever answers."""

from __future__ import annotations

from collections.abc import Callable

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Quirks
from wye.gateway.exchange import Exchange
from wye.kernel.json import Raw, decode_body, encode


def said_in(exchange: Exchange) -> ChatRequest:
    """The request in its members. Raises BadRequest."""
    dialect = exchange.dialect
    body = decode_body(encode({"model": exchange.model, **exchange.members}))
    if dialect.model_in_path:
        del body["model"]
        body.pop("stream", None)
    return dialect.decode_request(body)


def reword(exchange: Exchange, request: ChatRequest, change: Callable[[ChatRequest], ChatRequest]) -> None:
    """Members that do not change stay the bytes that they are. Raises BadRequest for what the dialect cannot say."""
    dialect, members = exchange.dialect, exchange.members
    before = dialect.encode_request(request, Losses(), Quirks())
    after = dialect.encode_request(change(request), Losses(), Quirks())
    members.update({name: Raw(encode(value)) for name, value in after.items() if before.get(name) != value})
    exchange.body = encode(members)
