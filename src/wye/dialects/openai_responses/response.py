"""Answers of the Responses API. https://platform.openai.com/docs/api-reference/responses/object

An answer repeats the settings of its request: those are no news, and nothing is lost where another dialect leaves them
out. Reading is lenient: what an upstream says unexpectedly stays whole, as an extra.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from wye.canon.extras import FORM, Extras, joined, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Part, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.usage import Usage
from wye.dialects.dialect import Quirks
from wye.dialects.openai_errors import refusal
from wye.dialects.openai_responses.content import extras_with, own_members
from wye.dialects.openai_responses.name import NAME
from wye.dialects.openai_responses.output import COMPLETED, decode_output, encode_output, logprobs_of
from wye.dialects.openai_responses.request import encode_request, instructions_of
from wye.dialects.openai_responses.tools import in_namespace, spaces_of
from wye.kernel import clock
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object, type_name

SETTINGS: JsonObject = {
    "background": False,
    "error": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What every answer repeats of its request, as it is when the request did not say."""
_REPEATED = SETTINGS.keys() | {
    "conversation",
    "frequency_penalty",
    "presence_penalty",
    "prompt",
    "prompt_cache_options",
    "prompt_cache_retention",
}
_LIMITS: dict[str | None, FinishReason] = {"content_filter": "content_filter"}
_TIERS = {"standard": "default", "standard_only": "default", "batch": "default"}
"""Anthropic's words for tiers that have another name here."""


def decode_response(body: JsonObject) -> ChatResponse:
    if body.get("error"):
        raise refusal(body)
    output = as_list(body.get("output"))
    if output is None:
        raise BadAnswer(f"The upstream's answer is no response: its output is {type_name(body.get('output'))}")
    left = {name: value for name, value in body.items() if name != "output"}
    parts = decode_output(output)
    reason, finish = take_finish(left, parts)
    usage = as_object(left.get("usage"))
    if usage is not None or left.get("usage") is None:
        left.pop("usage", None)
    identity, model, created, tier = take_head(left)
    return ChatResponse(
        id=identity or new_id("resp_"),
        model=model or "",
        created=created,
        choices=[Choice(parts, reason, logprobs=logprobs_of(output), extras=finish)],
        usage=None if usage is None else decode_usage(usage),
        service_tier=tier,
        extras=news_of(left),
    )


def take_head(members: JsonObject) -> tuple[str | None, str | None, int | None, str | None]:
    """Remove what names an answer: its id, model, time and tier."""
    if members.get("object") == "response":
        del members["object"]
    created = members.get("created_at")
    if isinstance(created, float) and created.is_integer():
        members["created_at"] = int(created)
    return (
        take(members, "id", str),
        take(members, "model", str),
        take(members, "created_at", int),
        take(members, "service_tier", str),
    )


def news_of(members: JsonObject) -> Extras | None:
    """What is left of an answer, with the repeated settings set apart."""
    repeated = {name: members[name] for name in _REPEATED if name in members}
    return extras_with({name: value for name, value in members.items() if name not in repeated}, repeated)


def take_finish(members: JsonObject, parts: Iterable[Part]) -> tuple[FinishReason | None, Extras | None]:
    """Remove the status and its details. Those that would not be said again as they are stay in the extras."""
    status = take(members, "status", str) or COMPLETED
    details = members.pop("incomplete_details", None)
    why = (as_object(details) or {}).get("reason")
    calls = any(isinstance(part, ToolCall) and part.kind != "server" for part in parts)
    reason: FinishReason | None
    match status:
        case "completed":
            reason = "tool_calls" if calls else "stop"
        case "incomplete":
            reason = _LIMITS.get(why if isinstance(why, str) else None, "length")
        case "queued" | "in_progress":
            reason = None
        case _:
            reason = "error"
    if (status, details) == encode_status(reason):
        return reason, None
    return reason, {NAME: {"status": status, "incomplete_details": details}}


def encode_status(reason: FinishReason | None) -> tuple[str, JsonObject | None]:
    """`status` and `incomplete_details`."""
    match reason:
        case "length":
            return "incomplete", {"reason": "max_output_tokens"}
        case "content_filter":
            return "incomplete", {"reason": "content_filter"}
        case "error":
            return "failed", None
        case None:
            return "in_progress", None
        case _:
            return COMPLETED, None


def decode_usage(usage: JsonObject) -> Usage:
    left = dict(usage)
    read, written, thought = None, None, None
    details = as_object(left.get("input_tokens_details"))
    if details is not None:
        left["input_tokens_details"] = details = dict(details)
        read, written = take(details, "cached_tokens", int), take(details, "cache_write_tokens", int)
    spent = as_object(left.get("output_tokens_details"))
    if spent is not None:
        left["output_tokens_details"] = spent = dict(spent)
        thought = take(spent, "reasoning_tokens", int)
    asked, answered = take(left, "input_tokens", int), take(left, "output_tokens", int)
    if left.get("total_tokens") == (asked or 0) + (answered or 0):
        del left["total_tokens"]
    for name in ("input_tokens_details", "output_tokens_details"):
        if not left.get(name):
            left.pop(name, None)
    return Usage(asked, answered, read, written, thought, extras_with(left, {}))


def encode_usage(usage: Usage, losses: Losses) -> JsonObject:
    """OpenAI's types require every figure, so those that nobody knows are 0."""
    own = dict(own_extras(usage.extras, NAME, losses, "usage", "info"))
    asked = {"cached_tokens": usage.cached_tokens or 0, "cache_write_tokens": usage.cache_write_tokens or 0}
    spent = {"reasoning_tokens": usage.reasoning_tokens or 0}
    return {
        "input_tokens": usage.input_tokens or 0,
        "input_tokens_details": joined(asked, own, "input_tokens_details"),
        "output_tokens": usage.output_tokens or 0,
        "output_tokens_details": joined(spent, own, "output_tokens_details"),
        "total_tokens": usage.total_tokens,
        **own,
    }


def encode_count(tokens: int) -> JsonObject:
    """https://platform.openai.com/docs/api-reference/responses/input-tokens"""
    return {"object": "response.input_tokens", "input_tokens": tokens}


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    for choice in response.choices[1:]:
        losses.add(f"choices[{choice.index}]", f"{NAME} gives one answer")
    choice = response.choices[0] if response.choices else Choice([])
    body = encode_head(response.id, response.model, response.created, response.service_tier, response.extras, losses)
    called = any(isinstance(part, ToolCall) for part in choice.parts)
    finish(body, choice.finish_reason, choice.stop_sequence, choice.extras, losses, called=called)
    body["output"] = encode_output(choice.parts, choice.logprobs, body["status"], losses)
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage, losses)
    return body


def encode_head(
    identity: str, model: str, created: int | None, tier: str | None, extras: Extras | None, losses: Losses
) -> JsonObject:
    """What is known of an answer from its beginning."""
    own, repeated = own_members(extras, losses, "", "info")
    return {
        "id": identity or new_id("resp_"),
        "object": "response",
        "created_at": clock.unix_s() if created is None else created,
        "status": "in_progress",
        "incomplete_details": None,
        "model": model,
        "output": [],
        "service_tier": tier if tier is None else _TIERS.get(tier, tier),
        "usage": None,
        **(repeated or SETTINGS),
        **own,
    }


def finish(
    body: JsonObject,
    reason: FinishReason | None,
    sequence: str | None,
    extras: Extras | None,
    losses: Losses,
    *,
    called: bool,
) -> None:
    """Say how an answer ended; `called` tells whether it holds calls."""
    if reason == "tool_calls" and not called:
        losses.add("finish_reason", f"{NAME} tells of calls only by the calls")
    if sequence is not None:
        losses.add("stop_sequence", f"{NAME} does not tell which sequence stopped it", "info")
    own = own_extras(extras, NAME, losses, "", "info")
    body["status"], body["incomplete_details"] = encode_status(reason)
    if reason == "error" and "status" not in own:
        body["error"] = {"code": "server_error", "message": "The model stopped with an error"}
    body.update(own)


def echo(request: ChatRequest, response: ChatResponse) -> ChatResponse:
    """An answer of another dialect, with an id of this one and what this one repeats of the request."""
    if response.extras and NAME in response.extras:
        return response
    spaces = spaces_of(request.tools)
    choices = [
        replace(choice, parts=[in_namespace(p, spaces) if isinstance(p, ToolCall) else p for p in choice.parts])
        for choice in response.choices
    ]
    extras = {**(response.extras or {}), **repeated(request)}
    return replace(response, id=own_id(response.id), choices=choices, extras=extras)


def own_id(identity: str) -> str:
    """The id of an answer that may be another dialect's: clients, and OpenAI itself, know answers by its beginning."""
    return identity if identity.startswith("resp_") else new_id("resp_")


def repeated(request: ChatRequest) -> Extras:
    """The settings of a request, as its answer repeats them."""
    instructions = instructions_of(request)
    said = encode_request(replace(request, messages=[instructions] if instructions else []), Losses(), Quirks())
    return {NAME: {FORM: {**SETTINGS, **{name: said[name] for name in _REPEATED if name in said}}}}
