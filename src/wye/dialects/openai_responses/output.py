"""The items of an answer. https://platform.openai.com/docs/api-reference/responses/object

Reading is lenient: an item that is not as it should be stays whole.
"""

from __future__ import annotations

from typing import Any

from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.response import Logprobs, are_tokens
from wye.dialects.openai_responses.content import encode_part, take_citations
from wye.dialects.openai_responses.items import CALLS, begin_message, grouped, message_of
from wye.dialects.openai_responses.name import NAME
from wye.dialects.openai_responses.reasoning import decode_reasoning, encode_thought, own_id
from wye.dialects.openai_responses.tools import decode_call, encode_call
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.fields import Fields
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object, type_name

COMPLETED = "completed"


def decode_output(output: list[Any]) -> list[Part]:
    return [part for value in output for part in decode_item(value)]


def decode_item(value: Any) -> list[Part]:
    """The parts of one item; that it is completed goes without saying. Raises BadAnswer for what is none."""
    item = as_object(value)
    if item is None:
        raise BadAnswer(f"The upstream's answer holds {type_name(value)} where an item should be")
    kind = item.get("type")
    if kind == "reasoning":
        return [decode_reasoning(item, answer=True)]
    left = {name: member for name, member in item.items() if (name, member) != ("status", COMPLETED)}
    if kind == "message":
        return _decode_message(left) or [Opaque(NAME, item)]
    if kind in CALLS:
        try:
            return [decode_call(Fields({**left, "call_id": left.get("call_id") or left.get("id")}), {})]
        except BadRequest:
            pass
    return [Opaque(NAME, item)]


def _decode_message(left: JsonObject) -> list[Part]:
    """The texts of a message; none when there is one that is not understood, or none at all."""
    contents = as_list(left.pop("content")) or [] if "content" in left else []
    parts: list[Text | Refusal] = []
    for content in contents:
        part = decode_content_part(content)
        if part is None:
            return []
        parts.append(part)
    members = {name: value for name, value in left.items() if (name, value) not in _FIXED}
    if parts:
        begin_message(parts[0], members, {})
    return [*parts]


_FIXED = (("type", "message"), ("role", "assistant"))


def decode_content_part(value: Any) -> Text | Refusal | None:
    """None for what is neither. Its probabilities belong to the whole answer: see `logprobs_of`."""
    left = dict(as_object(value) or {})
    kind = left.pop("type", None)
    text = left.pop("refusal" if kind == "refusal" else "text", None)
    if not isinstance(text, str) or kind not in ("output_text", "refusal"):
        return None
    if kind == "refusal":
        return Refusal(text, extras={NAME: left} if left else None)
    part = Text(text, take_citations(left))
    if are_tokens(left.get("logprobs")):
        del left["logprobs"]
    for name in ("annotations", "logprobs"):
        if not left.get(name):
            left.pop(name, None)
    part.extras = {NAME: left} if left else None
    return part


def logprobs_of(output: list[Any]) -> Logprobs | None:
    found: list[Any] = []
    for item in output:
        for content in as_list((as_object(item) or {}).get("content")) or ():
            tokens = (as_object(content) or {}).get("logprobs")
            found += tokens if are_tokens(tokens) else ()
    return {"content": found} if found else None


def encode_output(parts: list[Part], logprobs: Logprobs | None, status: str, losses: Losses) -> list[JsonObject]:
    left = complete_logprobs(as_list((logprobs or {}).get("content")) or [])
    if (logprobs or {}).get("refusal"):
        losses.add("logprobs.refusal", f"{NAME} does not tell the probabilities of a refusal", "info")
    items: list[JsonObject] = []
    texts: list[JsonObject] = []
    for start, group in grouped(parts):
        last = start + len(group) == len(parts)
        item = encode_item(group, start, status if last else COMPLETED, losses)
        if item is None:
            continue
        items.append(item)
        if isinstance(group[0], Text | Refusal):
            texts += [content for content in item["content"] if content["type"] == "output_text"]
    share_logprobs(texts, left, losses)
    return items


def complete_logprobs(entries: list[Any]) -> list[Any]:
    """With what OpenAI's types require of every token here: in chat, and in other servers' answers, it may be null."""
    return [_completed(entry, top_logprobs=True) for entry in entries]


def _completed(entry: Any, *, top_logprobs: bool = False) -> Any:
    token = as_object(entry)
    if token is None:
        return entry
    said: JsonObject = {**token, "bytes": token.get("bytes") or []}
    if top_logprobs:
        said["top_logprobs"] = [_completed(other) for other in as_list(token.get("top_logprobs")) or ()]
    return said


def share_logprobs(texts: list[JsonObject], left: list[Any], losses: Losses) -> None:
    """Give every text those of the answer's token probabilities that it is made of, and the last what is over."""
    for content in texts:
        taken, length = 0, 0
        while taken < len(left) and (content is texts[-1] or length < len(content["text"])):
            length += len(str((as_object(left[taken]) or {}).get("token", "")))
            taken += 1
        if taken:
            content["logprobs"] = left[:taken]
            del left[:taken]
    if left:
        losses.add("logprobs.content", f"{NAME} tells probabilities beside a text, and this answer has none", "info")


def encode_item(
    group: list[Part], start: int, status: str, losses: Losses, identity: str | None = None
) -> JsonObject | None:
    """The item of these parts, with the id they bring, `identity`, or a new one. None for what became a loss.

    `status` is that of a message that the answer was cut off with.
    """
    path = f"output[{start}]"
    match group[0]:
        case Text() | Refusal() as first:
            own, _ = message_of(first)
            # A message that came with its id would say itself that it is not complete.
            status = COMPLETED if status == COMPLETED or "id" in own else "incomplete"
            content = [encode_content_part(part, losses, f"{path}.content[{i}]") for i, part in enumerate(group)]
            fixed = {"id": identity or new_id("msg_"), "type": "message", "role": "assistant", "status": status}
            return {**fixed, "content": content, **own}
        case ToolCall(kind="server") as call:
            losses.add(path, f"another provider ran {call.name!r} itself: carried sealed, for it alone", "info")
            return encode_thought(call, identity)
        case ToolCall() as call:
            kind = "ctc_" if call.kind == "custom" else "fc_"
            return {"id": identity or new_id(kind), "status": COMPLETED, **encode_call(call, losses, path)}
        case Thinking() as thought:
            return encode_thought(thought, identity)
        case Opaque() as part if part.dialect == NAME:
            return part.value
        case Opaque() as part:
            losses.add(path, f"only {part.dialect} understands {part.type!r}: carried sealed, for it alone", "info")
            return encode_thought(part, identity)
        case part:
            losses.add(path, f"{NAME} has no {type(part).__name__.lower()} in answers")
            return None


def encode_content_part(part: Part, losses: Losses, path: str) -> JsonObject:
    """A text or a refusal as the content of a message."""
    said = encode_part(part, losses, path, "output_text", "info") or {}
    return {"annotations": [], "logprobs": [], **said} if said["type"] == "output_text" else said


def identity_of(group: list[Part]) -> str | None:
    """The id that an item's parts bring."""
    match group[0]:
        case Text() | Refusal() as first:
            found = message_of(first)[0].get("id")
        case Thinking() as thought:
            found = own_id(thought)
        case ToolCall() as call:
            found = (call.extras or {}).get(NAME, {}).get("id")
        case Opaque() as part if part.dialect == NAME:
            found = part.value.get("id")
        case _:
            found = None
    return found if isinstance(found, str) else None
