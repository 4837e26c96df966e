"""The route of embeddings, as OpenAI's own client calls it, and that of Bedrock's models, as AWS's does."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import boto3
import openai
import pytest
from botocore.config import Config

from tests import wire
from tests.fake_aws import FakeAws
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.server import WyeServer

TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"


def answer(request: FakeRequest) -> FakeAnswer:
    """A vector that tells the length of each input, in the encoding that is asked for."""
    body = request.json()
    given = body["input"]
    inputs = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    data: list[dict[str, Any]] = []
    for i, item in enumerate(inputs):
        vector: Any = [float(len(item)), 0.5]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
        data.append({"object": "embedding", "index": i, "embedding": vector})
    usage = {"prompt_tokens": 3 * len(inputs), "total_tokens": 3 * len(inputs)}
    return json_body({"object": "list", "data": data, "model": "embedder-1", "usage": usage})


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(answer) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def aws() -> Iterator[FakeAws]:
    with FakeAws(AKIAKNOWN="s3cret") as aws:
        yield aws


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream, aws: FakeAws) -> Iterator[WyeServer]:
    elsewhere = {"deployments": [{"provider": "own", "model": "e"}]}
    config = {
        "server": {"api_key": "k-1"},
        "local": {"preload": []},
        "providers": {
            "openai": {"base_url": f"{upstream.url}/v1", "api_key": "k"},
            "azure": {"base_url": upstream.url, "api_key": "k", "api_version": "2024-10-21"},
            "own": {"kind": "vllm", "base_url": f"{upstream.url}/v1"},
            "bedrock": {
                "region": "eu-central-1",
                "endpoint_url": aws.url,
                "access_key_id": "AKIAKNOWN",
                "secret_access_key": "s3cret",
            },
        },
        "routes": {"amazon.titan-embed-elsewhere": elsewhere, "cohere.embed-elsewhere": elsewhere},
    }
    with WyeServer(config) as server:
        yield server


@pytest.fixture
def client(server: WyeServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="k-1", max_retries=0)


@pytest.mark.parametrize(
    ("model", "path", "sent"),
    [
        ("text-embedding-3-small", "/v1/embeddings", "text-embedding-3-small"),
        ("own/e", "/v1/embeddings", "e"),
        ("azure/small", "/openai/deployments/small/embeddings?api-version=2024-10-21", "small"),
    ],
)
@pytest.mark.parametrize("encoding", ["base64", "float"])
@pytest.mark.parametrize(
    ("inputs", "lengths"), [("hello", [5]), (["a", "bcd"], [1, 3]), ([1, 2], [2]), ([[1, 2, 3], [4, 5]], [3, 2])]
)
def test_who_speaks_the_same_is_sent_the_same(
    inputs: Any,
    lengths: list[int],
    encoding: Any,
    model: str,
    path: str,
    sent: str,
    client: openai.OpenAI,
    upstream: FakeUpstream,
) -> None:
    # The SDK asks for base64 when its caller names no encoding.
    asked: Any = {"encoding_format": "float"} if encoding == "float" else {}
    found = client.embeddings.create(model=model, input=inputs, dimensions=2, user="u", **asked)
    assert [item.embedding for item in found.data] == [[length, 0.5] for length in lengths]
    assert found.usage.prompt_tokens == 3 * len(lengths)
    request = upstream.requests[-1]
    assert request.path == path
    assert request.json() == {
        "model": sent, "input": inputs, "dimensions": 2, "user": "u", "encoding_format": encoding,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
def test_the_route_is_served_with_and_without_its_version(path: str, server: WyeServer) -> None:
    headers = {"authorization": "Bearer k-1"}
    status, told, body = wire.call(server.url, path, {"model": "own/e", "input": "abc"}, headers=headers)
    assert status == 200
    assert json.loads(body)["data"] == [{"object": "embedding", "index": 0, "embedding": [3.0, 0.5]}]
    assert told["x-wye-deployment"] == "own/e"
    assert wire.call(server.url, path, {"model": "own/e", "input": "abc"})[0] == 401


@pytest.mark.parametrize("encoding", ["base64", "float"])
@pytest.mark.parametrize("model", [TITAN, COHERE, f"us.{TITAN}"])
def test_models_of_bedrock_are_asked_in_their_own_words(
    model: str, encoding: Any, client: openai.OpenAI, aws: FakeAws
) -> None:
    before = len(aws.requests)
    texts = ["a" * (i + 1) for i in range(100)]
    asked: Any = {"encoding_format": "float"} if encoding == "float" else {}
    found = client.embeddings.create(model=model, input=texts, **asked)
    assert [round(item.embedding[0]) for item in found.data] == [len(text) for text in texts]
    assert [item.embedding[1] for item in found.data] == pytest.approx([0.1] * 100)
    assert found.usage.total_tokens == 300
    assert found.model == model
    # Titan takes one text a call, Cohere 96.
    assert len(aws.requests) - before == (2 if model == COHERE else 100)
    assert aws.requests[-1].headers["authorization"].startswith("AWS4-HMAC-SHA256")


def test_token_ids_are_refused_where_they_would_mean_something_else(client: openai.OpenAI, aws: FakeAws) -> None:
    before = len(aws.requests)
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as caught:
        client.embeddings.create(model=TITAN, input=[[1, 2, 3]])
    assert caught.value.param == "input"
    with pytest.raises(openai.BadRequestError, match="one length only"):
        client.embeddings.create(model="amazon.titan-embed-text-v1", input="a", dimensions=256)
    assert len(aws.requests) == before


def test_a_mistake_is_told_in_openais_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="input is required"):
        client.embeddings.create(model=TITAN, input=[])
    with pytest.raises(openai.NotFoundError, match="'local/smollm2-135m-instruct' makes no embeddings") as caught:
        client.embeddings.create(model="smollm2-135m-instruct", input="a")
    assert (caught.value.code, caught.value.param) == ("no_embeddings", "model")
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.embeddings.create(model="no-such-model", input="a")
    with pytest.raises(openai.BadRequestError, match="model is required"):
        client.embeddings.create(model="", input="a")


@pytest.fixture
def boto(server: WyeServer) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=server.url,
        region_name="eu-central-1",
        aws_access_key_id="wye",
        aws_secret_access_key="k-1",
        config=Config(retries={"max_attempts": 0}),
    )


def test_bedrocks_own_bodies_reach_bedrock_as_they_are(boto: Any, aws: FakeAws) -> None:
    # /model/{model}/invoke
    body = {"inputText": "hello", "dimensions": 256, "normalize": True}
    answer = json.loads(boto.invoke_model(modelId=TITAN, body=json.dumps(body))["body"].read())
    assert answer == {"embedding": [5, 0.1], "embeddingsByType": {"float": [5, 0.1]}, "inputTextTokenCount": 3}
    assert aws.requests[-1].json() == body
    body = {"texts": ["ab"], "input_type": "search_query", "truncate": "END"}
    answer = json.loads(boto.invoke_model(modelId=COHERE, body=json.dumps(body))["body"].read())
    assert answer["embeddings"] == [[2, 0.1]]
    assert aws.requests[-1].json() == body


def test_bedrocks_own_bodies_reach_other_models_in_theirs(boto: Any, upstream: FakeUpstream) -> None:
    body = {"inputText": "hello", "dimensions": 256}
    answer = json.loads(boto.invoke_model(modelId="amazon.titan-embed-elsewhere", body=json.dumps(body))["body"].read())
    assert answer == {"embedding": [5.0, 0.5], "embeddingsByType": {"float": [5.0, 0.5]}, "inputTextTokenCount": 3}
    assert upstream.requests[-1].json() == {"model": "e", "input": "hello", "dimensions": 256}
    body = {"texts": ["ab", "c"], "input_type": "search_query"}
    answer = json.loads(boto.invoke_model(modelId="cohere.embed-elsewhere", body=json.dumps(body))["body"].read())
    assert answer["embeddings"] == [[2.0, 0.5], [1.0, 0.5]]
    assert upstream.requests[-1].json() == {"model": "e", "input": ["ab", "c"], "input_type": "search_query"}
    with pytest.raises(boto.exceptions.ValidationException, match="inputText is required"):
        boto.invoke_model(modelId="amazon.titan-embed-elsewhere", body="{}")
