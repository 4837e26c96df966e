"""Local inference: a model that runs on this machine and is reached like any upstream."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Protocol

import msgspec

from wye.ports.transport import Origin

ModelStatus = Literal["absent", "available", "loading", "loaded", "failed"]
"""`absent` while its file is not here: `wye models pull` brings it."""


class Address(msgspec.Struct, frozen=True):
    """Where a model answers OpenAI-style HTTP."""

    origin: Origin
    prefix: bytes = b""
    """What comes before `/v1` in paths."""
    headers: bytes = b""
    """Lines to send with every call, each ended by CRLF."""
    model: str | None = None
    """Its name there, where that is another."""


class LocalModel(msgspec.Struct, frozen=True):
    """A model that this machine can run, loaded or not."""

    id: str
    status: ModelStatus
    created: int
    context_length: int
    """Tokens that one conversation may hold, prompt and answer together."""
    memory_mb: int
    """What it takes of this machine, or would."""
    roles: list[str] = msgspec.field(default_factory=list[str])
    error: str | None = None
    """Why the last start failed, in words for the operator."""
    slots: int = 1
    """How many answers it gives at a time."""


class Engine(Protocol):
    async def start(self) -> None:
        """Begin loading what is preloaded, in the background. Returns at once."""
        ...

    def models(self) -> list[LocalModel]: ...

    async def load(self, model: str) -> LocalModel:
        """Load a model and wait until it has answered one real token; at once when it is loaded already.

        Raises NotFound, OutOfMemory, Overloaded (with what the child said) when it does not start.
        """
        ...

    async def unload(self, model: str) -> LocalModel:
        """Stop a model's process. Idempotent. Raises NotFound."""
        ...

    async def address(self, model: str) -> Address:
        """Where to ask a model, loading it first if need be. Raises as `load` does."""
        ...

    def demand_room(self, models: Collection[str]) -> None:
        """Raises OutOfMemory, with the sum, when those of these models that are its own cannot be loaded together."""
        ...

    async def close(self) -> None:
        """Stop every child process and remove their sockets."""
        ...


class Slot(Protocol):
    """The right to one answer of a model, held until it is released, which may be done more than once."""

    @property
    def position(self) -> int:
        """Where in the queue it was waited for, from 1; 0 where it was free."""
        ...

    def release(self) -> None: ...


class QueuedEngine(Engine, Protocol):
    """An engine whose models are asked in turn: whoever wants an answer takes a slot first."""

    async def slot(self, model: str, priority: int) -> Slot:
        """A slot of a model, waited for in a queue; cancelling gives up the place in it.

        Raises NotFound, QueueFull.
        """
        ...
