"""Reasoning blocks. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ReasoningContentBlock.html

A signature is the model's own, or a seal (`canon.seal`) of what another vendor's model left. `redactedContent` is bytes
in base64; those of Claude are the text that Anthropic's API calls `data`, and it is that which is canonical.
"""

from __future__ import annotations

import base64
import binascii

from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Thinking, ToolCall
from wye.canon.seal import seal, unseal
from wye.dialects.bedrock_converse.form import block, block_extras, form_of, own_members
from wye.dialects.bedrock_converse.name import NAME
from wye.dialects.bedrock_models import Family
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_CLAUDE = "anthropic"
"""Whose thoughts Claude can read, as `Thinking.origin` has it."""


def decode_reasoning(outer: Fields) -> Part | None:
    """None for reasoning of an unknown kind."""
    inner = outer.fields("reasoningContent") or Fields({})
    if inner.has("redactedContent"):
        return decode_redacted(inner.required_str("redactedContent"), inner, outer)
    said = inner.fields("reasoningText")
    if said is None:
        return None
    thought = Thinking(said.str("text") or "", said.str("signature"))
    if said.rest():
        inner.rest()["reasoningText"] = said.rest()
    thought.extras = block_extras(inner, outer)
    return thought


def decode_redacted(content: str, inner: Fields, outer: Fields) -> Thinking:
    text = _text_of(content)
    form = {"redactedContent": "bytes"} if text is None else {}
    return Thinking(redacted=content if text is None else text, extras=block_extras(inner, outer, form))


def _text_of(content: str) -> str | None:
    """The ASCII text that base64 holds; None for other bytes, and for base64 that would not be written so again."""
    try:
        text = base64.b64decode(content, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return text if text and _content_of(text) == content else None


def _content_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def opened(outer: Fields) -> Part | None:
    """Reasoning that a client gives back: what was sealed in it, if it is a seal."""
    part = decode_reasoning(outer)
    sealed = unseal(part.signature) if isinstance(part, Thinking) and part.signature else None
    if sealed is None:
        return part
    if isinstance(sealed, Thinking) and isinstance(part, Thinking):
        sealed.text = part.text
    return sealed


def encode_answer(thought: Thinking, path: str, losses: Losses) -> JsonObject:
    """For a client: what only another vendor's model can read is sealed."""
    must_come_back = thought.signature is not None or thought.redacted is not None or thought.id is not None
    if thought.origin in (None, _CLAUDE) or not must_come_back:
        return _encode(thought, path, losses)
    kept = Thinking("", thought.signature, thought.redacted, thought.id, thought.origin, thought.extras)
    return {"reasoningContent": {"reasoningText": {"text": thought.text, "signature": seal(kept)}}}


def encode_sealed(part: Opaque | ToolCall, path: str, what: str, losses: Losses) -> JsonObject:
    """An element that only its own dialect understands, for a client that keeps it until the next turn."""
    losses.add(path, f"{what}: carried sealed, for it alone", "info")
    return {"reasoningContent": {"reasoningText": {"text": "", "signature": seal(part)}}}


def encode_history(thought: Thinking, path: str, losses: Losses, family: Family | None) -> JsonObject | None:
    """For a model; None for what it could not read."""
    if thought.origin not in (None, _CLAUDE):
        losses.add(path, f"only {thought.origin}'s models can read this thinking")
        return None
    if family == "claude" and thought.signature is None and thought.redacted is None:
        losses.add(path, "thinking without a signature is refused by the model that would read it")
        return None
    if family not in (None, "claude") and thought.origin is not None:
        if thought.redacted is not None:
            losses.add(path, f"only {thought.origin}'s models can read this thinking")
            return None
        if thought.signature is not None:
            losses.add(f"{path}.signature", f"only {thought.origin}'s models can read it", "info")
            thought = Thinking(thought.text, id=thought.id, extras=thought.extras)
    return _encode(thought, path, losses)


def _encode(thought: Thinking, path: str, losses: Losses) -> JsonObject:
    if thought.id is not None:
        losses.add(f"{path}.id", f"thinking has no id in {NAME}", "info")
    own = own_members(thought.extras, losses, path, "info")
    if thought.redacted is not None:
        raw = form_of(thought.extras).get("redactedContent") == "bytes"
        if thought.text:
            losses.add(f"{path}.text", "reasoning is either a text or encrypted", "info")
        return block("reasoningContent", {"redactedContent": encode_redacted(thought.redacted, raw=raw)}, own)
    said: JsonObject = {"text": thought.text}
    if thought.signature is not None:
        said["signature"] = thought.signature
    return block("reasoningContent", {"reasoningText": said}, own)


def encode_redacted(redacted: str, *, raw: bool) -> str:
    """`raw`: what came was no text in base64, and is as it came."""
    return redacted if raw else _content_of(redacted)
