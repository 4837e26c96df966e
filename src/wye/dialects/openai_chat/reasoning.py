"""Reasoning in messages. OpenAI's Chat API shows none; these members are what its relatives and their clients use.

`reasoning_content` (or `reasoning`) is the text: https://api-docs.deepseek.com/guides/reasoning_model .
`reasoning_details` holds what must come back unchanged, signatures and encrypted reasoning included; `format` tells
whose they are:
https://openrouter.ai/docs/use-cases/reasoning-tokens
"""

from __future__ import annotations

from typing import Any

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Thinking
from wye.dialects.dialect import Quirks
from wye.dialects.openai_chat.name import NAME
from wye.kernel.json import JsonObject, as_list, as_object

TEXT_MEMBERS = ("reasoning_content", "reasoning")
_ORIGINS = {"anthropic-claude-v1": "anthropic", "openai-responses-v1": "openai"}
_FORMATS = {origin: name for name, origin in _ORIGINS.items()}


def take_thinking(members: JsonObject) -> list[Thinking]:
    """Remove the reasoning from a message's members: its text counts only where no detail says one.

    Clients that keep every piece of a stream send a detail in several, all of one index: they are joined.
    """
    text = take_text(members)
    indexes = [(as_object(detail) or {}).get("index") for detail in as_list(members.get("reasoning_details")) or ()]
    thoughts: list[Thinking] = []
    unended: Any = None
    for index, thought in zip(indexes, take_details(members), strict=False):
        if index is not None and index == unended and is_piece(thought, thoughts[-1]):
            extend(thoughts[-1], thought)
        else:
            thoughts.append(thought)
        unended = index if thought.signature is None and thought.redacted is None else None
    if text and not any(thought.text for thought in thoughts):
        untold = next((thought for thought in thoughts if thought.redacted is None), None)
        if untold is None:
            thoughts.insert(0, Thinking(text))
        else:
            untold.text = text
    return [thought for thought in thoughts if not _is_empty(thought)]


def is_piece(detail: Thinking, thought: Thinking) -> bool:
    """Whether a detail can continue a thought: OpenAI's models give what is encrypted beside its summary."""
    return detail.redacted is None or (thought.origin == "openai" and detail.origin in (None, "openai"))


def extend(thought: Thinking, piece: Thinking) -> None:
    thought.text += piece.text
    thought.signature, thought.redacted = piece.signature, piece.redacted
    thought.id, thought.origin = thought.id or piece.id, thought.origin or piece.origin
    own = {**(thought.extras or {}).get(NAME, {}), **(piece.extras or {}).get(NAME, {})}
    thought.extras = extras_of(NAME, own)


def take_text(members: JsonObject) -> str:
    text = ""
    for name in TEXT_MEMBERS:
        value = members.get(name)
        if isinstance(value, str):
            text = text or value
            del members[name]
    return text


def take_details(members: JsonObject) -> list[Thinking]:
    """Remove the details when all of them are understood; otherwise they stay, and there are none."""
    details = as_list(members.get("reasoning_details"))
    if details is None:
        return []
    thoughts = [_decode_detail(detail) for detail in details]
    if not all(thoughts):
        return []
    del members["reasoning_details"]
    return [thought for thought in thoughts if thought is not None]


def _is_empty(thought: Thinking) -> bool:
    """Only the announcement of a thought, from a client that kept every piece of a stream."""
    return not thought.text and thought.signature is None and thought.redacted is None


def _decode_detail(value: Any) -> Thinking | None:
    detail = dict(as_object(value) or {})
    kind = detail.pop("type", None)
    identity = detail.pop("id", None)
    if kind == "reasoning.encrypted":
        # A client that adds up the details of one index has the text in it, too.
        texts = [str(detail.pop(name, None) or "") for name in ("summary", "text")]
        thought = Thinking(texts[0] or texts[1], redacted=str(detail.pop("data", None) or ""))
    elif kind in ("reasoning.text", "reasoning.summary"):
        name = "text" if kind == "reasoning.text" else "summary"
        thought = Thinking(str(detail.pop(name, None) or ""))
        signature = detail.pop("signature", None)
        thought.signature = signature if isinstance(signature, str) else None
    else:
        return None
    thought.id = identity if isinstance(identity, str) else None
    thought.origin = _ORIGINS.get(str(detail.get("format")))
    if thought.origin is not None:
        del detail["format"]
    if kind not in ("reasoning.encrypted", _usual(thought)):
        detail["type"] = kind
    detail.pop("index", None)
    thought.extras = extras_of(NAME, {name: value for name, value in detail.items() if value is not None})
    return thought


def _usual(thought: Thinking) -> str:
    """The type of a text: of OpenAI's reasoning there is only a summary."""
    return "reasoning.summary" if thought.origin == "openai" else "reasoning.text"


def encode_thinking(thoughts: list[tuple[str, Thinking]], losses: Losses) -> JsonObject:
    """The members to merge into a message or a delta. Each thought comes with its path."""
    members: JsonObject = {}
    if text := "".join(thought.text for _, thought in thoughts):
        members["reasoning_content"] = text
    if any(must_come_back(thought) for _, thought in thoughts):
        found = (encode_details(thought, index, losses, at) for index, (at, thought) in enumerate(thoughts))
        members["reasoning_details"] = [detail for details in found for detail in details]
    return members


def encode_history(thoughts: list[tuple[str, Thinking]], losses: Losses, path: str, quirks: Quirks) -> JsonObject:
    """The same for an upstream, as far as it takes back what models thought."""
    members = encode_thinking(thoughts, losses)
    text = members.pop("reasoning_content", None)
    if text is not None and quirks.reasoning_member:
        members[quirks.reasoning_member] = text
    elif text is not None:
        losses.add(f"{path}.reasoning_content", "the upstream takes no earlier reasoning", "info")
    if not quirks.reasoning_details and members.pop("reasoning_details", None):
        losses.add(f"{path}.reasoning_details", "the upstream takes back no signatures and no encrypted reasoning")
    return members


def must_come_back(thought: Thinking) -> bool:
    """Whether it holds more than a text."""
    own = (thought.extras or {}).get(NAME)
    return bool(thought.signature or thought.redacted is not None or thought.id or own)


def encode_details(thought: Thinking, index: int, losses: Losses, path: str) -> list[JsonObject]:
    """One thought as it must come back: one detail, or two where there is a text beside encrypted reasoning."""
    own = dict(own_extras(thought.extras, NAME, losses, path, "info"))
    kind = str(own.pop("type", _usual(thought)))
    if thought.origin in _FORMATS:
        own["format"] = _FORMATS[thought.origin]
    details: list[JsonObject] = []
    if thought.text or thought.redacted is None:
        details.append({"type": kind, kind.removeprefix("reasoning."): thought.text})
    if thought.redacted is not None:
        details.append({"type": "reasoning.encrypted", "data": thought.redacted})
    if thought.signature is not None:
        details[0]["signature"] = thought.signature
    if thought.id is not None:
        details[-1]["id"] = thought.id
    return [{**detail, "index": index, **own} for detail in details]
