"""Cohere's Embed, versions 3 and 4: many texts a call, each for a purpose.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v3.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v4.html
"""

from __future__ import annotations

from typing import Any

from wye.canon.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.bedrock_embeddings.answer import bedrock_embeddings, note_user, texts, vector
from wye.dialects.bedrock_models import base_model
from wye.kernel.errors import BadAnswer, BadRequest, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object, type_name

NAME = "bedrock_cohere_embeddings"
_VERSION_3 = "cohere.embed-english-v3", "cohere.embed-multilingual-v3"
_PURPOSES = {"query": "search_query", "document": "search_document", "passage": "search_document"}
"""Other vendors' words for the same."""


def decode_request(body: JsonObject) -> EmbeddingRequest:
    fields = Fields(body)
    for name in ("images", "inputs"):
        if fields.has(name):
            raise BadRequest(f"{name}: only Cohere's own models embed images", param=name, code="unsupported_content")
    inputs = fields.strings("texts")
    if not inputs:
        raise Unprocessable("texts is required: the texts to embed", param="texts")
    request = EmbeddingRequest(
        model="",
        inputs=[*inputs],
        dimensions=fields.int("output_dimension"),
        purpose=fields.str("input_type"),
    )
    request.extras = extras_of(NAME, fields.rest())
    return request


def encode_request(request: EmbeddingRequest, losses: Losses) -> JsonObject:
    own = own_extras(request.extras, NAME, losses, "")
    note_user(request, losses, NAME)
    purpose = request.purpose
    if purpose is None:
        losses.add("input_type", f"{NAME} must know what for: taken as 'search_document'", "info")
        purpose = "search_document"
    body: JsonObject = {"texts": texts(request), "input_type": _PURPOSES.get(purpose, purpose)}
    if request.dimensions is not None:
        model = base_model(request.model)
        if model.startswith(_VERSION_3):
            raise BadRequest(
                f"dimensions: the vectors of {model} have one length only: leave it out, or ask Embed 4",
                param="dimensions",
            )
        body["output_dimension"] = request.dimensions
    return {**body, **own}


def decode_response(body: JsonObject) -> EmbeddingResponse:
    """`embeddings` are vectors, or vectors by type: only numbers of full precision are understood."""
    left = dict(body)
    found: Any = left.pop("embeddings", None)
    by_type = as_object(found)
    if by_type is not None:
        others = {kind: vectors for kind, vectors in by_type.items() if kind != "float"}
        if others:
            left["embeddings"] = others
        found = by_type.get("float")
    vectors = as_list(found)
    if vectors is None:
        raise BadAnswer(f"The upstream's answer holds no embeddings: they are {type_name(body.get('embeddings'))}")
    form = {name: left.pop(name) for name in ("response_type", "texts") if name in left}
    if form:
        left[FORM] = form
    return EmbeddingResponse(
        model="",
        embeddings=[Embedding(vector(item, f"embeddings[{i}]")) for i, item in enumerate(vectors)],
        extras=extras_of(NAME, left),
    )


def encode_response(request: EmbeddingRequest, response: EmbeddingResponse, losses: Losses) -> JsonObject:
    """Vectors by type where the request names types, and for version 4, which knows nothing else."""
    own = dict(own_extras(response.extras, NAME, losses, "", "info"))
    form = own.pop(FORM, {})
    own_extras((response.usage or Usage()).extras, NAME, losses, "usage", "info")
    for i, embedding in enumerate(response.embeddings):
        own_extras(embedding.extras, NAME, losses, f"embeddings[{i}]", "info")
    vectors: Any = [embedding.vector for embedding in response.embeddings]
    asked = (request.extras or {}).get(NAME, {})
    by_type = "embedding_types" in asked or base_model(request.model).startswith("cohere.embed-v4")
    if form.get("response_type", "embeddings_by_type" if by_type else "embeddings_floats") == "embeddings_by_type":
        vectors = {"float": vectors, **own.pop("embeddings", {})}
    return {
        "id": new_id(""),
        "response_type": "embeddings_by_type" if isinstance(vectors, dict) else "embeddings_floats",
        "embeddings": vectors,
        "texts": request.inputs,
        **form,
        **own,
    }


DIALECT = bedrock_embeddings(
    name=NAME,
    inputs_per_call=96,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
)
