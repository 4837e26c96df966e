"""Several engines as one: models by name and alias, a queue before each, and those that nobody uses let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence

import msgspec

from wye.engines.slots import Slot, SlotQueue, Strategy
from wye.kernel import clock
from wye.kernel.errors import NotFound
from wye.ports.engine import Address, Engine, LocalModel

log = logging.getLogger("wye")

_LOOKS = 4
"""How often in the time that a model may be idle it is looked at."""


class EnginePool:
    """Implements `ports.engine.QueuedEngine`."""

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        queue_max_size: int = 10,
        queue_strategy: Strategy = "fifo",
        aliases: Mapping[str, str] | None = None,
        idle_unload_s: float | None = None,
        kept: Collection[str] = (),
    ) -> None:
        """`aliases` are further names of models. A model that has had nothing to do for `idle_unload_s` is unloaded,
        unless it is among those `kept`."""
        self._engines = engines
        self._homes = {model.id: engine for engine in engines for model in engine.models()}
        self._queue_max_size = queue_max_size
        self._queue_strategy: Strategy = queue_strategy
        self._aliases = dict(aliases or {})
        self._idle_unload_s = idle_unload_s
        self._kept = {self._aliases.get(name, name) for name in kept}
        self._queues: dict[str, SlotQueue] = {}
        self._used_s: dict[str, float] = {}
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for engine in self._engines:
            await engine.start()
        if self._idle_unload_s is not None:
            self._watch = asyncio.create_task(self._unload_idle(self._idle_unload_s))

    def models(self) -> list[LocalModel]:
        """Aliases are models of their own name, also where a model has the same."""
        own = {model.id: model for engine in self._engines for model in engine.models()}
        named = {alias: msgspec.structs.replace(own[name], id=alias) for alias, name in self._aliases.items()}
        return [*(own | named).values()]

    async def load(self, model: str) -> LocalModel:
        engine, name = self._find(model)
        self._used_s[name] = clock.monotonic_s()
        return msgspec.structs.replace(await engine.load(name), id=model)

    async def unload(self, model: str) -> LocalModel:
        engine, name = self._find(model)
        return msgspec.structs.replace(await engine.unload(name), id=model)

    async def address(self, model: str) -> Address:
        engine, name = self._find(model)
        self._used_s[name] = clock.monotonic_s()
        return await engine.address(name)

    async def slot(self, model: str, priority: int) -> Slot:
        engine, name = self._find(model)
        queue = self._queues.get(name)
        if queue is None:
            slots = next(found.slots for found in engine.models() if found.id == name)
            queue = self._queues[name] = SlotQueue(name, slots, self._queue_max_size, self._queue_strategy)
        return await queue.acquire(priority)

    def demand_room(self, models: Collection[str]) -> None:
        wanted = {self._aliases.get(model, model) for model in models}
        for engine in self._engines:
            engine.demand_room(wanted)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for queue in self._queues.values():
            queue.close()
        await asyncio.gather(*(engine.close() for engine in self._engines))

    def _find(self, model: str) -> tuple[Engine, str]:
        name = self._aliases.get(model, model)
        engine = self._homes.get(name)
        if engine is not None:
            return engine, name
        raise NotFound(
            f"Model '{model[:200]}' not found. Local models: {', '.join(found.id for found in self.models())}",
            param="model",
            code="model_not_found",
        )

    async def _unload_idle(self, idle_s: float) -> None:
        while True:
            await asyncio.sleep(idle_s / _LOOKS)
            now_s = clock.monotonic_s()
            for engine in self._engines:
                for model in engine.models():
                    if model.status == "loaded" and self._is_idle(model.id, now_s - idle_s):
                        log.info("%s had nothing to do for %g s: unloaded", model.id, idle_s)
                        await engine.unload(model.id)

    def _is_idle(self, model: str, since_s: float) -> bool:
        queue = self._queues.get(model)
        if model in self._kept:
            return False
        if queue is not None and queue.running:
            self._used_s[model] = clock.monotonic_s()  # it is used until its answer ends
            return False
        return self._used_s.setdefault(model, clock.monotonic_s()) <= since_s
