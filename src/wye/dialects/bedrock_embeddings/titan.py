"""Amazon's Titan: one text a call.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html
"""

from __future__ import annotations

from wye.canon.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.bedrock_embeddings.answer import bedrock_embeddings, note_user, texts, vector
from wye.dialects.bedrock_models import base_model
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.fields import Fields, take
from wye.kernel.json import JsonObject

NAME = "bedrock_titan_embeddings"

_OLDEST = "amazon.titan-embed-text-v1", "amazon.titan-embed-g1"
_OF_IMAGES = "amazon.titan-embed-image"


def decode_request(body: JsonObject) -> EmbeddingRequest:
    fields = Fields(body)
    config = fields.fields("embeddingConfig")
    length = config.int("outputEmbeddingLength") if config else None
    given = fields.int("dimensions")
    request = EmbeddingRequest(
        model="", inputs=[fields.required_str("inputText")], dimensions=length if given is None else given
    )
    rest = fields.rest()
    if config is not None and config.rest():
        rest["embeddingConfig"] = config.rest()
    request.extras = extras_of(NAME, rest)
    return request


def encode_request(request: EmbeddingRequest, losses: Losses) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    note_user(request, losses, NAME)
    if request.purpose is not None:
        losses.add("input_type", f"{NAME} makes the same vectors for every purpose")
    (text,) = texts(request)
    body: JsonObject = {"inputText": text}
    model = base_model(request.model)
    if request.dimensions is not None:
        if model.startswith(_OLDEST):
            raise BadRequest(
                f"dimensions: the vectors of {model} have one length only: leave it out, or ask Titan v2",
                param="dimensions",
            )
        if model.startswith(_OF_IMAGES):
            body["embeddingConfig"] = {"outputEmbeddingLength": request.dimensions, **own.pop("embeddingConfig", {})}
        else:
            body["dimensions"] = request.dimensions
    return {**body, **own}


def decode_response(body: JsonObject) -> EmbeddingResponse:
    left = dict(body)
    value, tokens = left.pop("embedding", None), take(left, "inputTextTokenCount", int)
    if value is None and body.get("message"):
        raise BadAnswer(f"The upstream made no embedding: {body['message']}")
    found = vector(value, "embedding")
    by_type = left.get("embeddingsByType")
    own: JsonObject = {}
    if by_type == {"float": value}:
        own[FORM] = {"embeddingsByType": left.pop("embeddingsByType")}
    if left.get("message", "") is None:
        del left["message"]
    return EmbeddingResponse(
        model="",
        embeddings=[Embedding(found)],
        usage=None if tokens is None else Usage(tokens),
        extras=extras_of(NAME, {**left, **own}),
    )


def encode_response(request: EmbeddingRequest, response: EmbeddingResponse, losses: Losses) -> JsonObject:
    own = dict(own_extras(response.extras, NAME, losses, "", "info"))
    (embedding,) = response.embeddings
    own_extras(embedding.extras, NAME, losses, "embedding", "info")
    usage = response.usage or Usage()
    own_extras(usage.extras, NAME, losses, "usage", "info")
    form = own.pop(FORM, {})
    return {
        "embedding": embedding.vector,
        "embeddingsByType": {"float": embedding.vector},
        "inputTextTokenCount": usage.input_tokens or 0,
        **form,
        **own,
    }


DIALECT = bedrock_embeddings(
    name=NAME,
    inputs_per_call=1,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
)
