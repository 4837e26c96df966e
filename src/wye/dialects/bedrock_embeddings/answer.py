"""What the answers of all families have in common: vectors, and figures in a header.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from wye.canon.embedding import EmbeddingRequest, EmbeddingResponse
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.dialect import EmbeddingDialect
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.json import JsonObject, decode_answer

_TOKENS_HEADER = b"x-amzn-bedrock-input-token-count"


def bedrock_embeddings(
    *,
    name: str,
    inputs_per_call: int,
    decode_request: Callable[[JsonObject], EmbeddingRequest],
    encode_request: Callable[[EmbeddingRequest, Losses], JsonObject],
    decode_response: Callable[[JsonObject], EmbeddingResponse],
    encode_response: Callable[[EmbeddingRequest, EmbeddingResponse, Losses], JsonObject],
) -> EmbeddingDialect:
    """The dialect of a family. Tokens that the body does not tell are the header's."""

    def with_usage(body: JsonObject, headers: Mapping[bytes, bytes]) -> EmbeddingResponse:
        response = decode_response(body)
        if response.usage is None:
            response.usage = _told(headers)
        return response

    def usage_of(body: bytes, headers: Mapping[bytes, bytes]) -> Usage | None:
        return _told(headers) or with_usage(decode_answer(body), headers).usage

    return EmbeddingDialect(
        name=name,
        kin="bedrock_converse",
        inputs_per_call=inputs_per_call,
        model_in_path=True,
        decode_request=decode_request,
        encode_request=encode_request,
        decode_response=with_usage,
        encode_response=encode_response,
        usage_of=usage_of,
    )


def _told(headers: Mapping[bytes, bytes]) -> Usage | None:
    tokens = headers.get(_TOKENS_HEADER, b"")
    return Usage(int(tokens)) if tokens.isdigit() and len(tokens) < 20 else None


def vector(value: Any, path: str) -> list[float]:
    try:
        return msgspec.convert(value, list[float])
    except msgspec.ValidationError as error:
        raise BadAnswer(f"The upstream's answer holds no vector of numbers in {path}: {error}") from None


def texts(request: EmbeddingRequest) -> list[str]:
    """The inputs, none of which may be token ids: they are those of another vocabulary."""
    found = [item for item in request.inputs if isinstance(item, str)]
    if len(found) < len(request.inputs):
        raise BadRequest(
            "input holds token ids, which this model would read otherwise: send the text itself "
            "(in LangChain: check_embedding_ctx_length=False)",
            param="input",
            code="unsupported_content",
        )
    return found


def note_user(request: EmbeddingRequest, losses: Losses, dialect: str) -> None:
    if request.user is not None:
        losses.add("user", f"{dialect} has no such member", "info")
