from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.bedrock_embeddings import family_of_model
from wye.dialects.dialect import EmbeddingDialect
from wye.dialects.registry import EMBEDDINGS
from wye.kernel import json
from wye.kernel.errors import BadAnswer, BadRequest, CallerError, Unprocessable

TITAN, COHERE, NOVA = (EMBEDDINGS[f"bedrock_{name}_embeddings"] for name in ("titan", "cohere", "nova"))
OTHER = "openai_embeddings"
V1, V2, IMAGE = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0", "amazon.titan-embed-image-v1"
EMBED_3, EMBED_4 = "cohere.embed-english-v3", "us.cohere.embed-v4:0"
NOVA_2 = "amazon.nova-2-multimodal-embeddings-v1:0"


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        (V1, TITAN),
        (V2, TITAN),
        (IMAGE, TITAN),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{V2}", TITAN),
        (EMBED_3, COHERE),
        (EMBED_4, COHERE),
        (NOVA_2, NOVA),
        ("amazon.titan-text-express-v1", None),
        ("cohere.command-r-v1:0", None),
        ("amazon.nova-lite-v1:0", None),
        ("text-embedding-3-small", None),
    ],
)
def test_the_family_is_told_by_the_models_id(model: str, dialect: EmbeddingDialect | None) -> None:
    assert family_of_model(model) is dialect


def encode(dialect: EmbeddingDialect, model: str, **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is sent, and the severity of each loss by its field."""
    losses = Losses()
    body = dialect.encode_request(EmbeddingRequest(**{"model": model, "inputs": ["a"], **members}), losses)
    return body, {loss.field: loss.severity for loss in losses}


FOREIGN: dict[str, Any] = {"user": "u", "extras": {OTHER: {"truncate": "END"}}}


@pytest.mark.parametrize(
    ("dialect", "model", "members", "said", "lost"),
    [
        (TITAN, V1, {}, {"inputText": "a"}, {}),
        (TITAN, V2, {"dimensions": 256}, {"inputText": "a", "dimensions": 256}, {}),
        (TITAN, IMAGE, {"dimensions": 256}, {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 256}}, {}),
        (TITAN, V2, {**FOREIGN, "purpose": "query"}, {"inputText": "a"},
         {"user": "info", "truncate": "warning", "input_type": "warning"}),
        (COHERE, EMBED_3, {"inputs": ["a", "b"]}, {"texts": ["a", "b"], "input_type": "search_document"},
         {"input_type": "info"}),
        (COHERE, EMBED_3, {"purpose": "query"}, {"texts": ["a"], "input_type": "search_query"}, {}),
        (COHERE, EMBED_3, {"purpose": "passage"}, {"texts": ["a"], "input_type": "search_document"}, {}),
        (COHERE, EMBED_4, {"purpose": "clustering", "dimensions": 512, **FOREIGN},
         {"texts": ["a"], "input_type": "clustering", "output_dimension": 512},
         {"user": "info", "truncate": "warning"}),
        (NOVA, NOVA_2, {"dimensions": 384},
         {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {
             "embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 384,
             "text": {"truncationMode": "NONE", "value": "a"}}}, {"input_type": "info"}),
        (NOVA, NOVA_2, {"purpose": "search_query", **FOREIGN},
         {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {
             "embeddingPurpose": "GENERIC_RETRIEVAL", "text": {"truncationMode": "NONE", "value": "a"}}},
         {"user": "info", "truncate": "warning"}),
    ],
)  # fmt: skip
def test_a_request_of_another_dialect_is_said_or_its_loss_named(
    dialect: EmbeddingDialect, model: str, members: dict[str, Any], said: Any, lost: dict[str, str]
) -> None:
    assert encode(dialect, model, **members) == (said, lost)


@pytest.mark.parametrize(
    ("dialect", "model", "members", "param"),
    [
        (TITAN, V2, {"inputs": [[1, 2]]}, "input"),
        (COHERE, EMBED_4, {"inputs": ["a", [1]]}, "input"),
        (NOVA, NOVA_2, {"inputs": [[1]]}, "input"),
        (TITAN, V1, {"dimensions": 256}, "dimensions"),
        (COHERE, EMBED_3, {"dimensions": 256}, "dimensions"),
    ],
)
def test_what_a_model_cannot_take_is_refused(
    dialect: EmbeddingDialect, model: str, members: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        encode(dialect, model, **members)
    assert caught.value.param == param


REQUESTS: list[tuple[EmbeddingDialect, str, dict[str, Any]]] = [
    (TITAN, V1, {"inputText": "a"}),
    (TITAN, V2, {"inputText": "a", "dimensions": 256, "normalize": False, "embeddingTypes": ["float", "binary"]}),
    (TITAN, IMAGE, {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 256, "x": 1}}),
    (COHERE, EMBED_3, {"texts": ["a", "b"], "input_type": "search_query", "truncate": "END"}),
    (COHERE, EMBED_4, {"texts": ["a"], "input_type": "clustering", "embedding_types": ["float", "int8"],
                       "output_dimension": 256, "max_tokens": 9}),
    (NOVA, NOVA_2, {"schemaVersion": "nova-multimodal-embed-v1", "taskType": "SINGLE_EMBEDDING",
                    "singleEmbeddingParams": {"embeddingPurpose": "TEXT_RETRIEVAL", "embeddingDimension": 256, "x": 1,
                                              "text": {"truncationMode": "END", "value": "a"}}}),
    (NOVA, NOVA_2, {"taskType": "SINGLE_EMBEDDING",
                    "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_RETRIEVAL",
                                              "text": {"truncationMode": "NONE", "value": "a"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "model", "wire"), REQUESTS)
def test_a_request_comes_out_as_it_came_in(dialect: EmbeddingDialect, model: str, wire: dict[str, Any]) -> None:
    losses = Losses()
    request = dialect.decode_request(wire)
    request.model = model
    assert dialect.encode_request(request, losses) == wire
    assert losses == []


@pytest.mark.parametrize(
    ("dialect", "wire", "error", "param"),
    [
        (TITAN, {}, BadRequest, "inputText"),
        (TITAN, {"inputText": "a", "embeddingConfig": 7}, BadRequest, "embeddingConfig"),
        (COHERE, {}, Unprocessable, "texts"),
        (COHERE, {"texts": []}, Unprocessable, "texts"),
        (COHERE, {"texts": [1]}, BadRequest, "texts[0]"),
        (COHERE, {"images": ["data:..."]}, BadRequest, "images"),
        (COHERE, {"inputs": [{"content": []}]}, BadRequest, "inputs"),
        (NOVA, {}, BadRequest, "singleEmbeddingParams"),
        (NOVA, {"singleEmbeddingParams": {"image": {}}}, BadRequest, "singleEmbeddingParams"),
        (NOVA, {"singleEmbeddingParams": {"text": {"source": {}}}}, BadRequest, "singleEmbeddingParams"),
        (NOVA, {"taskType": "SEGMENTED_EMBEDDING", "singleEmbeddingParams": {"text": {"value": "a"}}}, BadRequest,
         "singleEmbeddingParams"),
    ],
)  # fmt: skip
def test_what_cannot_be_embedded_elsewhere_is_refused(
    dialect: EmbeddingDialect, wire: dict[str, Any], error: type[CallerError], param: str
) -> None:
    with pytest.raises(error) as caught:
        dialect.decode_request(wire)
    assert caught.value.param == param


ANSWERS: list[tuple[EmbeddingDialect, dict[str, Any], EmbeddingRequest, list[list[float]], Usage | None]] = [
    (TITAN, {"embedding": [0.5, 1.0], "embeddingsByType": {"float": [0.5, 1.0]}, "inputTextTokenCount": 3},
     EmbeddingRequest(model=V2, inputs=["a"]), [[0.5, 1.0]], Usage(3)),
    (TITAN, {"embedding": [0.5], "embeddingsByType": {"float": [0.5], "binary": [1]}, "inputTextTokenCount": 3, "x": 1},
     EmbeddingRequest(model=V2, inputs=["a"]), [[0.5]], Usage(3)),
    (COHERE, {"id": "1", "response_type": "embeddings_floats", "texts": ["a", "b"], "embeddings": [[0.5], [0.25]]},
     EmbeddingRequest(model=EMBED_3, inputs=["A", "B"]), [[0.5], [0.25]], None),
    (COHERE, {"id": "1", "response_type": "embeddings_by_type", "texts": ["a"],
              "embeddings": {"float": [[0.5]], "int8": [[5]]}},
     EmbeddingRequest(model=EMBED_4, inputs=["a"]), [[0.5]], None),
    (NOVA, {"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5], "truncatedCharLength": 9}], "x": 1},
     EmbeddingRequest(model=NOVA_2, inputs=["a"]), [[0.5]], None),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "wire", "request_", "vectors", "usage"), ANSWERS)
def test_an_answer_comes_out_as_it_came_in(
    dialect: EmbeddingDialect, wire: dict[str, Any], request_: EmbeddingRequest, vectors: Any, usage: Usage | None
) -> None:
    answer = dialect.decode_response(wire, {})
    assert [embedding.vector for embedding in answer.embeddings] == vectors
    assert answer.usage == usage
    losses = Losses()
    assert dialect.encode_response(request_, answer, losses) == wire
    assert losses == []
    assert dialect.usage_of(json.encode(wire), {}) == usage


def test_tokens_are_told_by_a_header_where_the_body_does_not() -> None:
    headers = {b"x-amzn-bedrock-input-token-count": b"7"}
    wire = {"embeddings": [[0.5]]}
    assert COHERE.decode_response(wire, headers).usage == Usage(7)
    assert COHERE.usage_of(json.encode(wire), headers) == Usage(7)
    assert COHERE.usage_of(json.encode(wire), {b"x-amzn-bedrock-input-token-count": b"many"}) is None
    assert TITAN.decode_response({"embedding": [1], "inputTextTokenCount": 3}, headers).usage == Usage(3)


@pytest.mark.parametrize(
    ("dialect", "wire"),
    [
        (TITAN, {}),
        (TITAN, {"embedding": None, "message": "Too long"}),
        (TITAN, {"embedding": ["x"]}),
        (COHERE, {}),
        (COHERE, {"embeddings": {"int8": [[1]]}}),
        (COHERE, {"embeddings": [7]}),
        (NOVA, {}),
        (NOVA, {"embeddings": [{}]}),
        (NOVA, {"embeddings": [7]}),
    ],
)
def test_what_holds_no_vectors_is_a_bad_answer(dialect: EmbeddingDialect, wire: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="The upstream"):
        dialect.decode_response(wire, {})


def test_a_request_to_nova_needs_little() -> None:
    request = NOVA.decode_request({"singleEmbeddingParams": {"text": {"value": "a"}}})
    assert request == EmbeddingRequest(model="", inputs=["a"])


def test_a_vector_of_something_else_says_so() -> None:
    answer = NOVA.decode_response({"embeddings": [{"embeddingType": "IMAGE", "embedding": [1]}]}, {})
    assert answer.embeddings == [Embedding([1.0], {NOVA.name: {"embeddingType": "IMAGE"}})]


def test_a_message_that_says_nothing_is_none() -> None:
    assert TITAN.decode_response({"embedding": [1], "message": None}, {}).extras is None


FOREIGN_ANSWER = EmbeddingResponse(
    model="m",
    embeddings=[Embedding([0.5], {OTHER: {"a": 1}})],
    usage=Usage(3, extras={OTHER: {"b": 1}}),
    extras={OTHER: {"c": 1}},
)


@pytest.mark.parametrize(
    ("dialect", "request_", "said"),
    [
        (TITAN, EmbeddingRequest(model="x", inputs=["a"]),
         {"embedding": [0.5], "embeddingsByType": {"float": [0.5]}, "inputTextTokenCount": 3}),
        (COHERE, EmbeddingRequest(model="x", inputs=["a"]),
         {"response_type": "embeddings_floats", "embeddings": [[0.5]], "texts": ["a"]}),
        (COHERE, EmbeddingRequest(model=EMBED_4, inputs=["a"]),
         {"response_type": "embeddings_by_type", "embeddings": {"float": [[0.5]]}, "texts": ["a"]}),
        (COHERE, EmbeddingRequest(model="x", inputs=["a"], extras={COHERE.name: {"embedding_types": ["float"]}}),
         {"response_type": "embeddings_by_type", "embeddings": {"float": [[0.5]]}, "texts": ["a"]}),
        (NOVA, EmbeddingRequest(model="x", inputs=["a"]),
         {"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5]}]}),
    ],
)  # fmt: skip
def test_an_answer_of_another_dialect_is_said(
    dialect: EmbeddingDialect, request_: EmbeddingRequest, said: dict[str, Any]
) -> None:
    losses = Losses()
    body = dialect.encode_response(request_, FOREIGN_ANSWER, losses)
    body.pop("id", None)
    assert body == said
    assert {loss.field.rpartition(".")[2] for loss in losses} == {"a", "b", "c"}
    assert {loss.severity for loss in losses} == {"info"}


def test_an_answer_without_figures_counts_none() -> None:
    answer = EmbeddingResponse(model="", embeddings=[Embedding([0.5])])
    body = TITAN.encode_response(EmbeddingRequest(model="x", inputs=["a"]), answer, Losses())
    assert body["inputTextTokenCount"] == 0


def test_real_traffic_comes_out_as_it_came_in(recordings: Path) -> None:
    entries = json.decode((recordings / "index.json").read_bytes())["entries"]
    seen: set[str] = set()
    for entry in entries:
        dialect = family_of_model(entry["model"] or "")
        if dialect is None or entry["status"] != 200:
            continue
        seen.add(dialect.name)
        wire = json.decode((recordings / entry["request_file"]).read_bytes())
        request, losses = dialect.decode_request(wire), Losses()
        request.model = entry["model"]
        assert dialect.encode_request(request, losses) == wire, entry["id"]
        body = json.decode((recordings / entry["response_file"]).read_bytes())
        answer = dialect.decode_response(body, {})
        assert dialect.encode_response(request, answer, losses) == body, entry["id"]
        assert losses == [], entry["id"]
    assert seen == {TITAN.name, COHERE.name, NOVA.name}
