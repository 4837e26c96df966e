"""An upstream account as the gateway sees it: a dialect, and a way to call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from wye.canon.events import Event
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Dialect, Quirks
from wye.ports.transport import Clocks, HeaderMap, Reply

Operation = Literal["chat", "count_tokens"]


class Adapted(msgspec.Struct):
    """A request made fit for one provider, and how to undo that in its answer."""

    request: ChatRequest
    rewrite: Callable[[list[Event]], list[Event]] | None = None
    """Called with each batch of the answer's events, in order; keeps its own state."""


class Provider(Protocol):
    name: str
    dialect: Dialect
    quirks: Quirks
    passthrough: bool
    """Whether a caller's bytes in the same dialect may be sent as they are, but for named top-level members."""

    async def adapt(self, request: ChatRequest, losses: Losses) -> Adapted:
        """Change what this provider needs changed beyond its dialect. Not called when the bytes pass through."""
        ...

    async def call(self, operation: Operation, model: str, body: bytes, clocks: Clocks, caller: HeaderMap) -> Reply:
        """Send one request. `caller` are the caller's own headers when it speaks the same dialect, else empty.

        Raises UpstreamError; NoDeployment when the account is not usable (no key).
        """
        ...

    async def count_tokens(self, model: str, request: ChatRequest) -> int | None:
        """How many tokens the request's input has, by the model's own tokenizer; None when it cannot be told."""
        ...
