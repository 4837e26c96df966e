from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from wye.canon.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.openai_embeddings import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadAnswer, UpstreamRefused

NAME, OTHER = "openai_embeddings", "bedrock_titan_embeddings"
USAGE = {"prompt_tokens": 5, "total_tokens": 5}


def wire(*vectors: Any, **members: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "m-1", "usage": USAGE, **members}


def decode(body: dict[str, Any]) -> EmbeddingResponse:
    return DIALECT.decode_response(body, {})


def request(encoding: Any = None) -> EmbeddingRequest:
    return EmbeddingRequest(model="m", inputs=["a"], encoding=encoding)


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_vectors_are_numbers_or_base64() -> None:
    expected = EmbeddingResponse(
        model="m-1", embeddings=[Embedding([0.5, -1.0, 2.0]), Embedding([0.25])], usage=Usage(5)
    )
    assert decode(wire([0.5, -1, 2.0], [0.25])) == expected
    assert decode(wire(packed(0.5, -1, 2), packed(0.25))) == expected


def test_an_answer_comes_out_as_it_came_in() -> None:
    losses = Losses()
    numbers = wire([0.1, 0.2], [1e-7], created=5, x={"y": 1})
    numbers["data"][0]["sparse"] = {"a": 1}
    assert DIALECT.encode_response(request("float"), decode(numbers), losses) == numbers
    encoded = wire(packed(0.1, 0.2), packed(1e-7), usage={**USAGE, "total_tokens": 9})
    assert DIALECT.encode_response(request("base64"), decode(encoded), losses) == encoded
    assert losses == []


def test_vectors_are_put_in_the_order_of_their_inputs() -> None:
    body = wire([0.0], [1.0], [2.0])
    body["data"].reverse()
    assert [embedding.vector for embedding in decode(body).embeddings] == [[0.0], [1.0], [2.0]]
    for item in body["data"]:
        item["index"] = None
    assert [embedding.vector for embedding in decode(body).embeddings] == [[2.0], [1.0], [0.0]]


def test_an_answer_needs_little() -> None:
    answer = decode({"data": [{"embedding": [1]}]})
    assert answer == EmbeddingResponse(model="", embeddings=[Embedding([1.0])])
    said = DIALECT.encode_response(request(), answer, Losses())
    assert said == {**wire([1.0]), "model": "m", "usage": {"prompt_tokens": 0, "total_tokens": 0}}
    CreateEmbeddingResponse.model_validate(said, strict=True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": {}},
        {"data": [7]},
        {"data": [{}]},
        wire("AAA"),
        wire("AAAA"),
        wire("ü"),
        wire(["x"]),
        wire([None]),
        wire([True]),
        wire({"float": [1.0]}),
    ],
)
def test_what_holds_no_vectors_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="answer"):
        decode(body)


def test_an_error_in_place_of_an_answer_is_raised_as_what_it_is() -> None:
    with pytest.raises(UpstreamRefused, match="No") as caught:
        decode({"error": {"message": "No", "code": 429}})
    assert caught.value.status == 429
    with pytest.raises(UpstreamRefused, match="No"):
        DIALECT.usage_of(b'{"data":[],"error":{"message":"No"}}', {})


def test_a_number_beyond_float32_is_no_answer_in_base64() -> None:
    with pytest.raises(BadAnswer, match="too large for float32"):
        DIALECT.encode_response(request("base64"), decode(wire([1e39])), Losses())


def test_members_of_another_dialect_are_named_as_lost() -> None:
    losses = Losses()
    answer = EmbeddingResponse(
        model="",
        embeddings=[Embedding([1.0], {OTHER: {"a": 1}})],
        usage=Usage(1, extras={OTHER: {"b": 1}}),
        extras={OTHER: {"c": 1}},
    )
    DIALECT.encode_response(request(), answer, losses)
    assert {(loss.field, loss.severity) for loss in losses} == {
        ("data[0].a", "info"),
        ("usage.b", "info"),
        ("c", "info"),
    }


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (wire([0.5]), Usage(5)),
        (wire([0.5], usage=None), None),
        ({"data": []}, None),
        (wire([0.5], usage={"prompt_tokens": "x", "total_tokens": 3}),
         Usage(extras={NAME: {"prompt_tokens": "x", "total_tokens": 3}})),
    ],
)  # fmt: skip
def test_figures_are_looked_up(body: dict[str, Any], usage: Usage | None) -> None:
    assert DIALECT.usage_of(json.encode(body), {}) == usage


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data":7}'])
def test_what_is_no_answer_has_no_figures(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.usage_of(body, {})


@pytest.mark.parametrize(
    ("asked", "vector", "told"),
    [
        (b'{"encoding_format":"base64"}', [0.5, 1], packed(0.5, 1)),
        (b'{"encoding_format":"base64"}', packed(0.5, 1), packed(0.5, 1)),
        (b'{"encoding_format":"float"}', [0.5, 1], [0.5, 1]),
        (b'{"encoding_format":null}', [0.5, 1], [0.5, 1]),
        (b"{}", [0.5, 1], [0.5, 1]),
    ],
)
def test_vectors_come_as_they_were_asked_for_also_from_who_knows_only_numbers(
    asked: bytes, vector: Any, told: Any
) -> None:
    assert DIALECT.as_asked is not None
    body = wire(vector, x=1)
    spaced = json.encode(body).replace(b'":', b'": ')
    for written in (json.encode(body), spaced):
        assert json.decode(DIALECT.as_asked(json.split_object(asked), written)) == wire(told, x=1)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), min_size=1))
def test_vectors_come_back_as_they_were_in_either_encoding(vectors: list[list[float]]) -> None:
    answer = EmbeddingResponse(model="m", embeddings=[Embedding(vector) for vector in vectors], usage=Usage(3))
    for encoding in ("float", "base64"):
        said = json.decode(json.encode(DIALECT.encode_response(request(encoding), answer, Losses())))
        again = decode(said)
        assert again == answer
        assert math.copysign(1, again.embeddings[0].vector[0]) == math.copysign(1, vectors[0][0])
