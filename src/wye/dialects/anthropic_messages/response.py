"""Answers of the Messages API. https://docs.anthropic.com/en/api/messages

Reading is lenient: what an upstream says unexpectedly stays whole, as an extra or an opaque part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wye.canon.extras import Extras, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Refusal, Text, ToolCall
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.usage import Usage
from wye.dialects.anthropic_messages.content import decode_part, encode_parts
from wye.dialects.anthropic_messages.errors import refusal
from wye.dialects.anthropic_messages.name import NAME
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.fields import take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_object, type_name

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_SAID: dict[FinishReason | None, str | None] = {
    None: None,
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    # There is no word for it: at least the answer does not look complete.
    "error": "max_tokens",
}
_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}


def decode_response(body: JsonObject) -> ChatResponse:
    if body.get("type") == "error" or body.get("error"):
        raise refusal(body)
    left = dict(body)
    parts = _decode_content(left.pop("content", None))
    for name, fixed in (("type", "message"), ("role", "assistant")):
        if left.get(name) == fixed:
            del left[name]
    identity, model = take(left, "id", str), take(left, "model", str)
    usage = as_object(left.get("usage"))
    if usage is not None:
        del left["usage"]
    reason, sequence, extras = take_finish(left, implied_reason(parts))
    return ChatResponse(
        id=identity or new_id("msg_"),
        model=model or "",
        choices=[Choice(parts, reason, stop_sequence=sequence, extras=extras_of(NAME, extras))],
        usage=None if usage is None else decode_usage(usage),
        extras=extras_of(NAME, left),
    )


def _decode_content(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise BadAnswer(f"The upstream's answer is no message: its content is {type_name(content)}, not an array")
    blocks: list[Any] = content  # pyright: ignore[reportUnknownVariableType]
    return [decode_answer_part(block) for block in blocks]


def decode_answer_part(block: Any) -> Part:
    """A block of an answer: one that is not as it should be stays whole."""
    members = as_object(block)
    if members is None:
        raise BadAnswer(f"The upstream's answer holds {type_name(block)} where a content block should be")
    try:
        return decode_part(members, "content")
    except BadRequest:
        return Opaque(NAME, members)


def implied_reason(parts: Iterable[Part]) -> FinishReason | None:
    """What an answer of these parts ends with here, when its upstream only says that it stopped."""
    for part in parts:
        if isinstance(part, ToolCall) and part.kind != "server":
            return "tool_calls"
        if isinstance(part, Refusal):
            return "content_filter"
    return None


def take_finish(
    members: JsonObject, implied: FinishReason | None
) -> tuple[FinishReason | None, str | None, JsonObject]:
    """Remove what a stream tells at an answer's end: the reason, the stop sequence, and the rest as extras.

    A reason that would not be said again as it is (see `implied_reason`) stays in the extras.
    """
    native = take(members, "stop_reason", str)
    sequence = take(members, "stop_sequence", str)
    extras: JsonObject = {}
    for name in ("stop_details", "container"):
        value = members.pop(name, None)
        if value is not None:
            extras[name] = value
    reason = None if native is None else _REASONS.get(native, "stop")
    if native != _stop_reason(reason, sequence, implied):
        extras["stop_reason"] = native
    return reason, sequence, extras


def _stop_reason(reason: FinishReason | None, sequence: str | None, implied: FinishReason | None) -> str | None:
    if reason == "stop":
        if sequence is not None:
            return "stop_sequence"
        # Clients look for `tool_use` before they run a tool, and for `refusal`: there is no other mark of one.
        reason = implied or reason
    return _SAID[reason]


def encode_finish(
    reason: FinishReason | None,
    sequence: str | None,
    implied: FinishReason | None,
    extras: Extras | None,
    losses: Losses,
) -> JsonObject:
    """The members that say how an answer ended."""
    if reason == "error":
        losses.add("finish_reason", f"{NAME} has no word for an answer that an error ended")
    finish = {"stop_reason": _stop_reason(reason, sequence, implied), "stop_sequence": sequence, "stop_details": None}
    return finish | own_extras(extras, NAME, losses, "", "info")


def decode_usage(usage: JsonObject) -> Usage:
    """`input_tokens` counts neither what the cache gave nor what it took; the canonical total does."""
    left = dict(usage)
    fresh = take(left, "input_tokens", int)
    read = take(left, "cache_read_input_tokens", int)
    written = take(left, "cache_creation_input_tokens", int)
    output = take(left, "output_tokens", int)
    thought = None
    details = as_object(left.get("output_tokens_details"))
    if details is not None:
        left["output_tokens_details"] = more = {**details}
        thought = take(more, "thinking_tokens", int)
        if not more:
            del left["output_tokens_details"]
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=output,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
        extras=extras_of(NAME, left),
    )


def encode_usage(usage: Usage | None, losses: Losses) -> JsonObject:
    """Clients add these figures up, so those that nobody knows are 0."""
    usage = usage or Usage()
    read, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    said: JsonObject = {
        "input_tokens": max(0, (usage.input_tokens or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens or 0,
    }
    own = dict(own_extras(usage.extras, NAME, losses, "usage", "info"))
    if usage.reasoning_tokens is not None:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
        details = own.get("output_tokens_details")
        if isinstance(details, dict):
            own["output_tokens_details"] = {**said["output_tokens_details"], **details}
    return said | own


def add_tier(usage: JsonObject, service_tier: str | None, losses: Losses) -> None:
    """Put an answer's tier where this dialect has it: among the figures of its usage."""
    if service_tier in _TIERS:
        usage.setdefault("service_tier", _TIERS[service_tier])
    elif service_tier is not None:
        losses.add("service_tier", f"{NAME} has no tier {service_tier!r}", "info")


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    """`created` has no member here: answers are dated by the HTTP header."""
    for choice in response.choices[1:]:
        losses.add(f"choices[{choice.index}]", f"{NAME} gives one answer")
    choice = response.choices[0] if response.choices else Choice([])
    if choice.logprobs is not None:
        losses.add("logprobs", f"{NAME} does not tell probabilities", "info")
    content = encode_parts(choice.parts, "content", losses, answer=True)
    implied = implied_reason(choice.parts)
    body: JsonObject = {
        "id": response.id or new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": response.model,
        "content": content,
        **encode_finish(choice.finish_reason, choice.stop_sequence, implied, choice.extras, losses),
        "usage": encode_usage(response.usage, losses),
    }
    add_tier(body["usage"], response.service_tier, losses)
    return body | own_extras(response.extras, NAME, losses, "", "info")


def decode_count_response(body: JsonObject) -> int:
    """The answer to a request to count tokens. Raises BadAnswer."""
    if body.get("type") == "error":
        raise refusal(body)
    tokens = take(dict(body), "input_tokens", int)
    if tokens is None:
        raise BadAnswer("The upstream's token count holds no input_tokens")
    return tokens


def encode_count(tokens: int) -> JsonObject:
    return {"input_tokens": tokens}
