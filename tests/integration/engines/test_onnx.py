"""The encoders in the box, by hand and through a running server."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests import wire
from wye.catalog.encoders import ENCODERS
from wye.engines.onnx import child
from wye.engines.onnx.child import Ask, EncoderSettings, Read
from wye.engines.onnx.engine import OnnxEngine
from wye.engines.weights import LocalWeights
from wye.kernel.errors import BadRequest
from wye.testing.server import WyeServer

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("onnx")]

BGE, MINILM = ENCODERS
BEDROCK: dict[str, dict[str, Any]] = {
    "amazon.titan-embed-text-v2:0": {"inputText": "a", "dimensions": 384},
    "cohere.embed-english-v3": {"texts": ["a"], "input_type": "search_query"},
}
TEXTS = ["A cat sleeps on the sofa.", "The kitten naps on the couch.", "Interest rates rose by half a percent."]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[OnnxEngine]:
    engine = OnnxEngine(ENCODERS, LocalWeights(tmp_path / "models"))
    yield engine
    await engine.close()


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_what_means_the_same_is_near_and_does_not_depend_on_its_neighbours(engine: OnnxEngine) -> None:
    made = await engine.embed(BGE, TEXTS)
    a, b, c = made.vectors
    assert all(abs(cosine(v, v) - 1) < 1e-5 and len(v) == 384 for v in made.vectors)
    assert cosine(a, b) > 0.8 > 0.6 > cosine(a, c)
    assert (await engine.embed(BGE, ["a " * 500, TEXTS[0]])).vectors[1] == a


@pytest.mark.parametrize(("words", "fits"), [(510, True), (511, False)])
async def test_the_longest_text(engine: OnnxEngine, words: int, fits: bool) -> None:
    if fits:
        assert (await engine.embed(BGE, ["a " * words])).tokens == 512
    else:
        with pytest.raises(BadRequest, match="512 tokens, but input has 513 tokens"):
            await engine.embed(BGE, ["a " * words])


async def test_the_passage_that_answers_is_first(engine: OnnxEngine) -> None:
    passages = ["Bananas are yellow.", "Paris is the capital of France.", "France is in Europe. " * 300]
    scores = await engine.rank(MINILM, "What is the capital of France?", passages)
    assert scores[1] == max(scores)
    assert scores[1] > 5 > -5 > scores[0]


async def test_the_loop_goes_on_while_a_model_loads_and_reads(engine: OnnxEngine) -> None:
    longest, stop = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not stop:
            began_s = time.perf_counter()
            await asyncio.sleep(0.002)
            longest = max(longest, time.perf_counter() - began_s)

    for _ in range(3):  # the machine may stand still once
        longest, stop = 0.0, False
        watching = asyncio.create_task(watch())
        for text in ("x" * 99_999, "word " * 400):
            await asyncio.gather(engine.embed(BGE, [text]), return_exceptions=True)
        stop = True
        await watching
        if longest < 0.5:
            return
        await engine.unload(BGE)
    pytest.fail(f"it stood still for {longest:.1f} s")


@pytest.mark.parametrize("card", ENCODERS.values(), ids=list(ENCODERS))
def test_the_child_reads_by_itself(card: Any, tmp_path: Path) -> None:
    weights = LocalWeights(tmp_path)
    paths = [str(weights.locate(file)) for file in (card.model, card.tokenizer)]
    encoder = child._Encoder(EncoderSettings(*paths, card.kind, 16, 1, 2**30))
    read = encoder.read(Ask("a b", "c"))
    assert (read.tokens, len(read.numbers)) == ((4, 384 * 4) if card.kind == "embedding" else (6, 4))
    longer = encoder.read(Ask("a " * 20, "b " * 20))
    assert longer == Read(22, b"") if card.kind == "embedding" else longer.tokens == 16


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    local = {"models_dir": str(tmp_path_factory.mktemp("models")), "preload": []}
    routes = {name: {"deployments": [{"provider": "local", "model": BGE}]} for name in BEDROCK}
    with WyeServer({"local": local, "routes": routes}) as server:
        yield server.url


def test_through_the_sdk_as_numbers_and_as_base64(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    numbers = client.embeddings.create(model=BGE, input=TEXTS, encoding_format="float")
    packed = client.embeddings.create(model=BGE, input=TEXTS)  # the SDK asks for base64
    for a, b in zip(numbers.data, packed.data, strict=True):
        assert a.embedding == pytest.approx(b.embedding)
    assert [e.index for e in numbers.data] == [0, 1, 2]
    assert (numbers.model, numbers.usage.prompt_tokens, numbers.usage.total_tokens) == (BGE, 29, 29)
    _, _, body = wire.call(url, "/v1/embeddings", {"model": BGE, "input": "a", "encoding_format": "base64"})
    vector = base64.b64decode(json.loads(body)["data"][0]["embedding"])
    assert len(struct.unpack("<384f", vector)) == 384


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"dimensions": 64}, "dimensions", "makes vectors of 384 dimensions, not of 64"),
        ({"input": [1, 2]}, "input", "token ids"),
        ({"input": "a " * 600}, "input", "maximum context length is 512 tokens, but input has 602 tokens"),
        ({"model": MINILM}, "model", "is a model for reranker"),
    ],
)
def test_what_these_models_cannot_do_is_refused(url: str, change: dict[str, Any], param: str, words: str) -> None:
    status, _, body = wire.call(url, "/v1/embeddings", {"model": BGE, "input": "a", **change})
    error = json.loads(body)["error"]
    assert (status, error["param"]) == (400, param)
    assert words in error["message"]


def test_a_model_for_vectors_is_no_model_for_text(url: str) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    status, _, body = wire.call(url, "/v1/chat/completions", {"model": BGE, "messages": turns})
    assert status == 400
    assert "ask it at /v1/embeddings" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize(("model", "body"), BEDROCK.items(), ids=list(BEDROCK))
def test_in_the_formats_of_bedrock(url: str, model: str, body: dict[str, Any]) -> None:
    status, _, answer = wire.call(url, f"/model/{model}/invoke", body)
    made = json.loads(answer)
    vector = made["embeddings"][0] if "embeddings" in made else made["embedding"]
    assert (status, len(vector)) == (200, 384)


def test_listed_loaded_and_unloaded_like_any_local_model(url: str) -> None:
    assert json.loads(wire.call(url, f"/v1/models/{BGE}/load", {})[2])["status"] == "loaded"
    shown = {model["id"]: model for model in json.loads(wire.call(url, "/v1/models")[2])["data"]}
    assert (shown[BGE]["roles"], shown[BGE]["context_length"]) == (["embedding"], 512)
    assert json.loads(wire.call(url, f"/v1/models/{BGE}/unload", {})[2])["status"] == "available"
