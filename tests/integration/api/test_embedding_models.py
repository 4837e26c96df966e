"""Documents whose vectors a provider makes, through the gateway: there, away, changed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import wye
from tests import wire
from wye.config.load import config_from
from wye.kernel.errors import ConfigError
from wye.knowledge import library
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.server import WyeServer
from wye.wiring import create_worker

TEXTS = {
    "rivers.txt": "The Wye rises on Plynlimon and flows to Chepstow.",
    "money.txt": "Revenue was twelve million last year.",
    "bees.txt": "Bees dance to tell where the flowers are.",
}
ABOUT = ({"Wye", "brook"}, {"Revenue", "dollars"}, {"Bees", "insects"})
"""What means the same for the fake model, though the words are others."""


class Embeddings(FakeUpstream):
    """A model whose vectors have a number for each thing that a text may be about, and `more` that say nothing."""

    def __init__(self, more: int = 0, longest: int = 10_000) -> None:
        super().__init__(self._answer)
        self.more = more
        self.longest = longest
        self.up = True

    def vector(self, text: str) -> list[float]:
        words = set(text.replace(".", "").replace("?", "").split())
        return [float(bool(words & about)) for about in ABOUT] + [0.01] * (self.more + 1)

    def _answer(self, request: FakeRequest) -> FakeAnswer:
        if not self.up:
            return FakeAnswer([], head=False, end="reset")
        body = request.json()
        if "texts" in body:  # Cohere's, at Bedrock
            return json_body({"id": "1", "embeddings": [self.vector(text) for text in body["texts"]], "texts": []})
        inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if any(len(text) > self.longest for text in inputs):
            error = {"message": "This model's maximum context length is 8192 tokens", "code": "context_length_exceeded"}
            return json_body({"error": {**error, "type": "invalid_request_error"}}, 400)
        data = [{"object": "embedding", "index": i, "embedding": self.vector(text)} for i, text in enumerate(inputs)]
        return json_body({"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 1}})


def config(home: Path, upstream: Embeddings, model: str = "route", **more: Any) -> dict[str, Any]:
    return {
        "home": str(home),
        "local": {"enabled": False},
        "providers": {
            "up": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"},
            "bedrock": {
                "endpoint_url": upstream.url,
                "region": "us-east-1",
                "access_key_id": "AK",
                "secret_access_key": "s",
            },
        },
        "routes": {"route": {"deployments": [{"provider": "up", "model": "embed-1"}], "retries": 0}},
        "documents": {"embedding_model": model, **more.pop("documents", {})},
        **more,
    }


def upload(url: str) -> list[str]:
    made: list[str] = []
    for name, text in TEXTS.items():
        form = wire.form(name, text.encode())
        made.append(json.loads(wire.call(url, "/api/v1/upload", form.body, headers=form.headers)[2])["document_id"])
    return made


def models(url: str) -> list[tuple[str, str | None]]:
    listed = json.loads(wire.call(url, "/api/v1/documents")[2])["data"]
    return [(document["status"], document["embedding_model"]) for document in listed]


def found(url: str, ids: list[str], question: str = "Where is the brook?") -> list[str]:
    """The files of the passages, the best first."""
    asked = {"question": question, "document_ids": ids, "stream": False}
    said = json.loads(wire.call(url, "/api/v1/ask", asked)[2])
    return [citation["filename"] for citation in said["citations"]]


@pytest.mark.parametrize(
    ("name", "model", "purposes"),
    [
        ("route", "embed-1", {None}),
        ("up/embed-2", "embed-2", {None}),
        (
            "bedrock/cohere.embed-english-v3",
            "cohere.embed-english-v3",
            {"search_document", "search_query"},
        ),
    ],
)
def test_whoever_makes_vectors_is_asked_through_the_gateway(
    name: str, model: str, purposes: set[str | None], tmp_path: Path
) -> None:
    with Embeddings() as upstream, WyeServer(config(tmp_path, upstream, name)) as server:
        ids = upload(server.url)
        wire.until(lambda: models(server.url) == [("ready", model)] * 3)
        assert found(server.url, ids)[0] == "rivers.txt"
        assert found(server.url, ids, "How many dollars?")[0] == "money.txt"
        asked = [request.json() for request in upstream.requests]
        assert {body.get("input_type") for body in asked} == purposes
        assert {body.get("model", model) for body in asked} == {model}
        (route,) = [r for n, r in json.loads(wire.call(server.url, "/stats")[2])["routes"].items() if n == name]
        assert route["deployments"][0]["requests"] == len(asked)


def test_no_limit_of_a_key_binds_what_wye_asks_itself(tmp_path: Path) -> None:
    with Embeddings() as upstream, WyeServer(config(tmp_path, upstream, limits={"requests_per_minute": 1})) as server:
        upload(server.url)
        wire.until(lambda: models(server.url) == [("ready", "embed-1")] * 3)


def test_while_it_is_away_documents_are_found_by_words_and_then_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_TIDIED_S", 0.2)
    with Embeddings() as upstream, WyeServer(config(tmp_path, upstream)) as server:
        upstream.up = False
        ids = upload(server.url)
        wire.until(lambda: models(server.url) == [("ready", None)] * 3)
        assert found(server.url, ids, "Who has twelve million?") == ["money.txt"]
        assert found(server.url, ids, "brook") == []
        upstream.up = True
        wire.until(lambda: models(server.url) == [("ready", "embed-1")] * 3)
        assert found(server.url, ids)[0] == "rivers.txt"


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        (Embeddings(longest=5), "maximum context length"),
        (FakeUpstream(lambda _: json_body({"data": [], "model": "e"})), "does not hold a vector of one length"),
        (FakeUpstream(lambda _: json_body({"data": [{"embedding": []}], "model": "e"})), "does not hold a vector"),
        (FakeUpstream(lambda _: json_body({"error": {"message": "No such key"}}, 401)), "No such key"),
    ],
    ids=["too-long", "too-few", "empty", "refused"],
)
def test_vectors_that_cannot_be_had_are_no_failure_of_the_document(
    upstream: Embeddings, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with upstream, WyeServer(config(tmp_path, upstream)) as server:
        ids = upload(server.url)
        wire.until(lambda: models(server.url) == [("ready", None)] * 3)
        assert found(server.url, ids, "Who has twelve million?") == ["money.txt"]
    told = [record.message for record in caplog.records if "Documents are found by their words alone" in record.message]
    assert len(told) == 1, "it is told once"
    assert said in told[0]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_another_model_indexes_anew_and_vectors_of_two_are_never_mixed(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    storage = {"url": request.getfixturevalue("postgres_url") if database == "postgres" else None}
    with Embeddings() as upstream:
        with WyeServer(config(tmp_path, upstream, storage=storage)) as server:
            ids = upload(server.url)
            wire.until(lambda: models(server.url) == [("ready", "embed-1")] * 3)
        upstream.more = 2
        with WyeServer(config(tmp_path, upstream, "up/embed-2", storage=storage)) as server:
            wire.until(lambda: models(server.url) == [("ready", "embed-2")] * 3)
            assert found(server.url, ids)[0] == "rivers.txt"
        # The first again, which makes longer vectors than it did: they are compared with none.
        with WyeServer(config(tmp_path, upstream, storage=storage)) as server:
            wire.until(lambda: models(server.url) == [("ready", "embed-1")] * 3)
            assert found(server.url, ids, "brook") == []
            assert found(server.url, ids, "Who has twelve million?") == ["money.txt"]


async def test_a_worker_asks_it_too(tmp_path: Path) -> None:
    with Embeddings(longest=120) as upstream:
        settings = config(tmp_path, upstream)
        with WyeServer({**settings, "documents": {"embedding_model": "route", "readers": 0}}) as server:
            form = wire.form("long.txt", ("The Wye flows. " * 150).encode())
            wire.call(server.url, "/api/v1/upload", form.body, headers=form.headers)
            app, reading = create_worker(config_from(settings))
            await app.start()
            await reading()
            await asyncio.to_thread(wire.until, lambda: models(server.url) == [("ready", "embed-1")])
            await app.stop()
        assert min(len(str(request.json()["input"])) for request in upstream.requests) <= 120, "it was cut"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bge-smal-en-v1.5", "a model on this machine (bge-small-en-v1.5"),
        ("anthropic/claude-sonnet-4-5", "'anthropic/claude-sonnet-4-5' makes no embeddings"),
    ],
)
def test_who_makes_no_vectors_is_refused_at_the_start(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wye.create_app({"local": {"enabled": False}, "documents": {"embedding_model": name}})
    assert caught.value.message.startswith("documents.embedding_model is ")
    assert said in caught.value.message


def test_a_server_that_ends_writes_down_what_it_has_asked_for_itself(tmp_path: Path) -> None:
    with Embeddings() as upstream:
        upstream.script = lambda _: FakeAnswer([], head=False, end="hang")
        with WyeServer(config(tmp_path, upstream, usage={"ledger": True})) as server:
            upload(server.url)
            wire.until(lambda: bool(upstream.requests))
    with closing(sqlite3.connect(tmp_path / "wye.db")) as database:
        assert set(database.execute("SELECT principal, status FROM usage")) == {("documents", "failed")}
    assert list((tmp_path / "journal").iterdir()) == []
