"""A whole answer."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wye.canon.extras import Extras
from wye.canon.parts import Part
from wye.canon.usage import Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]

Logprobs = dict[str, list[dict[str, Any]] | None]
"""OpenAI's shape: `{"content": [{token, logprob, bytes, top_logprobs}], "refusal": ...}`."""


class Choice(msgspec.Struct):
    parts: list[Part]
    finish_reason: FinishReason | None = None
    """None while the upstream has not said."""
    index: int = 0
    stop_sequence: str | None = None
    """Which of the caller's stop sequences was met."""
    logprobs: Logprobs | None = None
    extras: Extras | None = None


class ChatResponse(msgspec.Struct, kw_only=True):
    id: str
    model: str
    choices: list[Choice]
    created: int | None = None
    """Unix seconds; None where the dialect does not say."""
    usage: Usage | None = None
    service_tier: str | None = None
    extras: Extras | None = None
