"""Reasoning items. https://platform.openai.com/docs/guides/reasoning

A Thinking is one item: its text is the texts of `summary`, then those of `content`, with an empty line between them;
where each begins is kept as its spelling. `encrypted_content` is OpenAI's own, or a seal (`canon.seal`) of what another
vendor's model thought, or did on its own servers.
"""

from __future__ import annotations

from typing import Any

from wye.canon.extras import Extras
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Thinking, ToolCall
from wye.canon.seal import seal, unseal
from wye.dialects.openai_responses.content import extras_with, form_of, own_members
from wye.dialects.openai_responses.name import NAME, ORIGIN
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object

BREAK = "\n\n"
KINDS = {"summary": "summary_text", "content": "reasoning_text"}
"""The members that hold texts, and the type of their elements."""


def decode_reasoning(item: JsonObject, *, answer: bool = False) -> Part:
    """The thought, or what was sealed in its place. An item with anything but texts in it stays whole.

    A seal in an answer is not ours to open: the Wye behind that upstream made it, and wants it back.
    """
    left = {name: value for name, value in item.items() if name != "type"}
    texts: dict[str, list[str]] = {}
    for member, kind in KINDS.items():
        if left.get(member) is not None:
            found = _texts(left.pop(member), kind)
            if found is None:
                return Opaque(NAME, item)
            texts[member] = found
    text, form = joined(texts)
    encrypted = left.pop("encrypted_content", None)
    identity = left.pop("id", None)
    if encrypted is not None and not isinstance(encrypted, str):
        left["encrypted_content"], encrypted = encrypted, None
    sealed = None if encrypted is None or answer else unseal(encrypted)
    if sealed is not None:
        if isinstance(sealed, Thinking):
            sealed.text = text
        return sealed
    thought = Thinking(text, redacted=encrypted, id=identity if isinstance(identity, str) else None, origin=ORIGIN)
    thought.extras = extras_with(left, form)
    return thought


def _texts(value: Any, kind: str) -> list[str] | None:
    """The texts of a list of elements of this type and no further members; None for anything else."""
    items = as_list(value)
    if items is None:
        return None
    texts: list[str] = []
    for item in items:
        element = as_object(item) or {}
        text = element.get("text")
        if element.keys() != {"type", "text"} or element["type"] != kind or not isinstance(text, str):
            return None
        texts.append(text)
    return texts


def joined(texts: dict[str, list[str]]) -> tuple[str, JsonObject]:
    """The texts of an item as one, and where each begins, unless that is plain: one summary, or nothing at all."""
    starts: dict[str, list[int]] = {}
    whole = ""
    begun = False
    for member, found in texts.items():
        starts[member] = []
        for text in found:
            whole += BREAK if begun else ""
            starts[member].append(len(whole))
            whole += text
            begun = True
    plain = starts in ({"summary": [0]}, {}) if whole else starts in ({"summary": []}, {})
    return whole, {} if plain else dict(starts)


def split(text: str, form: JsonObject) -> dict[str, list[str]]:
    """The texts of an item by their members. A text that no longer is as it was written is one summary."""
    found = [(start, member) for member in KINDS for start in as_list(form.get(member)) or ()]
    begins = sorted((start, member) for start, member in found if isinstance(start, int))
    ends = [start - len(BREAK) for start, _ in begins[1:]] + [len(text)]
    texts: dict[str, list[str]] = {member: [] for member in KINDS if member in form}
    for (start, member), end in zip(begins, ends, strict=False):
        texts[member].append(text[start:end])
    whole = BREAK.join(text[start:end] for (start, _), end in zip(begins, ends, strict=False))
    return texts if form and whole == text else {"summary": [text] if text else []}


def encode_texts(text: str, extras: Extras | None) -> JsonObject:
    """`summary` and, where there was one, `content`."""
    texts = split(text, form_of(extras))
    members = {name: [{"type": KINDS[name], "text": text} for text in found] for name, found in texts.items()}
    return {"summary": [], **members}


def encode_history(thought: Thinking, losses: Losses, path: str) -> JsonObject | None:
    """The item for an upstream; None where its model could not read it: reported as lost."""
    if thought.origin not in (None, ORIGIN):
        losses.add(path, f"only {thought.origin}'s models can read this thinking")
        return None
    if thought.origin is None and thought.redacted is None:
        losses.add(path, "thinking that OpenAI's models did not write is refused by them")
        return None
    if thought.signature is not None:
        losses.add(f"{path}.signature", f"{NAME} has no signatures", "info")
    own, _ = own_members(thought.extras, losses, path)
    item: JsonObject = {"type": "reasoning"}
    if thought.id is not None:
        item["id"] = thought.id
    item.update(encode_texts(thought.text, thought.extras))
    if thought.redacted is not None:
        item["encrypted_content"] = thought.redacted
    return {**item, **own}


def encode_thought(part: Thinking | Opaque | ToolCall, identity: str | None = None) -> JsonObject:
    """The item for a client: what another vendor's model left is sealed in it, to come back unchanged."""
    if not isinstance(part, Thinking):
        return {"id": identity or new_id("rs_"), "type": "reasoning", "summary": [], "encrypted_content": seal(part)}
    item: JsonObject = {"id": identity or own_id(part) or new_id("rs_"), "type": "reasoning"}
    item.update(encode_texts(part.text, part.extras))
    encrypted = sealed(part)
    if encrypted is not None:
        item["encrypted_content"] = encrypted
    own, _ = own_members({NAME: (part.extras or {}).get(NAME, {})}, Losses(), "")
    return {**item, **own}


def own_id(thought: Thinking) -> str | None:
    """The id that OpenAI gave it; another's is not of the form that clients know."""
    return thought.id if thought.origin == ORIGIN else None


def sealed(thought: Thinking) -> str | None:
    """Its `encrypted_content`: OpenAI's own as it is, another's as a seal: even where there is nothing to keep, it
    tells whose thought it was, for OpenAI's models must not be shown it as theirs."""
    if thought.origin == ORIGIN:
        return thought.redacted
    kept = Thinking("", thought.signature, thought.redacted, thought.id, thought.origin, thought.extras)
    return seal(kept)
