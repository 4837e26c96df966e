"""An answer as it is produced. A stream is Start, then for each part PartStart, deltas, PartEnd, then Finish for each
choice, UsageReport where known, End. `index` numbers the parts of one choice from 0 in the order they begin.

What a decoder guarantees, so that encoders need not check: a delta comes between its part's start and end; every
started part ends before its choice's Finish; Finish comes at most once a choice; End comes last, and only for an answer
that is complete. A Failure ends a stream instead of End.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from wye.canon.extras import Extras
from wye.canon.parts import Citation, Part, Refusal, Text, Thinking
from wye.canon.response import FinishReason, Logprobs
from wye.canon.usage import Usage
from wye.kernel.errors import WyeError


class Start(msgspec.Struct, tag="start"):
    id: str
    model: str
    created: int | None = None
    usage: Usage | None = None
    """The input's figures, where the dialect tells them first."""
    service_tier: str | None = None
    extras: Extras | None = None

    def after(self, told: Start) -> Start:
        """Together with what was `told` beside the body, in headers: what the body says goes before it."""
        usage = told.usage if self.usage is None or told.usage is None else told.usage.updated(self.usage)
        return msgspec.structs.replace(
            self,
            usage=usage or self.usage,
            service_tier=self.service_tier or told.service_tier,
            extras={**(told.extras or {}), **(self.extras or {})} or None,
        )


class PartStart(msgspec.Struct, tag="part_start"):
    index: int
    part: Part
    """The part as far as it is known: an empty Text, a ToolCall without arguments, a whole Opaque."""
    choice: int = 0


class TextDelta(msgspec.Struct, tag="text"):
    index: int
    text: str
    choice: int = 0
    logprobs: Logprobs | None = None
    extras: Extras | None = None


class ThinkingDelta(msgspec.Struct, tag="thinking"):
    index: int
    text: str
    choice: int = 0
    extras: Extras | None = None


class SignatureDelta(msgspec.Struct, tag="signature"):
    index: int
    signature: str
    choice: int = 0


class RefusalDelta(msgspec.Struct, tag="refusal"):
    index: int
    text: str
    choice: int = 0
    logprobs: Logprobs | None = None


class ArgumentsDelta(msgspec.Struct, tag="arguments"):
    """A piece of a ToolCall's arguments; joined, the pieces are the arguments."""

    index: int
    text: str
    choice: int = 0


class CitationDelta(msgspec.Struct, tag="citation"):
    index: int
    citation: Citation
    choice: int = 0


class OpaqueDelta(msgspec.Struct, tag="opaque_delta"):
    """A piece of an Opaque part (or of Audio): text members continue what is there, others replace it."""

    index: int
    dialect: str
    value: dict[str, Any]
    choice: int = 0


class PartEnd(msgspec.Struct, tag="part_end"):
    index: int
    choice: int = 0
    part: Part | None = None
    """The whole part, where its end tells more than its pieces: encrypted reasoning, how a server's call went."""


class Finish(msgspec.Struct, tag="finish"):
    reason: FinishReason
    choice: int = 0
    stop_sequence: str | None = None
    extras: Extras | None = None


class UsageReport(msgspec.Struct, tag="usage"):
    """Figures for the whole answer so far; a later report replaces those that it knows."""

    usage: Usage
    extras: Extras | None = None


class Aside(msgspec.Struct, tag="aside"):
    """Members that only their own dialect understands, told on the way: of one choice, or of the whole answer."""

    extras: Extras
    choice: int | None = None


class Ping(msgspec.Struct, tag="ping"):
    """The upstream says that it is alive; the answer is no further."""

    told: dict[str, Any] | None = None
    """How far Wye itself is with several models, said where the dialect has a place for it."""


class End(msgspec.Struct, tag="end"):
    """The answer is complete."""


class Failure(msgspec.Struct):
    """The answer breaks off. Never cached, so never encoded as canonical."""

    error: WyeError


Delta = TextDelta | ThinkingDelta | SignatureDelta | RefusalDelta | ArgumentsDelta | CitationDelta | OpaqueDelta
Event = Start | PartStart | Delta | PartEnd | Finish | UsageReport | Aside | Ping | End | Failure
Rewrite = Callable[[list[Event]], list[Event]]
"""Changes events on their way: called with each batch of an answer's, in order; keeps its own state."""

_DELTAS = (TextDelta, ThinkingDelta, RefusalDelta, ArgumentsDelta, SignatureDelta, CitationDelta, OpaqueDelta)


def is_content(event: Event) -> bool:
    """Whether the model has begun to answer with this event, so that no other deployment can take over unseen.

    The start of an empty text or thinking part says nothing yet; the start of a tool call names the tool.
    """
    if isinstance(event, PartStart):
        part = event.part
        return bool(part.text) if isinstance(part, Text | Thinking | Refusal) else True
    return isinstance(event, _DELTAS)
