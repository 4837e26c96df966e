"""llama.cpp as `ports.engine.Engine`: which models there are, which are loaded, and whether another one fits."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import shutil
import tempfile
from pathlib import Path

from wye.catalog.model_card import ModelCard
from wye.engines.llama_cpp.child import ChildSettings
from wye.engines.llama_cpp.supervisor import State, Supervisor
from wye.engines.weights import read_header
from wye.kernel.errors import MissingExtra, NoDeployment, NotFound, OutOfMemory, WyeError
from wye.ports.engine import LocalModel, ModelStatus
from wye.ports.transport import Origin
from wye.ports.weights import Weights

log = logging.getLogger("wye")

DEFAULT_CONTEXT = 8192
_OVERHEAD_BYTES = 100 * 1024**2
"""Compute buffers and the process itself, beyond the weights and the key-value cache."""
_STATUS: dict[State, ModelStatus] = {
    "stopped": "available",
    "starting": "loading",
    "running": "loaded",
    "failed": "failed",
}


class _Loaded:
    """A model that has, or had, a process."""

    def __init__(self, supervisor: Supervisor, memory_bytes: int, origin: Origin) -> None:
        self.supervisor = supervisor
        self.memory_bytes = memory_bytes
        self.origin = origin

    @property
    def counts(self) -> bool:
        return self.supervisor.state in ("starting", "running")


class LlamaCppEngine:
    def __init__(
        self,
        cards: dict[str, ModelCard],
        weights: Weights,
        *,
        slots: int = 4,
        context_length: int | None = None,
        memory_limit_bytes: int | None = None,
        preload: list[str] | None = None,
    ) -> None:
        """`slots` answers at a time per model, each with up to `context_length` tokens."""
        self._cards = cards
        self._weights = weights
        self._slots = slots
        self._context_length = context_length
        self._memory_limit_bytes = memory_limit_bytes or machine_memory_bytes() * 3 // 4
        self._preload = preload or []
        self._models: dict[str, _Loaded] = {}
        self._preloading: set[asyncio.Task[None]] = set()
        self._folder: Path | None = None

    async def start(self) -> None:
        for name in self._preload:
            self._card(name)
            task = asyncio.create_task(self._load_in_background(name))
            self._preloading.add(task)
            task.add_done_callback(self._preloading.discard)

    def models(self) -> list[LocalModel]:
        return [self._describe(card) for card in self._cards.values()]

    async def load(self, model: str) -> LocalModel:
        await self.address(model)
        return self._describe(self._card(model))

    async def unload(self, model: str) -> LocalModel:
        card = self._card(model)
        loaded = self._models.pop(model, None)
        if loaded is not None:
            await loaded.supervisor.stop()
        return self._describe(card)

    async def address(self, model: str) -> Origin:
        loaded = self._models.get(model)
        if loaded is None or loaded.supervisor.state != "running":
            if loaded is None:
                loaded = self._models[model] = self._prepare(self._card(model))
            await loaded.supervisor.ensure()
        return loaded.origin

    async def close(self) -> None:
        for task in list(self._preloading):
            task.cancel()
        await asyncio.gather(*(loaded.supervisor.stop() for loaded in self._models.values()))
        self._models.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _load_in_background(self, model: str) -> None:
        # The failure is kept in the model's state, where /health and the next request find it.
        with contextlib.suppress(WyeError):
            try:
                await self.address(model)
            except WyeError as error:
                log.warning("%s", error.message)
                raise

    def _card(self, model: str) -> ModelCard:
        card = self._cards.get(model)
        if card is None:
            raise NotFound(
                f"Model '{model[:200]}' not found. Local models: {', '.join(self._cards)}",
                param="model",
                code="model_not_found",
            )
        return card

    def _context(self, card: ModelCard) -> int:
        return min(card.context_length, self._context_length or DEFAULT_CONTEXT)

    def _describe(self, card: ModelCard) -> LocalModel:
        loaded = self._models.get(card.id)
        return LocalModel(
            id=card.id,
            status=_STATUS[loaded.supervisor.state] if loaded else "available",
            created=0,
            context_length=self._context(card),
            memory_mb=(loaded.memory_bytes if loaded else card.bytes) // 1024**2,
            roles=list(card.roles),
            error=loaded.supervisor.error if loaded else None,
        )

    def _prepare(self, card: ModelCard) -> _Loaded:
        """Everything about a model that can be known before its process starts. Raises when it cannot be loaded."""
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtra("A local model", "local")
        path = self._weights.locate(card)
        if path is None:
            raise NoDeployment(f"The file of '{card.id}' is not here. Fetch it with: wye models pull {card.id}")
        context = self._context(card)
        memory = path.stat().st_size + read_header(path).kv_bytes(self._slots * context) + _OVERHEAD_BYTES
        self._make_room(card.id, memory)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="wye-"))
        # A unix socket's path may have about 100 bytes: a number, not the model's name.
        socket_path = str(self._folder / f"{len(list(self._folder.iterdir()))}-{len(self._models)}.sock")
        settings = ChildSettings(socket_path, str(path), card.id, self._slots, context, usable_cores())
        return _Loaded(Supervisor(settings), memory, Origin("unix", socket_path=socket_path))

    def _make_room(self, model: str, memory_bytes: int) -> None:
        used = sum(loaded.memory_bytes for loaded in self._models.values() if loaded.counts)
        if used + memory_bytes > self._memory_limit_bytes:
            need, have, limit = (n / 1024**3 for n in (memory_bytes, used, self._memory_limit_bytes))
            loaded = [name for name, other in self._models.items() if other.counts]
            hint = f"unload {' or '.join(loaded)}, or " if loaded else ""
            raise OutOfMemory(
                f"'{model}' needs about {need:.1f} GB, {have:.1f} GB of {limit:.1f} GB are in use: "
                f"{hint}raise local.memory_limit_gb or lower local.max_concurrent",
                details={"needed_bytes": memory_bytes, "used_bytes": used, "limit_bytes": self._memory_limit_bytes},
            )


def usable_cores() -> int:
    """Cores that this process may use, which a container may make fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
