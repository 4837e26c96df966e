"""An upstream account as the gateway sees it: a dialect, and a way to call it."""

from __future__ import annotations

from collections.abc import Awaitable
from types import MappingProxyType
from typing import Literal, Protocol

import msgspec

from wye.canon.events import Rewrite
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Dialect, EmbeddingDialect, Quirks
from wye.ports.transport import Clocks, HeaderMap, Reply, Sent

Operation = Literal["chat", "count_tokens", "embed", "show_response", "cancel_response", "delete_response"]

NORMAL = 2
"""The priority of a call that names none."""
_NOTHING: HeaderMap = MappingProxyType({})


class Call(msgspec.Struct, gc=False):
    """One request to an upstream, in its own words."""

    dialect: str
    """The name of the wire format that `body` is in."""
    model: str
    body: bytes
    stream: bool = False
    operation: Operation = "chat"
    subject: str = ""
    """The id of what the operation is about, where that is not a model."""
    clocks: Clocks = Clocks()
    priority: int = NORMAL
    """Where calls wait for one another: 3 before 2 before 1."""
    caller: HeaderMap = _NOTHING
    """The caller's own headers when it speaks the same dialect, else those in which this one says what it asks."""
    sent: Sent | None = None
    """What `call_at_once` gave for the same call."""


class Adapted(msgspec.Struct):
    """A request made fit for one provider, and how to undo that in its answer."""

    request: ChatRequest
    rewrite: Rewrite | None = None
    priority: int = NORMAL


class Provider(Protocol):
    name: str
    quirks: Quirks
    passthrough: bool
    """Whether a caller's bytes in the same dialect may be sent as they are, but for named top-level members."""

    is_wye: bool
    """Whether it is another Wye: then what a caller asks of Wye beside its dialect (`orchestration_mode`, `task_type`,
    `priority`, `file_ids`) is left for that one to do."""

    def speaks(self, model: str, caller: Dialect) -> Dialect:
        """The dialect in which to ask for this model: the caller's own where it is understood."""
        ...

    def takes_prefill(self, model: str) -> bool:
        """Whether this model goes on from a last message of the assistant, as far as is known."""
        ...

    def calls_tools(self, model: str) -> bool:
        """Whether this model can be relied on to call a tool where it should, as far as is known."""
        ...

    def embeds(self, model: str) -> EmbeddingDialect | None:
        """The dialect in which to ask this model for embeddings; None where it makes none."""
        ...

    def window(self, model: str) -> int | None:
        """How many tokens this model holds, prompt and answer together; None where the provider does not know."""
        ...

    async def adapt(self, request: ChatRequest, losses: Losses) -> Adapted:
        """Change what this provider needs changed beyond its dialect. Not called when the bytes pass through."""
        ...

    def call_at_once(self, call: Call) -> Sent | None:
        """Send one request where nothing must be waited for; None where something must, and then nothing is sent."""
        ...

    def call(self, call: Call) -> Awaitable[Reply]:
        """Send one request. Raises UpstreamError; NoDeployment when the account is not usable (no key)."""
        ...

    async def count_tokens(self, model: str, request: ChatRequest) -> int | None:
        """How many tokens the request's input has, by the model's own tokenizer; None when it cannot be told."""
        ...
