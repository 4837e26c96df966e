from __future__ import annotations

from typing import Any

import pytest

from wye.canon.embedding import EmbeddingRequest, Input
from wye.canon.loss import Losses
from wye.dialects.openai_embeddings import DIALECT
from wye.kernel.errors import BadRequest, CallerError, Unprocessable

NAME, OTHER = "openai_embeddings", "bedrock_titan_embeddings"


def decode(**members: Any) -> EmbeddingRequest:
    return DIALECT.decode_request({"model": "m", "input": "a", **members})


@pytest.mark.parametrize(
    ("wire", "inputs"),
    [
        ("a", ["a"]),
        ("", [""]),
        (["a", "b"], ["a", "b"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
    ],
)
def test_an_input_is_a_text_or_the_ids_of_its_tokens(wire: Any, inputs: list[Input]) -> None:
    assert decode(input=wire).inputs == inputs
    said = DIALECT.encode_request(decode(input=wire), Losses())
    assert DIALECT.decode_request(said).inputs == inputs


@pytest.mark.parametrize(
    ("wire", "error", "param", "words"),
    [
        (None, Unprocessable, "input", "is required"),
        ([], Unprocessable, "input", "is required"),
        (7, BadRequest, "input", "not a number"),
        ({}, BadRequest, "input", "not an object"),
        (["a", 1], BadRequest, "input[1]", "must be a string, not a number"),
        ([1, "a"], BadRequest, "input[0]", "not a number"),
        ([[1], "a"], BadRequest, "input[1]", "array of token ids, not a string"),
        ([[1], []], BadRequest, "input[1]", "not an array"),
        ([[1], [True]], BadRequest, "input[1]", "not an array"),
        (["a"] * 2049, BadRequest, "input", "2049 inputs, and one request at most 2048"),
    ],
)
def test_any_other_input_is_refused_with_words(wire: Any, error: type[CallerError], param: str, words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        decode(input=wire)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"user": 1}, "user"),
        ({"input_type": 1}, "input_type"),
    ],
)
def test_mistakes_are_named_by_their_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(**members)
    assert caught.value.param == param


def test_every_member_comes_out_again() -> None:
    wire = {
        "model": "m",
        "input": ["a", "b"],
        "dimensions": 256,
        "encoding_format": "base64",
        "input_type": "query",
        "user": "u",
        "truncate": "END",
    }
    losses = Losses()
    assert DIALECT.encode_request(DIALECT.decode_request(wire), losses) == wire
    assert losses == []


def test_members_of_another_dialect_are_named_as_lost() -> None:
    losses = Losses()
    request = EmbeddingRequest(model="m", inputs=["a"], extras={OTHER: {"normalize": False}})
    assert DIALECT.encode_request(request, losses) == {"model": "m", "input": "a"}
    assert [(loss.field, loss.severity) for loss in losses] == [("normalize", "warning")]
