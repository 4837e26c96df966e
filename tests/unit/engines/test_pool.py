"""Several engines as one, before engines that only write down what they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

import msgspec
import pytest

from tests.unit.engines.test_slots import turn
from wye.engines.pool import EnginePool
from wye.kernel.errors import NotFound, Overloaded
from wye.ports.engine import Address, LocalModel
from wye.ports.transport import Origin


class EngineDouble:
    def __init__(self, *names: str, slots: int = 1) -> None:
        self._models = {name: LocalModel(name, "available", 7, 64, 5, ["fast"], None, slots) for name in names}
        self.asked: list[str] = []

    async def start(self) -> None:
        self.asked.append("start")

    def models(self) -> list[LocalModel]:
        return list(self._models.values())

    async def load(self, model: str) -> LocalModel:
        return self._become(model, "loaded")

    async def unload(self, model: str) -> LocalModel:
        return self._become(model, "available")

    async def address(self, model: str) -> Address:
        self._become(model, "loaded")
        return Address(Origin("unix", socket_path=f"/{model}"))

    def demand_room(self, models: Collection[str]) -> None:
        self.asked.append(f"room for {' '.join(sorted(models))}")

    async def close(self) -> None:
        self.asked.append("close")

    def _become(self, model: str, status: Any) -> LocalModel:
        self.asked.append(f"{status} {model}")
        self._models[model] = msgspec.structs.replace(self._models[model], status=status)
        return self._models[model]


@pytest.fixture
def here() -> EngineDouble:
    return EngineDouble("a", "b", slots=2)


@pytest.fixture
def there() -> EngineDouble:
    return EngineDouble("far")


@pytest.fixture
async def pool(here: EngineDouble, there: EngineDouble) -> AsyncIterator[EnginePool]:
    pool = EnginePool([here, there], queue_max_size=1, aliases={"big": "a", "b": "far"})
    await pool.start()
    yield pool
    await pool.close()


async def test_each_model_is_asked_of_its_engine_by_its_name_and_told_by_the_callers(
    pool: EnginePool, here: EngineDouble, there: EngineDouble
) -> None:
    assert [model.id for model in pool.models()] == ["a", "b", "far", "big"]
    assert (await pool.load("a")).id == "a"
    assert (await pool.load("big")).id == "big"
    assert (await pool.unload("big")).status == "available"
    assert (await pool.address("b")).origin.socket_path == "/far", "an alias goes before a model of the same name"
    assert here.asked == ["start", "loaded a", "loaded a", "available a"]
    assert there.asked == ["start", "loaded far"]
    assert [model.status for model in pool.models()] == ["available", "loaded", "loaded", "available"]


@pytest.mark.parametrize("verb", ["load", "unload", "address"])
async def test_a_model_that_is_not_there_is_told_with_those_that_are(pool: EnginePool, verb: str) -> None:
    with pytest.raises(NotFound, match=r"Model 'x' not found\. Local models: a, b, far, big"):
        await getattr(pool, verb)("x")
    with pytest.raises(NotFound):
        await pool.slot("x", 2)


async def test_a_model_and_its_alias_have_one_queue_of_as_many_slots_as_the_engine_gives(pool: EnginePool) -> None:
    held = [await pool.slot("a", 2), await pool.slot("big", 2)]
    third = asyncio.create_task(pool.slot("big", 2))
    await turn()
    with pytest.raises(Overloaded):
        await pool.slot("a", 2)
    assert (await pool.slot("far", 2)).position == 0, "another model's queue is its own"
    held[0].release()
    assert (await third).position == 1


async def test_room_is_demanded_of_every_engine_by_the_models_own_names(
    pool: EnginePool, here: EngineDouble, there: EngineDouble
) -> None:
    pool.demand_room(["big", "a", "b", "gpt-4o"])
    assert here.asked[-1] == there.asked[-1] == "room for a far gpt-4o"


async def test_closing_turns_away_who_waits(pool: EnginePool, here: EngineDouble) -> None:
    for _ in range(2):
        await pool.slot("a", 2)
    waiting = asyncio.create_task(pool.slot("a", 2))
    await turn()
    await pool.close()
    with pytest.raises(Overloaded, match="shutting down"):
        await waiting
    assert here.asked[-1] == "close"


class Clock:
    """Time that passes by sleeping, and wakes whoever sleeps when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        real = asyncio.sleep
        self._ticks = asyncio.Semaphore(0)

        async def sleep(seconds: float) -> None:
            if seconds == 0:
                await real(0)
                return
            await self._ticks.acquire()
            self.now_s += seconds

        monkeypatch.setattr("wye.engines.pool.clock.monotonic_s", lambda: self.now_s)
        monkeypatch.setattr("wye.engines.pool.asyncio.sleep", sleep)

    async def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self._ticks.release()
            await turn()


async def test_what_nobody_uses_is_unloaded_and_what_is_kept_or_in_use_is_not(
    here: EngineDouble, there: EngineDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    pool = EnginePool([here, there], idle_unload_s=40.0, aliases={"near": "far"}, kept=["near"])
    await pool.start()
    for name in ("a", "b", "far"):
        await pool.load(name)
    slot = await pool.slot("b", 2)
    await clock.tick(3)  # it looks every 10 s
    assert "available a" not in here.asked
    await pool.address("a")  # used again after 30 s
    await clock.tick(3)
    assert "available a" not in here.asked
    await clock.tick()
    assert [model.status for model in pool.models()] == ["available", "loaded", "loaded", "loaded"]
    slot.release()
    await clock.tick(3)
    assert here.asked.count("available b") == 0
    await clock.tick()
    assert [model.status for model in pool.models()] == ["available", "available", "loaded", "loaded"]
    await pool.close()
