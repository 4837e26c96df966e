"""Counting the tokens of an input. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html

The input is a request of Converse, or the body of an InvokeModel in the words of its model's family.
"""

from __future__ import annotations

import base64
import binascii

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.aws_errors import refusal
from wye.dialects.bedrock_converse.model_fields import MEMBER
from wye.dialects.bedrock_converse.request import decode_input, encode_request
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_COUNTED = frozenset({"messages", "system", "toolConfig", MEMBER})


def decode_count_request(body: JsonObject) -> ChatRequest:
    """An input in the words of Converse. Raises BadRequest for one in those of InvokeModel: see `invoke_body`."""
    given = _input(body).dict("converse")
    if given is None:
        raise BadRequest("input.converse is required", param="input.converse")
    return decode_input(given, "input.converse")


def invoke_body(body: JsonObject) -> bytes | None:
    """The body of an InvokeModel whose tokens are to be counted, for the codec of its model's family; None for an
    input in the words of Converse. Raises BadRequest."""
    invoke = _input(body).fields("invokeModel")
    if invoke is None:
        return None
    try:
        return base64.b64decode(invoke.required_str("body"), validate=True)
    except (binascii.Error, ValueError):
        at = invoke.at("body")
        raise BadRequest(f"{at} must be base64", param=at) from None


def _input(body: JsonObject) -> Fields:
    given = Fields(body).fields("input")
    if given is None:
        raise BadRequest("input is required", param="input")
    return given


def encode_count_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    """The same input, to be counted: without the settings that only say how to answer."""
    body = encode_request(request, losses, quirks)
    return {"input": {"converse": {name: value for name, value in body.items() if name in _COUNTED}}}


def decode_count_response(body: JsonObject) -> int:
    """The answer to a request to count tokens. Raises BadAnswer."""
    tokens = body.get("inputTokens")
    if isinstance(tokens, int) and not isinstance(tokens, bool):
        return tokens
    if isinstance(body.get("message"), str):
        raise refusal(str(body.get("__type", "")), body)
    raise BadAnswer("The upstream's token count holds no inputTokens")


def encode_count(tokens: int) -> JsonObject:
    return {"inputTokens": tokens}
