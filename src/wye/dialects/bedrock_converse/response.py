"""Answers of Converse. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html

They have neither an id nor a model: those are in the HTTP exchange. Reading is lenient: what an upstream says
unexpectedly stays whole, as an extra or an opaque part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wye.canon.extras import Extras
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Refusal, ToolCall
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.usage import Usage
from wye.dialects.aws_errors import refusal
from wye.dialects.bedrock_converse.content import ANSWER, Reader, decode_part, encode_parts, paths
from wye.dialects.bedrock_converse.form import extras_with, form_of, merged, own_members
from wye.dialects.bedrock_converse.name import NAME
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.json import JsonObject, as_list, as_object, type_name

CLIENT = Reader(answer=True)
FIELDS = "additionalModelResponseFields"

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
_SAID: dict[FinishReason | None, str] = {
    # The member is required: an answer of which no end is known ended.
    None: "end_turn",
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "error": "malformed_model_output",
}
_REPEATED = {"cacheReadInputTokenCount": "cacheReadInputTokens", "cacheWriteInputTokenCount": "cacheWriteInputTokens"}
"""Figures that some servers tell twice, under an older name too."""
_TIERS = ("default", "flex", "priority", "reserved")


def decode_response(body: JsonObject) -> ChatResponse:
    output = as_object(body.get("output"))
    if output is None and ("__type" in body or isinstance(body.get("message"), str)):
        raise refusal(str(body.get("__type", "")), body)
    message = as_object((output or {}).get("message"))
    if output is None or message is None:
        raise BadAnswer("The upstream's answer is no message: it holds no output.message")
    parts = [decode_answer_part(block) for block in _content(message)]
    left = {name: value for name, value in body.items() if name != "output"}
    beside = {name: value for name, value in message.items() if name != "content"}
    if beside.get("role") == "assistant":
        del beside["role"]
    unknown = {name: value for name, value in output.items() if name != "message"}
    if beside:
        unknown["message"] = beside
    if unknown:
        left["output"] = unknown
    reason, sequence, extras = take_finish(left, implied_reason(parts))
    usage = as_object(left.get("usage"))
    if usage is not None:
        del left["usage"]
    return ChatResponse(
        id="",
        model="",
        choices=[Choice(parts, reason, stop_sequence=sequence, extras=extras)],
        usage=None if usage is None else decode_usage(usage),
        extras=extras_with(left),
    )


def _content(message: JsonObject) -> list[Any]:
    content = as_list(message.get("content"))
    if content is None:
        raise BadAnswer(
            f"The upstream's answer is no message: its content is {type_name(message.get('content'))}, not an array"
        )
    return content


def decode_answer_part(block: Any) -> Part:
    """A block of an answer: one that is not as it should be stays whole."""
    members = as_object(block)
    if members is None:
        raise BadAnswer(f"The upstream's answer holds {type_name(block)} where a content block should be")
    try:
        return decode_part(members, "content", ANSWER)
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
) -> tuple[FinishReason | None, str | None, Extras | None]:
    """Remove what tells an answer's end: the reason, the stop sequence, and the rest as extras.

    The matched stop sequence is among the fields that a caller may ask for, as `/stop_sequence`; in a stream of
    Claude's as `/delta/stop_sequence`. A reason that would not be said again as it is stays in the extras.
    """
    rest: JsonObject = {}
    form: JsonObject = {}
    native = members.pop("stopReason", None)
    fields = members.pop(FIELDS, None)
    sequence = None
    match fields:
        case None:
            pass
        case {"stop_sequence": str(sequence), **more}:
            if more:
                rest[FIELDS] = more
        case {"delta": {"stop_sequence": str(sequence), **inner}, **more}:
            form[FIELDS] = {"delta": {"stop_sequence": sequence}}
            if inner:
                more = {**more, "delta": inner}
            if more:
                rest[FIELDS] = more
        case _:
            rest[FIELDS] = fields
    reason = _REASONS.get(native, "stop") if isinstance(native, str) else None
    if native != _stop_reason(reason, sequence, implied):
        rest["stopReason"] = native
    return reason, sequence, extras_with(rest, form)


def _stop_reason(reason: FinishReason | None, sequence: str | None, implied: FinishReason | None) -> str:
    if reason == "stop":
        if sequence is not None:
            return "stop_sequence"
        # Clients look for `tool_use` before they run a tool.
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
    finish: JsonObject = {"stopReason": _stop_reason(reason, sequence, implied)}
    fields = as_object(form_of(extras).get(FIELDS))
    if fields is not None:
        finish[FIELDS] = fields
    elif sequence is not None:
        finish[FIELDS] = {"stop_sequence": sequence}
    return merged(finish, own_members(extras, losses, "", "info"))


def decode_usage(usage: JsonObject) -> Usage:
    """`inputTokens` counts neither what the cache gave nor what it took; the canonical total does."""
    left = dict(usage)
    fresh, output = _take(left, "inputTokens"), _take(left, "outputTokens")
    read, written = _take(left, "cacheReadInputTokens"), _take(left, "cacheWriteInputTokens")
    form: JsonObject = {}
    for name, other in _REPEATED.items():
        if name in left and left[name] == usage.get(other):
            form[name] = left.pop(name)
    found = Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=output,
        cached_tokens=read,
        cache_write_tokens=written,
    )
    if left.get("totalTokens") == found.total_tokens:
        del left["totalTokens"]
    found.extras = extras_with(left, form)
    return found


def _take(members: JsonObject, name: str) -> int | None:
    """Remove and return a whole number; anything else stays, to go through as an extra."""
    value = members.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        del members[name]
        return value
    return None


def encode_usage(usage: Usage | None, losses: Losses) -> JsonObject:
    """Clients add these figures up, so those that nobody knows are 0."""
    usage = usage or Usage()
    read, written = usage.cached_tokens, usage.cache_write_tokens
    said: JsonObject = {
        "inputTokens": max(0, (usage.input_tokens or 0) - (read or 0) - (written or 0)),
        "outputTokens": usage.output_tokens or 0,
        "totalTokens": usage.total_tokens,
    }
    if read is not None:
        said["cacheReadInputTokens"] = read
    if written is not None:
        said["cacheWriteInputTokens"] = written
    if usage.reasoning_tokens is not None:
        losses.add("usage.reasoning_tokens", f"{NAME} does not tell them apart", "info")
    return said | form_of(usage.extras) | own_members(usage.extras, losses, "usage", "info")


def tier_of(service_tier: str | None, losses: Losses) -> JsonObject:
    """The member for an answer's tier, if it has one here."""
    tier = "default" if service_tier == "standard" else service_tier
    if tier in _TIERS:
        return {"serviceTier": {"type": tier}}
    if tier is not None:
        losses.add("service_tier", f"{NAME} has no tier {tier!r}", "info")
    return {}


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    for choice in response.choices[1:]:
        losses.add(f"choices[{choice.index}]", f"{NAME} gives one answer")
    choice = response.choices[0] if response.choices else Choice([])
    if choice.logprobs is not None:
        losses.add("logprobs", f"{NAME} does not tell probabilities", "info")
    content = encode_parts(paths(choice.parts, "content"), losses, CLIENT)
    implied = implied_reason(choice.parts)
    body: JsonObject = {
        "output": {"message": {"role": "assistant", "content": content}},
        **encode_finish(choice.finish_reason, choice.stop_sequence, implied, choice.extras, losses),
        "usage": encode_usage(response.usage, losses),
        # Required, and nothing that a codec could know.
        "metrics": {"latencyMs": 0},
        **tier_of(response.service_tier, losses),
    }
    return merged(body, own_members(response.extras, losses, "", "info"))
