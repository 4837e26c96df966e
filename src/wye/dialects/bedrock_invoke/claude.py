"""Claude on Bedrock: Anthropic's Messages API, whose `model` and `stream` are in the URL.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from wye.canon.extras import FORM, extras_of
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.anthropic_messages import DIALECT as MESSAGES
from wye.dialects.anthropic_messages.decoder import Decoder
from wye.dialects.bedrock_invoke.family import bedrock_family
from wye.dialects.bedrock_invoke.headers import HEADERS
from wye.dialects.dialect import Quirks
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

NAME: Final = "bedrock_claude"
VERSION: Final = "bedrock-2023-05-31"


def decode_request(body: JsonObject) -> ChatRequest:
    """`model` and `stream` may be there, from clients that do not speak to a URL of Bedrock's."""
    fields = Fields(body)
    version, beta = fields.str("anthropic_version"), fields.strings("anthropic_beta")
    rest = fields.rest()
    request = MESSAGES.decode_request({**rest, "model": rest.get("model") or ""})
    own: JsonObject = {} if version in (None, VERSION) else {FORM: {"anthropic_version": version}}
    request.betas = beta
    request.extras = {**(request.extras or {}), **(extras_of(NAME, own) or {})} or None
    return request


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    extras = dict(request.extras or {})
    own = dict(extras.pop(NAME, {}))
    if request.service_tier is not None:
        losses.add("service_tier", "Bedrock has a header for it, and tiers of its own", "info")
    spoken = replace(request, service_tier=None, betas=None, extras=extras or None)
    body = MESSAGES.encode_request(spoken, losses, quirks)
    del body["model"]
    body.pop("stream", None)
    betas: JsonObject = {} if request.betas is None else {"anthropic_beta": request.betas}
    return {"anthropic_version": VERSION, **own.pop(FORM, {}), **betas, **own, **body}


def decode_headers(request: ChatRequest, headers: Mapping[bytes, bytes]) -> ChatRequest:
    """Anthropic's own client for Bedrock names previews in the header of its API too."""
    assert MESSAGES.headers is not None
    return HEADERS.decode_request(MESSAGES.headers.decode_request(request, headers), headers)


DIALECT = bedrock_family(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=MESSAGES.decode_response,
    encode_response=MESSAGES.encode_response,
    decode_usage=MESSAGES.decode_usage,
    chunk_reader=Decoder,
    stream_encoder=MESSAGES.stream_encoder,
    encode_stream_error=MESSAGES.encode_stream_error,
    terminator=MESSAGES.tap.terminator,
    headers=replace(HEADERS, decode_request=decode_headers),
    cites=True,
)
