"""Requests of OpenAI's embeddings. https://platform.openai.com/docs/api-reference/embeddings/create"""

from __future__ import annotations

from typing import Any, Literal, cast

from wye.canon.embedding import EmbeddingRequest, Input
from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.dialects.openai_embeddings.name import NAME
from wye.kernel.errors import BadRequest, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list, type_name

MAX_INPUTS = 2048


def decode_request(body: JsonObject) -> EmbeddingRequest:
    fields = Fields(body)
    dimensions = fields.int("dimensions")
    if dimensions is not None and dimensions < 1:
        raise BadRequest(f"dimensions must be at least 1, not {dimensions}", param="dimensions")
    encoding = fields.one_of("encoding_format", ("float", "base64"))
    request = EmbeddingRequest(
        model=fields.required_str("model"),
        inputs=_decode_inputs(fields.any("input")),
        dimensions=dimensions,
        encoding=cast('Literal["float", "base64"] | None', encoding),
        # OpenAI's own models have no such member; servers of its API whose models tell queries from documents do.
        purpose=fields.str("input_type"),
        user=fields.str("user"),
    )
    request.extras = extras_of(NAME, fields.rest())
    return request


def _decode_inputs(value: Any) -> list[Input]:
    if isinstance(value, str):
        return [value]
    items = as_list(value)
    if value is None or items == []:
        raise Unprocessable("input is required: the text, or texts, to embed", param="input")
    if items is None:
        raise BadRequest(f"input must be a string or an array, not {type_name(value)}", param="input")
    if _is_tokens(items):
        return [items]
    if len(items) > MAX_INPUTS:
        raise BadRequest(f"input holds {len(items)} inputs, and one request at most {MAX_INPUTS}", param="input")
    for i, item in enumerate(items):
        # A whole array is of one kind, so the first item tells what the others must be.
        if isinstance(items[0], str):
            if not isinstance(item, str):
                raise BadRequest(f"input[{i}] must be a string, not {type_name(item)}", param=f"input[{i}]")
        elif not _is_tokens(as_list(item) or []):
            raise BadRequest(
                f"input[{i}] must be a string or an array of token ids, not {type_name(item)}", param=f"input[{i}]"
            )
    return items


def _is_tokens(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, int) and not isinstance(item, bool) for item in items)


def encode_request(request: EmbeddingRequest, losses: Losses) -> JsonObject:
    own = own_extras(request.extras, NAME, losses, "")
    body: JsonObject = {
        "model": request.model,
        "input": request.inputs[0] if len(request.inputs) == 1 else request.inputs,
    }
    for name, value in (
        ("dimensions", request.dimensions),
        ("encoding_format", request.encoding),
        ("input_type", request.purpose),
        ("user", request.user),
    ):
        if value is not None:
            body[name] = value
    return {**body, **own}
