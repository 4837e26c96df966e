"""Local inference: a model that runs on this machine and is reached like any upstream."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from wye.ports.transport import Origin

ModelStatus = Literal["available", "loading", "loaded", "failed"]


class LocalModel(msgspec.Struct, frozen=True):
    """A model that this machine can run, loaded or not."""

    id: str
    status: ModelStatus
    created: int
    context_length: int
    """Tokens that one conversation may hold, prompt and answer together."""
    memory_mb: int
    roles: list[str] = msgspec.field(default_factory=list[str])
    error: str | None = None
    """Why the last start failed, in words for the operator."""


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

    async def address(self, model: str) -> Origin:
        """Where a model answers OpenAI-style HTTP, loading it first if need be. Raises as `load` does."""
        ...

    async def close(self) -> None:
        """Stop every child process and remove their sockets."""
        ...
