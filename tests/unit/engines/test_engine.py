"""The engine's decisions, with weights and a child that are not real."""

from __future__ import annotations

import asyncio
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engines.test_gguf import TINY, header
from tests.unit.engines.test_supervisor import is_alive
from tests.waiting import until
from wye.catalog.model_card import ModelCard
from wye.engines.llama_cpp import engine as module
from wye.engines.llama_cpp.engine import LlamaCppEngine
from wye.engines.llama_cpp.supervisor import Supervisor
from wye.kernel.errors import (
    ConfigError,
    MissingExtra,
    NoDeployment,
    NotFound,
    OperatorError,
    OutOfMemory,
    Overloaded,
)

MB = 1024**2
KV_BYTES = 4 * 3 * 16 * (4 * 64)
"""Of TINY, for four slots of 64 tokens."""


def card(name: str) -> ModelCard:
    return ModelCard(
        id=name,
        title=name,
        sources=(),
        sha256="",
        bytes=5 * MB,
        context_length=64,
        licence="none",
        created=7,
        roles=("primary",),
    )


CARDS = {name: card(name) for name in ("good", "other", "errors", "hangs", "missing", "spoilt")}


class Files:
    """Weights that lie in a folder; `held` keeps a look-up waiting."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held = threading.Event()
        self.held.set()
        self.threads: set[int] = set()

    def is_here(self, card: ModelCard) -> bool:
        return card.id != "missing"

    def locate(self, card: ModelCard) -> Path | None:
        self.threads.add(threading.get_ident())
        assert self.held.wait(10)
        if card.id == "spoilt":
            raise ConfigError("spoilt.gguf is not the file of spoilt")
        path = self.folder / f"{card.id}.gguf"
        path.write_bytes(header(*TINY))
        return path if card.id != "missing" else None

    def fetch(self, card: ModelCard, progress: Any = None) -> Path:
        raise AssertionError("the engine never fetches")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
async def make(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., LlamaCppEngine]]:
    fake = Path(__file__).with_name("fake_child.py")
    # The fake notes its starts at the model's path: there it finds a file of its own instead.
    code = (
        "import sys, runpy, io, json; s = json.loads(sys.stdin.buffer.readline()); s['model_path'] += '.starts'; "
        "sys.stdin = io.TextIOWrapper(io.BytesIO(json.dumps(s).encode())); "
        f"runpy.run_path({str(fake)!r}, run_name='__main__')"
    )
    monkeypatch.setattr(
        module, "Supervisor", lambda settings: Supervisor(settings, lambda: [sys.executable, "-S", "-c", code])
    )
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    made: list[LlamaCppEngine] = []

    def engine(**options: Any) -> LlamaCppEngine:
        made.append(LlamaCppEngine(CARDS, files, **options))
        return made[-1]

    yield engine
    files.held.set()
    await asyncio.gather(*(each.close() for each in made))


def status(engine: LlamaCppEngine, model: str) -> tuple[str, str | None]:
    [found] = [each for each in engine.models() if each.id == model]
    return found.status, found.error


async def test_a_model_is_described_before_and_after_it_is_loaded(make: Any) -> None:
    engine = make()
    before = engine.models()[0]
    assert (before.id, before.status, before.created, before.roles) == ("good", "available", 7, ["primary"])
    assert (before.context_length, before.memory_mb) == (64, 5)
    after = await engine.load("good")
    assert (after.status, after.error) == ("loaded", None)
    assert after.memory_mb == (100 * MB + KV_BYTES + len(header(*TINY))) // MB
    assert after == engine.models()[0] == await engine.load("good")


async def test_a_model_without_a_file_is_absent(make: Any) -> None:
    statuses = {model.id: model.status for model in make().models()}
    assert statuses["missing"] == "absent"
    assert set(statuses.values()) == {"absent", "available"}


@pytest.mark.parametrize(("asked", "given"), [(None, 64), (16, 16), (100_000, 64)])
async def test_the_context_is_what_is_asked_for_within_what_the_model_has(
    make: Any, asked: int | None, given: int
) -> None:
    assert make(context_length=asked).models()[0].context_length == given


async def test_unloading_frees_and_is_idempotent(make: Any) -> None:
    engine = make()
    assert (await engine.unload("good")).status == "available"
    first = await engine.address("good")
    pid = engine._models["good"].supervisor.pid
    assert (await engine.unload("good")).status == "available"
    assert not is_alive(pid)
    second = await engine.address("good")
    assert second != first, "what is remembered of an address holds for one file"


async def test_an_unknown_model_is_not_found(make: Any) -> None:
    engine = make()
    for call in (engine.load, engine.unload, engine.address):
        with pytest.raises(NotFound, match=r"Model 'gpt-9' not found\. Local models: good, other") as refused:
            await call("gpt-9")
        assert refused.value.code == "model_not_found"
    with pytest.raises(NotFound) as refused:
        await engine.load("x" * 10_000)
    assert len(refused.value.message) < 400


async def test_a_preload_that_is_no_model_is_a_mistake_in_the_configuration(make: Any) -> None:
    with pytest.raises(ConfigError, match=r"local\.preload: 'nope' is not a local model; known: good"):
        make(preload=["nope"])


async def test_two_loads_at_once_start_one_child(make: Any, tmp_path: Path) -> None:
    engine = make()
    addresses = await asyncio.gather(*(engine.address("good") for _ in range(5)))
    assert len(set(addresses)) == 1
    assert len((tmp_path / "good.gguf.starts").read_text().splitlines()) == 1


async def test_a_model_beyond_the_memory_is_refused_with_figures(make: Any) -> None:
    need = 100 * MB + KV_BYTES + len(header(*TINY))
    engine = make(memory_limit_bytes=need + MB)
    await engine.load("good")
    with pytest.raises(OutOfMemory, match=r"'other' needs about 0\.1 GB, 0\.1 GB of 0\.1 GB are in use") as refused:
        await engine.load("other")
    assert "unload good (0.1 GB), or raise local.memory_limit_gb" in refused.value.message
    assert refused.value.details == {"needed_bytes": need, "used_bytes": need, "limit_bytes": need + MB}
    assert status(engine, "other") == ("failed", refused.value.message)
    await engine.unload("good")
    assert (await engine.load("other")).status == "loaded"
    assert status(engine, "other") == ("loaded", None)


async def test_a_model_too_large_for_an_empty_machine_is_not_told_to_unload(make: Any) -> None:
    with pytest.raises(OutOfMemory, match=r"are in use: raise local\.memory_limit_gb or lower local\.max_concurrent"):
        await make(memory_limit_bytes=MB).load("good")


async def test_models_that_do_not_fit_together_are_refused_with_their_sum(make: Any) -> None:
    engine = make(memory_limit_bytes=300 * MB)
    engine.demand_room(["good", "other", "elsewhere"])
    with pytest.raises(OutOfMemory, match=r"good 0\.1 \+ other 0\.1 \+ errors 0\.1 = 0\.3 GB at least, but") as refused:
        engine.demand_room(["errors", "good", "other"])
    assert refused.value.details == {"needed_bytes": 315 * MB, "limit_bytes": 300 * MB}


async def test_two_models_never_share_the_last_free_memory(make: Any) -> None:
    engine = make(memory_limit_bytes=150 * MB)
    results = await asyncio.gather(engine.load("good"), engine.load("other"), return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["LocalModel", "OutOfMemory"]


REFUSALS: dict[str, tuple[str, type[Exception], str]] = {
    "no file": ("missing", NoDeployment, "The file of 'missing' is not here. Fetch it with: wye models pull missing"),
    "another file": ("spoilt", ConfigError, "is not the file of spoilt"),
    "a child that fails": ("errors", Overloaded, "exit status 3: load_model: the file is cut short"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_why_a_model_does_not_load_is_told_and_kept(make: Any, name: str) -> None:
    model, error, why = REFUSALS[name]
    engine = make()
    with pytest.raises(error, match=why):
        await engine.load(model)
    state, kept = status(engine, model)
    assert state == "failed"
    assert kept is not None
    assert why in kept
    assert (await engine.unload(model)).status in ("available", "absent"), "what failed is forgotten"


async def test_without_the_optional_part_it_says_how_to_install_it(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'wye\[local\]'") as refused:
        await engine.load("good")
    assert isinstance(refused.value, OperatorError)


async def test_a_failed_model_is_tried_anew_with_the_file_that_is_there_then(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wye.engines.llama_cpp.supervisor.RETRY_S", 0.0)
    engine = make()
    for _ in range(2):
        with pytest.raises(Overloaded):
            await engine.load("errors")
    assert engine._models["errors"].address.origin.socket_path.endswith("1.sock"), "prepared a second time"


async def test_preloading_happens_in_the_background_and_keeps_its_failure(make: Any, files: Files) -> None:
    files.held.clear()
    engine = make(preload=["good", "missing"])
    await engine.start()
    assert [status(engine, name) for name in ("good", "missing")] == [("loading", None)] * 2, "each has its turn"
    files.held.set()
    await until(lambda: status(engine, "good")[0] == "loaded" and status(engine, "missing")[0] == "failed")
    assert "wye models pull missing" in str(status(engine, "missing")[1])


async def test_files_are_read_outside_the_event_loop(make: Any, files: Files) -> None:
    await make().load("good")
    assert threading.get_ident() not in files.threads


async def test_sockets_lie_in_a_private_folder_that_closing_removes(make: Any) -> None:
    engine = make()
    folder = Path((await engine.address("good")).origin.socket_path).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    pid = engine._models["good"].supervisor.pid
    await engine.close()
    assert not folder.exists()
    assert not is_alive(pid)
    await engine.close()
    await engine.start()
    assert (await engine.load("good")).status == "loaded", "it can be started again"


async def test_a_temporary_folder_with_a_long_name_is_no_place_for_sockets(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / ("x" * 100)
    far.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(far))
    engine = make()
    assert len((await engine.address("good")).origin.socket_path) < 104
    assert list(far.iterdir()) == []


async def test_closing_while_a_model_loads_ends_its_process(make: Any, tmp_path: Path) -> None:
    engine = make(preload=["hangs"])
    await engine.start()
    waiting = asyncio.create_task(engine.load("hangs"))
    await until((tmp_path / "hangs.gguf.starts").exists)
    pid = engine._models["hangs"].supervisor.pid
    await engine.close()
    with pytest.raises(Overloaded, match="unloaded while it was loading"):
        await waiting
    assert not is_alive(pid)


async def test_closing_while_a_file_is_read_starts_nothing_afterwards(make: Any, files: Files, tmp_path: Path) -> None:
    files.held.clear()
    engine = make()
    waiting = asyncio.create_task(engine.load("good"))
    await until(lambda: bool(files.threads))
    await engine.close()
    files.held.set()
    with pytest.raises(Overloaded, match="shutting down"):
        await waiting
    assert not (tmp_path / "good.gguf.starts").exists()


async def test_unloading_during_a_start_ends_it_and_the_next_load_begins_anew(make: Any, tmp_path: Path) -> None:
    engine = make()
    waiting = asyncio.create_task(engine.load("hangs"))
    await until((tmp_path / "hangs.gguf.starts").exists)
    assert status(engine, "hangs") == ("loading", None)
    assert (await engine.unload("hangs")).status == "available"
    with pytest.raises(Overloaded, match="unloaded while it was loading"):
        await waiting
    assert (await engine.load("good")).status == "loaded"
