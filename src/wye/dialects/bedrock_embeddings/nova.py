"""Amazon's Nova Multimodal Embeddings: one text a call, for a purpose.

https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html
"""

from __future__ import annotations

from wye.canon.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.bedrock_embeddings.answer import bedrock_embeddings, note_user, texts, vector
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list, as_object, type_name

NAME = "bedrock_nova_embeddings"
_TASK = "SINGLE_EMBEDDING"
_MEANT = {
    "GENERIC_INDEX": "search_document",
    "GENERIC_RETRIEVAL": "search_query",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
}
_PURPOSES = {word: purpose for purpose, word in _MEANT.items()} | {
    "document": "GENERIC_INDEX",
    "passage": "GENERIC_INDEX",
    "query": "GENERIC_RETRIEVAL",
}


def decode_request(body: JsonObject) -> EmbeddingRequest:
    fields = Fields(body)
    params, task = fields.fields("singleEmbeddingParams"), fields.str("taskType")
    text = params.fields("text") if params is not None else None
    if params is None or text is None or not text.has("value") or task not in (None, _TASK):
        raise BadRequest(
            "Only Nova's own models embed anything but one text (singleEmbeddingParams.text.value)",
            param="singleEmbeddingParams",
            code="unsupported_content",
        )
    purpose = params.str("embeddingPurpose")
    request = EmbeddingRequest(
        model="",
        inputs=[text.required_str("value")],
        dimensions=params.int("embeddingDimension"),
        purpose=None if purpose is None else _MEANT.get(purpose, purpose),
    )
    rest, below = fields.rest(), params.rest()
    if text.rest():
        below["text"] = text.rest()
    if below:
        rest["singleEmbeddingParams"] = below
    request.extras = extras_of(NAME, rest)
    return request


def encode_request(request: EmbeddingRequest, losses: Losses) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    below = dict(own.pop("singleEmbeddingParams", {}))
    note_user(request, losses, NAME)
    (text,) = texts(request)
    purpose = request.purpose
    if purpose is None:
        losses.add("input_type", f"{NAME} must know what for: taken as 'GENERIC_INDEX'", "info")
        purpose = "GENERIC_INDEX"
    params: JsonObject = {"embeddingPurpose": _PURPOSES.get(purpose, purpose)}
    if request.dimensions is not None:
        params["embeddingDimension"] = request.dimensions
    # A text that is too long must be an error, as it is for callers of every other dialect.
    params["text"] = {"truncationMode": "NONE", "value": text, **below.pop("text", {})}
    return {"taskType": _TASK, "singleEmbeddingParams": {**params, **below}, **own}


def decode_response(body: JsonObject) -> EmbeddingResponse:
    left = dict(body)
    found = as_list(left.pop("embeddings", None))
    if found is None:
        raise BadAnswer(f"The upstream's answer holds no embeddings: they are {type_name(body.get('embeddings'))}")
    embeddings: list[Embedding] = []
    for i, item in enumerate(found):
        members = dict(as_object(item) or {})
        numbers = vector(members.pop("embedding", None), f"embeddings[{i}].embedding")
        if members.get("embeddingType") == "TEXT":
            del members["embeddingType"]
        embeddings.append(Embedding(numbers, extras_of(NAME, members)))
    return EmbeddingResponse(model="", embeddings=embeddings, extras=extras_of(NAME, left))


def encode_response(request: EmbeddingRequest, response: EmbeddingResponse, losses: Losses) -> JsonObject:
    own = own_extras(response.extras, NAME, losses, "", "info")
    own_extras((response.usage or Usage()).extras, NAME, losses, "usage", "info")
    embeddings: list[JsonObject] = [
        {
            "embeddingType": "TEXT",
            "embedding": embedding.vector,
            **own_extras(embedding.extras, NAME, losses, f"embeddings[{i}]", "info"),
        }
        for i, embedding in enumerate(response.embeddings)
    ]
    return {"embeddings": embeddings, **own}


DIALECT = bedrock_embeddings(
    name=NAME,
    inputs_per_call=1,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
)
