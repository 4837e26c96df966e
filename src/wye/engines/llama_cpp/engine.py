"""llama.cpp as `ports.engine.Engine`: which models there are, which are loaded, and whether another one fits."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

from wye.catalog.model_card import ModelCard
from wye.engines.llama_cpp.child import ChildSettings
from wye.engines.llama_cpp.supervisor import State, Supervisor
from wye.engines.machine import usable_cores, usable_memory_bytes
from wye.engines.weights import read_header
from wye.kernel.errors import ConfigError, MissingExtra, NoDeployment, NotFound, OutOfMemory, Overloaded, WyeError
from wye.ports.engine import Address, LocalModel, ModelStatus
from wye.ports.transport import Origin
from wye.ports.weights import Weights

log = logging.getLogger("wye")

DEFAULT_CONTEXT = 8192
_OVERHEAD_BYTES = 100 * 1024**2
"""Compute buffers and the process itself, beyond the weights and the key-value cache."""
_SPARE_BYTES = 1024**3
"""What a process may take beyond what it was counted with: measured under load, it stays within 60 MB of that."""
_LONGEST_FOLDER = 80
"""In bytes: `/wye-12345678/999.sock` follows, and a socket's path may have 103 on some systems."""
_STATUS: dict[State, ModelStatus] = {
    "stopped": "available",
    "starting": "loading",
    "running": "loaded",
    "failed": "failed",
}


class _Loaded:
    """A model that has, or had, a process."""

    def __init__(self, settings: ChildSettings, memory_bytes: int) -> None:
        self.supervisor = Supervisor(settings)
        self.memory_bytes = memory_bytes

    @property
    def is_live(self) -> bool:
        return self.supervisor.state in ("starting", "running")

    @property
    def address(self) -> Address:
        return Address(Origin("unix", socket_path=self.supervisor.settings.socket_path))


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
        """`slots` answers at a time per model, each with up to `context_length` tokens.

        Raises ConfigError when `preload` names a model that has no card.
        """
        self._cards = cards
        self._weights = weights
        self._slots = slots
        self._context_length = context_length
        self._memory_limit_bytes = memory_limit_bytes or usable_memory_bytes() * 3 // 4
        self._preload = list(dict.fromkeys(preload or []))
        for name in self._preload:
            if name not in cards:
                raise ConfigError(f"local.preload: {name!r} is not a local model; known: {', '.join(cards)}")
        self._models: dict[str, _Loaded] = {}
        self._refusals: dict[str, str] = {}
        """Why a model could not even be tried."""
        self._one_at_a_time = asyncio.Lock()
        self._closed = False
        self._preloading: dict[str, asyncio.Task[None]] = {}
        self._folder: Path | None = None
        self._numbers = itertools.count()

    async def start(self) -> None:
        self._closed = False
        for name in self._preload:
            self._preloading[name] = asyncio.create_task(self._load_in_background(name))

    def models(self) -> list[LocalModel]:
        return [self._describe(card) for card in self._cards.values()]

    async def load(self, model: str) -> LocalModel:
        await self.address(model)
        return self._describe(self._card(model))

    async def unload(self, model: str) -> LocalModel:
        card = self._card(model)
        async with self._one_at_a_time:
            self._refusals.pop(model, None)
            loaded = self._models.pop(model, None)
            if loaded is not None:
                await loaded.supervisor.stop()
        return self._describe(card)

    async def address(self, model: str) -> Address:
        loaded = self._models.get(model)
        if loaded is None or not loaded.is_live:
            loaded = await self._prepare(self._card(model))
        await loaded.supervisor.ensure()
        return loaded.address

    async def close(self) -> None:
        self._closed = True
        preloading = list(self._preloading.values())
        for task in preloading:
            task.cancel()
        await asyncio.gather(
            *preloading, *(loaded.supervisor.stop() for loaded in self._models.values()), return_exceptions=True
        )
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
            finally:
                self._preloading.pop(model, None)

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
        refusal = self._refusals.get(card.id)
        return LocalModel(
            id=card.id,
            status="failed" if refusal else _STATUS[loaded.supervisor.state] if loaded else self._at_hand(card),
            created=card.created,
            context_length=self._context(card),
            memory_mb=(loaded.memory_bytes if loaded else card.bytes) // 1024**2,
            slots=self._slots,
            roles=list(card.roles),
            error=refusal or (loaded.supervisor.error if loaded else None),
        )

    def _at_hand(self, card: ModelCard) -> ModelStatus:
        if card.id in self._preloading:
            return "loading"  # its turn comes
        return "available" if self._weights.is_here(card) else "absent"

    async def _prepare(self, card: ModelCard) -> _Loaded:
        """Everything that can be known before a model's process starts; one model at a time, so that two never share
        the last free memory. Raises when it cannot be loaded."""
        async with self._one_at_a_time:
            loaded = self._models.get(card.id)
            if loaded is not None and loaded.is_live:
                return loaded
            self._refusals.pop(card.id, None)
            try:
                # In a thread: a large file is read to be hashed.
                path, memory = await asyncio.to_thread(self._measure, card)
                self._make_room(card.id, memory)
            except WyeError as error:
                self._refusals[card.id] = error.message
                raise
            if self._closed:
                raise Overloaded("The server is shutting down")
            settings = self._settings(card, path, memory)
            if loaded is None:
                loaded = self._models[card.id] = _Loaded(settings, memory)
            else:
                # The same supervisor knows when it failed last, and will not try at once.
                loaded.supervisor.settings, loaded.memory_bytes = settings, memory
            return loaded

    def _measure(self, card: ModelCard) -> tuple[Path, int]:
        """The model's file, and the memory that its process will need."""
        if find_spec("xllamacpp") is None:
            raise MissingExtra("A local model", "local")
        path = self._weights.locate(card)
        if path is None:
            raise NoDeployment(f"The file of '{card.id}' is not here. Fetch it with: wye models pull {card.id}")
        cache = read_header(path).kv_bytes(self._slots * self._context(card))
        return path, path.stat().st_size + cache + _OVERHEAD_BYTES

    def _settings(self, card: ModelCard, path: Path, memory_bytes: int) -> ChildSettings:
        if self._folder is None:
            self._folder = private_folder()
        # A number, not the model's name, so that the path is short. A new one each time: who remembers something about
        # an address is never wrong.
        socket_path = self._folder / f"{next(self._numbers)}.sock"
        return ChildSettings(
            str(socket_path),
            str(path),
            card.id,
            self._slots,
            self._context(card),
            usable_cores(),
            memory_bytes + _SPARE_BYTES,
            card.chat_template,
        )

    def demand_room(self, models: Collection[str]) -> None:
        cards = [card for name, card in self._cards.items() if name in models]
        sizes = {card.id: card.bytes + _OVERHEAD_BYTES for card in cards}
        total = sum(sizes.values())
        if total > self._memory_limit_bytes:
            listed = " + ".join(f"{name} {size / 1024**3:.1f}" for name, size in sizes.items())
            raise OutOfMemory(
                f"{listed} = {total / 1024**3:.1f} GB at least, but local models may take "
                f"{self._memory_limit_bytes / 1024**3:.1f} GB together: raise local.memory_limit_gb, take fewer or "
                "smaller models, or let local.aliases name others in their place",
                details={"needed_bytes": total, "limit_bytes": self._memory_limit_bytes},
            )

    def _make_room(self, model: str, memory_bytes: int) -> None:
        live = {name: other for name, other in self._models.items() if other.is_live}
        used = sum(other.memory_bytes for other in live.values())
        if used + memory_bytes > self._memory_limit_bytes:
            need, have, limit = (n / 1024**3 for n in (memory_bytes, used, self._memory_limit_bytes))
            sizes = [f"{name} ({other.memory_bytes / 1024**3:.1f} GB)" for name, other in live.items()]
            hint = f"unload {' or '.join(sizes)}, or " if live else ""
            raise OutOfMemory(
                f"'{model}' needs about {need:.1f} GB, {have:.1f} GB of {limit:.1f} GB are in use: "
                f"{hint}raise local.memory_limit_gb or lower local.max_concurrent",
                details={"needed_bytes": memory_bytes, "used_bytes": used, "limit_bytes": self._memory_limit_bytes},
            )


def private_folder() -> Path:
    """A folder for sockets that only this user may enter."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="wye-", dir=usual if len(os.fsencode(usual)) <= _LONGEST_FOLDER else "/tmp"))  # noqa: S108 - mkdtemp is safe there
