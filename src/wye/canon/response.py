"""A whole answer."""

from __future__ import annotations

from typing import Any, Literal, TypeGuard

import msgspec

from wye.canon.extras import Extras
from wye.canon.parts import Part
from wye.canon.usage import Usage
from wye.kernel.json import as_list, as_object

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]

Logprobs = dict[str, list[dict[str, Any]] | None]
"""OpenAI's shape: `{"content": [{token, logprob, bytes, top_logprobs}], "refusal": ...}`."""


def are_logprobs(value: object) -> TypeGuard[Logprobs]:
    """Whether a value from outside is of that shape, as far as others look into it."""
    members = as_object(value)
    return members is not None and all(part is None or are_tokens(part) for part in members.values())


def are_tokens(value: object) -> TypeGuard[list[dict[str, Any]]]:
    tokens = as_list(value)
    return tokens is not None and all(map(_is_token, tokens))


def _is_token(value: object) -> bool:
    token = as_object(value)
    if token is None:
        return False
    others = token.get("top_logprobs")
    return others is None or (isinstance(others, list) and None not in map(as_object, as_list(others) or ()))


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
