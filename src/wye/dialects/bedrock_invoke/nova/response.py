"""Answers of Nova. https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema-response.html"""

from __future__ import annotations

from typing import Any

from wye.canon.extras import Extras, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Part, ToolCall
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.answer import note_stop_sequence, note_tier, only_choice, own_members
from wye.dialects.bedrock_invoke.nova.content import decode_answer_part, encode_parts
from wye.dialects.bedrock_invoke.nova.name import NAME
from wye.dialects.bedrock_invoke.reasons import Reasons
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.fields import take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object, type_name

REASONS = Reasons(
    "stopReason",
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "content_filtered": "content_filter",
        "guardrail_intervened": "content_filter",
        "malformed_model_output": "error",
        "malformed_tool_use": "error",
    },
    {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "content_filtered",
        "error": "malformed_model_output",
    },
)
_READ = ("cacheReadInputTokenCount", "cacheReadInputTokens")
_WRITTEN = ("cacheWriteInputTokenCount", "cacheWriteInputTokens")
"""InvokeModel's name for a figure, and Converse's."""


def decode_response(body: JsonObject) -> ChatResponse:
    left = dict(body)
    output = dict(as_object(left.pop("output", None)) or {})
    message = dict(as_object(output.pop("message", None)) or {})
    content = as_list(message.pop("content", None))
    if content is None:
        raise BadAnswer("The upstream's answer holds no output.message.content")
    parts = [answer_part(block) for block in content]
    if message.get("role") == "assistant":
        del message["role"]
    if message or output:
        left["output"] = {**output, **({"message": message} if message else {})}
    usage = as_object(left.pop("usage", None))
    reason, extras = take_finish(left, calls(parts))
    choice = Choice(parts, reason, extras=extras)
    return ChatResponse(
        id=new_id("bdrk_"),
        model="",
        choices=[choice],
        usage=None if usage is None else decode_usage(usage),
        extras=extras_of(NAME, left),
    )


def answer_part(block: Any) -> Part:
    try:
        return decode_answer_part(block)
    except BadRequest:
        raise BadAnswer(f"The upstream's answer holds {type_name(block)} where a content block should be") from None


def calls(parts: list[Part]) -> bool:
    return any(isinstance(part, ToolCall) and part.kind != "server" for part in parts)


def take_finish(members: JsonObject, called: bool) -> tuple[FinishReason | None, Extras | None]:
    """Remove the reason. One that would not be said again, as an answer with calls ends in `tool_use`, is kept."""
    native = members.get(REASONS.member)
    reason, extras = REASONS.take(members)
    if reason == "stop" and called:
        extras = {REASONS.member: native}
    return reason, extras_of(NAME, extras)


def encode_finish(reason: FinishReason | None, extras: Extras | None, called: bool, losses: Losses) -> JsonObject:
    """Clients look for `tool_use` before they run a tool, whatever another upstream said."""
    implied = "tool_calls" if reason == "stop" and called else reason
    return REASONS.say(implied, extras, NAME, losses, "choices[0]")


def decode_usage(usage: JsonObject) -> Usage:
    """`inputTokens` counts neither what the cache gave nor what it took; the canonical total does."""
    left = dict(usage)
    fresh, output = take(left, "inputTokens", int), take(left, "outputTokens", int)
    total = take(left, "totalTokens", int)
    read, written = _either(left, _READ), _either(left, _WRITTEN)
    asked = None if fresh is None else fresh + (read or 0) + (written or 0)
    if total is not None and total != (asked or 0) + (output or 0):
        left["totalTokens"] = total
    return Usage(asked, output, read, written, extras=extras_of(NAME, left))


def _either(members: JsonObject, names: tuple[str, str]) -> int | None:
    found = [take(members, name, int) for name in names]
    return found[1] if found[0] is None else found[0]


def encode_usage(usage: Usage | None, losses: Losses) -> JsonObject:
    usage = usage or Usage()
    read, written = usage.cached_tokens, usage.cache_write_tokens
    fresh = max(0, (usage.input_tokens or 0) - (read or 0) - (written or 0))
    said: JsonObject = {
        "inputTokens": fresh,
        "outputTokens": usage.output_tokens or 0,
        "totalTokens": usage.total_tokens,
    }
    for name, figure in ((_READ[0], read), (_WRITTEN[0], written)):
        if figure is not None:
            said[name] = figure
    if usage.reasoning_tokens is not None:
        losses.add("usage.reasoning_tokens", f"{NAME} does not tell them apart", "info")
    return said | own_extras(usage.extras, NAME, losses, "usage", "info")


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    choice = only_choice(response, NAME, losses)
    if choice.logprobs is not None:
        losses.add("logprobs", f"{NAME} does not tell probabilities", "info")
    note_stop_sequence(choice.stop_sequence, choice.index, NAME, losses)
    note_tier(response.service_tier, losses)
    own = own_members(response.extras, NAME, losses)
    output = own.pop("output", {})
    message: JsonObject = {
        "content": encode_parts(choice.parts, "content", losses, answer=True),
        "role": "assistant",
        **output.get("message", {}),
    }
    return {
        "output": {**output, "message": message},
        **encode_finish(choice.finish_reason, choice.extras, calls(choice.parts), losses),
        "usage": encode_usage(response.usage, losses),
        **own,
    }
