"""Answers of OpenAI's embeddings. https://platform.openai.com/docs/api-reference/embeddings/object"""

from __future__ import annotations

import binascii
import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import msgspec

from wye.canon.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.openai_embeddings.name import NAME
from wye.dialects.openai_errors import holds_error, refusal
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import take
from wye.kernel.json import JsonObject, Raw, as_list, as_object, decode_answer, encode, type_name

_NUMBERS = re.compile(rb'"embedding"\s*:\s*\[')


def decode_response(body: JsonObject, headers: Mapping[bytes, bytes]) -> EmbeddingResponse:
    if holds_error(body):
        raise refusal(body)
    left = dict(body)
    data = as_list(left.pop("data", None))
    if data is None:
        raise BadAnswer(f"The upstream's answer holds no embeddings: its data are {type_name(body.get('data'))}")
    found = [_decode_embedding(item, i) for i, item in enumerate(data)]
    if left.get("object") == "list":
        del left["object"]
    usage = as_object(left.pop("usage", None))
    return EmbeddingResponse(
        model=take(left, "model", str) or "",
        embeddings=[embedding for _, embedding in sorted(found, key=lambda pair: pair[0])],
        usage=None if usage is None else _decode_usage(usage),
        extras=extras_of(NAME, left),
    )


def _decode_embedding(value: Any, position: int) -> tuple[int, Embedding]:
    """With its place among the inputs."""
    members = as_object(value)
    if members is None:
        raise BadAnswer(f"The upstream's answer holds {type_name(value)} where an embedding should be")
    left = dict(members)
    if left.get("object") == "embedding":
        del left["object"]
    index = take(left, "index", int)
    vector = _decode_vector(left.pop("embedding", None))
    return position if index is None else index, Embedding(vector, extras_of(NAME, left))


def _decode_vector(value: Any) -> list[float]:
    if isinstance(value, str):
        try:
            data = b64decode(value, validate=True)
            return list(struct.unpack(f"<{len(data) // 4}f", data))
        except (binascii.Error, ValueError, struct.error):
            raise BadAnswer("The upstream's answer holds an embedding that is no base64 of float32 numbers") from None
    try:
        return msgspec.convert(value, list[float])
    except msgspec.ValidationError as error:
        raise BadAnswer(f"The upstream's answer holds an embedding that is no array of numbers: {error}") from None


def _decode_usage(usage: JsonObject) -> Usage:
    left = dict(usage)
    asked = take(left, "prompt_tokens", int)
    if left.get("total_tokens") == (asked or 0):
        del left["total_tokens"]
    return Usage(asked, extras=extras_of(NAME, left))


def encode_response(request: EmbeddingRequest, response: EmbeddingResponse, losses: Losses) -> JsonObject:
    """In the encoding that the request asks for."""
    own = own_extras(response.extras, NAME, losses, "", "info")
    usage = response.usage or Usage()
    figures = {"prompt_tokens": usage.input_tokens or 0, "total_tokens": usage.total_tokens}
    return {
        "object": "list",
        "data": [_encode_embedding(request, item, i, losses) for i, item in enumerate(response.embeddings)],
        "model": response.model or request.model,
        "usage": {**figures, **own_extras(usage.extras, NAME, losses, "usage", "info")},
        **own,
    }


def _encode_embedding(request: EmbeddingRequest, embedding: Embedding, index: int, losses: Losses) -> JsonObject:
    own = own_extras(embedding.extras, NAME, losses, f"data[{index}]", "info")
    vector: Any = embedding.vector
    if request.encoding == "base64":
        try:
            vector = b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        except OverflowError:
            raise BadAnswer("The upstream's answer holds a number that is too large for float32") from None
    return {"object": "embedding", "index": index, "embedding": vector, **own}


class _Figures(msgspec.Struct):
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    data: list[Raw]
    usage: _Figures | None = None
    error: Raw = Raw(b"null")


_answers = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes, headers: Mapping[bytes, bytes]) -> Usage | None:
    try:
        seen = _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        seen = None
    if seen is None or bytes(seen.error) != b"null":
        return decode_response(decode_answer(body), headers).usage
    return None if seen.usage is None else Usage(seen.usage.prompt_tokens)


def as_asked(members: dict[str, Raw], body: bytes) -> bytes:
    """Many servers know only numbers, and some clients take whatever comes for the base64 that they asked for."""
    if bytes(members.get("encoding_format", b"")) != b'"base64"' or _NUMBERS.search(body) is None:
        return body
    request = EmbeddingRequest(model="", inputs=[], encoding="base64")
    return encode(encode_response(request, decode_response(decode_answer(body), {}), Losses()))
