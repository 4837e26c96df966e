"""Answers of Command R.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
"""

from __future__ import annotations

from typing import Any

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Part, Text, ToolCall
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.dialects.bedrock_invoke.answer import note_figures, note_stop_sequence, note_tier, only_choice
from wye.dialects.bedrock_invoke.cohere.name import NAME
from wye.dialects.bedrock_invoke.cohere.tools import encode_call
from wye.dialects.bedrock_invoke.reasons import Reasons
from wye.dialects.bedrock_invoke.turns import say_text
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object, encode_text

REASONS = Reasons(
    "finish_reason",
    {
        "COMPLETE": "stop",
        "STOP_SEQUENCE": "stop",
        "MAX_TOKENS": "length",
        "ERROR_TOXIC": "content_filter",
        "ERROR": "error",
        "ERROR_LIMIT": "error",
        "USER_CANCEL": "error",
    },
    {
        "stop": "COMPLETE",
        "tool_calls": "COMPLETE",
        "length": "MAX_TOKENS",
        "content_filter": "ERROR_TOXIC",
        "error": "ERROR",
    },
)
REPEATED = ("generation_id", "chat_history", "prompt", "meta")
"""A second id, and what repeats the request or tells its cost: nobody else loses anything with it."""


def decode_response(body: JsonObject) -> ChatResponse:
    left = dict(body)
    text = take(left, "text", str)
    if text is None:
        raise BadAnswer("The upstream's answer holds no text")
    parts: list[Part] = [Text(text)] if text else []
    calls = take_calls(left)
    identity = take(left, "response_id", str)
    reason, extras = take_finish(left, bool(calls))
    return ChatResponse(
        id=identity or new_id("bdrk_"),
        model="",
        choices=[Choice([*parts, *calls], reason, extras=extras_of(NAME, extras))],
        extras=extras_of(NAME, formed(left)),
    )


def formed(members: JsonObject) -> JsonObject:
    """Extras, those that only repeat something apart from the others."""
    form = {name: members[name] for name in REPEATED if members.get(name) is not None}
    rest = {name: value for name, value in members.items() if name not in REPEATED}
    return {**rest, FORM: form} if form else rest


def take_calls(members: JsonObject) -> list[ToolCall]:
    """Remove the calls when all of them are understood; otherwise they stay, and there are none."""
    calls: list[ToolCall] = []
    for value in as_list(members.get("tool_calls")) or ():
        left = dict(as_object(value) or {})
        name, given = take(left, "name", str), left.pop("parameters", None)
        if name is None:
            return []
        call = ToolCall(new_id("call_"), name, encode_text({} if given is None else given))
        call.extras = extras_of(NAME, left)
        calls.append(call)
    members.pop("tool_calls", None)
    return calls


def take_finish(members: JsonObject, called: bool) -> tuple[FinishReason | None, JsonObject]:
    """Remove the reason: an answer with calls ends as any other."""
    reason, extras = REASONS.take(members)
    return "tool_calls" if reason == "stop" and called else reason, extras


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    choice = only_choice(response, NAME, losses)
    note_figures(response.usage, NAME, losses)
    note_tier(response.service_tier, losses)
    own = dict(own_extras(response.extras, NAME, losses, "", "info"))
    form: Any = own.pop(FORM, {})
    text, calls = said_by(choice, losses)
    body: JsonObject = {"response_id": response.id, "text": text, "generation_id": response.id}
    if calls:
        body["tool_calls"] = calls
    elif choice.finish_reason == "tool_calls":
        losses.add("choices[0].finish_reason", f"{NAME} tells of calls only by the calls")
    repeated = {name: form[name] for name in REPEATED if name in form}
    return {**body, **REASONS.say(choice.finish_reason, choice.extras, NAME, losses, "choices[0]"), **repeated, **own}


def said_by(choice: Choice, losses: Losses) -> tuple[str, list[JsonObject]]:
    """A choice's text and calls; whatever else it holds is named as lost."""
    if choice.logprobs is not None:
        losses.add("logprobs", f"{NAME} does not tell probabilities", "info")
    note_stop_sequence(choice.stop_sequence, choice.index, NAME, losses)
    calls: list[JsonObject] = []
    text = ""
    for i, part in enumerate(choice.parts):
        path = f"content[{i}]"
        if isinstance(part, ToolCall) and part.kind != "server":
            calls.append(encode_call(part, path, losses, answer=True))
        else:
            text += say_text(part, path, NAME, losses, answer=True) or ""
    return text, calls
