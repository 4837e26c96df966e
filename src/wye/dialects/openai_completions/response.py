"""Answers of OpenAI's older API. https://platform.openai.com/docs/api-reference/completions/object

Reading is lenient: what an upstream says unexpectedly stays whole, as an extra.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Refusal, Text
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.dialects.openai_completions.logprobs import encode_logprobs, take_logprobs
from wye.dialects.openai_completions.name import NAME
from wye.dialects.openai_errors import holds_error, refusal
from wye.dialects.openai_usage import decode_usage, encode_usage
from wye.kernel import clock
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object, type_name

OBJECT = "text_completion"

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "error": "error",
}
_SAYABLE = ("stop", "length", "content_filter")


def decode_response(body: JsonObject) -> ChatResponse:
    if holds_error(body):
        raise refusal(body)
    left = dict(body)
    choices = as_list(left.pop("choices", None))
    if choices is None:
        raise BadAnswer(f"The upstream's answer is no completion: its choices are {type_name(body.get('choices'))}")
    usage = as_object(left.pop("usage", None))
    identity, model, created = take_head(left)
    return ChatResponse(
        id=identity or new_id("cmpl-"),
        model=model or "",
        created=created,
        choices=[_decode_choice(choice, i) for i, choice in enumerate(choices)],
        usage=None if usage is None else decode_usage(usage, NAME),
        extras=extras_of(NAME, left),
    )


def take_head(members: JsonObject) -> tuple[str | None, str | None, int | None]:
    """Remove what names an answer: its id, model and time."""
    if members.get("object") == OBJECT:
        del members["object"]
    return take(members, "id", str), take(members, "model", str), take(members, "created", int)


def _decode_choice(value: Any, position: int) -> Choice:
    members = as_object(value)
    if members is None:
        raise BadAnswer(f"The upstream's answer holds {type_name(value)} where a choice should be")
    left = dict(members)
    text = left.pop("text", None)
    if not isinstance(text, str):
        raise BadAnswer(f"The upstream's answer holds a choice whose text is {type_name(text)}")
    index = take(left, "index", int)
    reason, finish = take_finish(left)
    logprobs = take_logprobs(left)
    return Choice(
        [Text(text)] if text or logprobs else [],
        reason,
        position if index is None else index,
        logprobs=logprobs,
        extras=extras_of(NAME, {**left, **finish}),
    )


def take_finish(members: JsonObject) -> tuple[FinishReason | None, JsonObject]:
    """Remove the finish reason; one that has no word of ours stays in the extras."""
    native = take(members, "finish_reason", str)
    if not native:
        return None, {}
    return _REASONS.get(native, "stop"), {} if native in _SAYABLE else {"finish_reason": native}


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    own = own_extras(response.extras, NAME, losses, "", "info")
    note_tier(response.service_tier, losses)
    body: JsonObject = {
        "id": response.id or new_id("cmpl-"),
        "object": OBJECT,
        "created": clock.unix_s() if response.created is None else response.created,
        "model": response.model,
        "choices": [_encode_choice(choice, losses) for choice in response.choices],
    }
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage, losses, NAME)
    return {**body, **own}


def note_tier(tier: str | None, losses: Losses) -> None:
    if tier is not None:
        losses.add("service_tier", f"{NAME} has no tiers", "info")


def _encode_choice(choice: Choice, losses: Losses) -> JsonObject:
    path = f"choices[{choice.index}]"
    own = dict(own_extras(choice.extras, NAME, losses, path, "info"))
    note_stop_sequence(choice.stop_sequence, losses, path)
    texts = [text_of(part, losses, f"{path}.content[{i}]") for i, part in enumerate(choice.parts)]
    return {
        "text": "".join(text for text in texts if text is not None),
        "index": choice.index,
        "logprobs": encode_logprobs(choice.logprobs, losses, path) if choice.logprobs else None,
        "finish_reason": encode_reason(choice.finish_reason, own, losses, path),
        **own,
    }


def text_of(part: Part, losses: Losses, path: str) -> str | None:
    """What is said of a part: only text can be. None for a part that is reported as lost."""
    match part:
        case Text():
            own_extras(part.extras, NAME, losses, path, "info")
            if part.citations:
                losses.add(f"{path}.citations", f"{NAME} has no citations", "info")
            return part.text
        case Refusal():
            own_extras(part.extras, NAME, losses, path, "info")
            losses.add(f"{path}.refusal", f"{NAME} does not tell a refusal from any other text", "info")
            return part.text
        case _:
            what = (part.type if isinstance(part, Opaque) else type(part).__name__.lower()) or "such part"
            losses.add(path, f"{NAME} has no {what} in answers")
            return None


def encode_reason(reason: FinishReason | None, own: JsonObject, losses: Losses, path: str) -> str | None:
    """The upstream's own word, taken from `own`, or ours."""
    native = own.pop("finish_reason", None)
    if native is not None:
        return native
    match reason:
        case "error":
            # There is no word for it: at least the answer does not look complete.
            losses.add(f"{path}.finish_reason", f"{NAME} has no word for an answer that failed: said as 'length'")
            return "length"
        case "tool_calls":
            losses.add(f"{path}.finish_reason", f"{NAME} has no tool calls: said as 'stop'")
            return "stop"
        case _:
            return reason


def note_stop_sequence(sequence: str | None, losses: Losses, path: str) -> None:
    if sequence is not None:
        losses.add(f"{path}.stop_sequence", f"{NAME} does not tell which sequence stopped it", "info")


def prompt_to_repeat(request: ChatRequest) -> str:
    """The prompt, where the caller wants it in front of the answer (`echo`) and no upstream is asked to put it there;
    else nothing."""
    own = (request.extras or {}).get(NAME, {})
    if not own.get(FORM, {}).get("echo"):
        return ""
    return "".join(part.text for message in request.messages for part in message.parts if isinstance(part, Text))


def echo(request: ChatRequest, response: ChatResponse) -> ChatResponse:
    """The answer with the prompt in front of each choice, where the request wants it."""
    prompt = prompt_to_repeat(request)
    if not prompt:
        return response
    return replace(
        response, choices=[replace(choice, parts=[Text(prompt), *choice.parts]) for choice in response.choices]
    )
