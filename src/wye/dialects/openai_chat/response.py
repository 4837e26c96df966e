"""Answers of the Chat Completions API. https://platform.openai.com/docs/api-reference/chat/object

Reading is lenient: what an upstream says unexpectedly stays whole, as an extra.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Audio, Citation, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.response import ChatResponse, Choice, FinishReason, Logprobs, are_logprobs
from wye.dialects.openai_chat.annotations import decode_annotation, encode_annotation
from wye.dialects.openai_chat.name import NAME
from wye.dialects.openai_chat.reasoning import encode_thinking, take_thinking
from wye.dialects.openai_chat.tools import encode_tool_call, take_tool_calls
from wye.dialects.openai_errors import holds_error, refusal
from wye.dialects.openai_usage import decode_usage, encode_usage
from wye.kernel import clock
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object, type_name

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}
_SAYABLE = ("stop", "length", "tool_calls", "content_filter", "function_call")
"""Reasons that need no keeping: they come out again, or what they mean has a new name."""
_TIERS = {"standard": "default", "standard_only": "default"}
"""Anthropic's words for tiers that have another name here."""


def decode_response(body: JsonObject) -> ChatResponse:
    if holds_error(body):
        raise refusal(body)
    left = dict(body)
    choices = as_list(left.pop("choices", None))
    if choices is None:
        raise BadAnswer(f"The upstream's answer is no completion: its choices are {type_name(body.get('choices'))}")
    if left.get("object") == "chat.completion":
        del left["object"]
    identity, model, created = take(left, "id", str), take(left, "model", str), take(left, "created", int)
    tier = take(left, "service_tier", str)
    usage = as_object(left.get("usage"))
    if usage is not None or "usage" in left:
        del left["usage"]
    return ChatResponse(
        id=identity or new_id("chatcmpl-"),
        model=model or "",
        created=created,
        choices=[_decode_choice(choice, i) for i, choice in enumerate(choices)],
        usage=None if usage is None else decode_usage(usage, NAME),
        service_tier=tier,
        extras=extras_of(NAME, left),
    )


def _decode_choice(value: Any, position: int) -> Choice:
    members = as_object(value)
    if members is None:
        raise BadAnswer(f"The upstream's answer holds {type_name(value)} where a choice should be")
    left = dict(members)
    message = as_object(left.pop("message", None))
    if message is None:
        raise BadAnswer("The upstream's answer holds a choice without a message")
    index = take(left, "index", int)
    reason, extras = take_finish(left)
    logprobs = take_logprobs(left)
    parts, rest = _decode_message(message)
    if rest:
        extras["message"] = rest
    return Choice(
        parts,
        reason,
        position if index is None else index,
        logprobs=logprobs,
        extras=extras_of(NAME, {**left, **extras}),
    )


def take_finish(members: JsonObject) -> tuple[FinishReason | None, JsonObject]:
    """Remove the finish reason; one that has no word of ours stays in the extras."""
    native = take(members, "finish_reason", str)
    if native is None:
        return None, {}
    return _REASONS.get(native, "stop"), {} if native in _SAYABLE else {"finish_reason": native}


def take_logprobs(choice: JsonObject) -> Logprobs | None:
    """Remove the logprobs, also when they say nothing; those that are not of OpenAI's shape stay there."""
    value = choice.get("logprobs")
    logprobs = value if are_logprobs(value) else {}
    understood = bool(logprobs.get("content") or logprobs.get("refusal"))
    if understood or not value or (logprobs and not any(logprobs.values())):
        choice.pop("logprobs", None)
    return logprobs if understood else None


def _decode_message(message: JsonObject) -> tuple[list[Part], JsonObject]:
    """The parts of an answer's message, and what is left of it."""
    left = dict(message)
    if left.get("role") == "assistant":
        del left["role"]
    parts: list[Part] = [*take_thinking(left)]
    content = left.get("content")
    if isinstance(content, str) or content is None:
        left.pop("content", None)
        citations = take_citations(left)
        if content or citations:
            parts.append(Text(content or "", citations))
    elif (texts := _texts(content)) is not None:
        del left["content"]
        parts += texts
    said = take(left, "refusal", str)
    if said:
        parts.append(Refusal(said))
    audio = as_object(left.get("audio"))
    if audio is not None and isinstance(audio.get("data"), str):
        del left["audio"]
        parts.append(decode_audio(audio))
    parts += take_tool_calls(left)
    drop_empty(left)
    return parts, left


def drop_empty(members: JsonObject) -> None:
    """Remove the members of an assistant's message that are there only to say that there is nothing."""
    for name in ("content", "refusal", "annotations", "audio", "tool_calls", "function_call"):
        if name in members and not members[name]:
            del members[name]


def _texts(content: Any) -> list[Part] | None:
    """Content as a list of text parts, as some servers send it; None when it is anything else."""
    items = as_list(content)
    if items is None:
        return None
    texts: list[Part] = []
    for item in items:
        part = as_object(item) or {}
        if part.keys() != {"type", "text"} or not isinstance(part["text"], str):
            return None
        texts.append(Text(part["text"]))
    return texts


def take_citations(members: JsonObject) -> list[Citation]:
    """Remove the annotations when all of them are understood."""
    annotations = as_list(members.get("annotations"))
    if not annotations:
        return []
    citations = [decode_annotation(annotation) for annotation in annotations]
    if not all(citations):
        return []
    del members["annotations"]
    return [citation for citation in citations if citation is not None]


def decode_audio(audio: JsonObject) -> Audio:
    left = dict(audio)
    part = Audio(left.pop("data", None) or "", id=take(left, "id", str), transcript=take(left, "transcript", str))
    part.extras = extras_of(NAME, left)
    return part


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    own = own_extras(response.extras, NAME, losses, "", "info")
    body: JsonObject = {
        "id": response.id,
        "object": "chat.completion",
        "created": clock.unix_s() if response.created is None else response.created,
        "model": response.model,
        "choices": [_encode_choice(choice, losses) for choice in response.choices],
    }
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage, losses, NAME)
    add_tier(body, response.service_tier, losses)
    return {**body, **own}


def add_tier(body: JsonObject, tier: str | None, losses: Losses) -> None:
    if tier == "batch":
        losses.add("service_tier", f"{NAME} has no tier {tier!r}", "info")
    elif tier is not None:
        body["service_tier"] = _TIERS.get(tier, tier)


def _encode_choice(choice: Choice, losses: Losses) -> JsonObject:
    path = f"choices[{choice.index}]"
    own = dict(own_extras(choice.extras, NAME, losses, path, "info"))
    note_stop_sequence(choice.stop_sequence, losses, path)
    message = _encode_message(choice.parts, losses, f"{path}.message")
    message.update(own.pop("message", {}))
    if message["content"] is None and message["refusal"] is None and not message.keys() & {"tool_calls", "audio"}:
        message["content"] = ""
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": encode_reason(choice.finish_reason, own, losses, path),
        **own,
    }


def encode_reason(reason: FinishReason | None, own: JsonObject, losses: Losses, path: str) -> str | None:
    """The upstream's own word, taken from `own`, or ours."""
    native = own.pop("finish_reason", None)
    if native is not None:
        return native
    if reason == "error":
        # There is no word for it: at least the answer does not look complete.
        losses.add(f"{path}.finish_reason", f"{NAME} has no word for an answer that failed: said as 'length'")
        return "length"
    return reason


def note_stop_sequence(sequence: str | None, losses: Losses, path: str) -> None:
    if sequence is not None:
        losses.add(f"{path}.stop_sequence", f"{NAME} does not tell which sequence stopped it", "info")


def _encode_message(parts: list[Part], losses: Losses, path: str) -> JsonObject:
    texts: list[str] = []
    refusals: list[str] = []
    annotations: list[JsonObject] = []
    calls: list[JsonObject] = []
    message: JsonObject = {"role": "assistant", "content": None, "refusal": None, "annotations": annotations}
    for i, part in enumerate(parts):
        at = f"{path}.content[{i}]"
        match part:
            case Text():
                own_extras(part.extras, NAME, losses, at, "info")
                offset = sum(map(len, texts))
                texts.append(part.text)
                for j, citation in enumerate(part.citations):
                    found = placed(citation, offset, len(part.text))
                    annotations.append(encode_annotation(found, losses, f"{at}.citations[{j}]"))
            case Refusal():
                own_extras(part.extras, NAME, losses, at, "info")
                refusals.append(part.text)
            case ToolCall():
                if (call := encode_tool_call(part, losses, at)) is not None:
                    calls.append(call)
            case Audio():
                message["audio"] = encode_audio(part, losses, at)
            case Thinking():
                pass
            case Opaque():
                losses.add(at, f"{NAME} has no {part.type or 'such part'}")
            case _:
                losses.add(at, f"{NAME} has no {type(part).__name__.lower()} in answers")
    if texts:
        message["content"] = "".join(texts)
    if refusals:
        message["refusal"] = "".join(refusals)
    if calls:
        message["tool_calls"] = calls
    thoughts = [(f"{path}.content[{i}]", part) for i, part in enumerate(parts) if isinstance(part, Thinking)]
    message.update(encode_thinking(thoughts, losses))
    return message


def placed(citation: Citation, offset: int, length: int) -> Citation:
    """With its place in the message, where texts are joined; one without a place supports its whole text."""
    start = 0 if citation.text_start is None else citation.text_start
    end = length if citation.text_end is None else citation.text_end
    return msgspec.structs.replace(citation, text_start=offset + start, text_end=offset + end)


def encode_audio(part: Audio, losses: Losses, path: str) -> JsonObject:
    if part.format is not None:
        losses.add(f"{path}.format", f"{NAME} answers in the format that was asked for", "info")
    audio: JsonObject = {"id": part.id or new_id("audio_"), "data": part.data, "transcript": part.transcript or ""}
    return {**audio, **own_extras(part.extras, NAME, losses, path)}
