"""Whole answers of the families that only continue a text."""

from __future__ import annotations

from wye.canon.extras import FORM, Extras, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.turns import text_of
from wye.kernel.json import JsonObject


def text_choice(text: str | None, reason: FinishReason | None, extras: Extras | None = None, index: int = 0) -> Choice:
    return Choice([Text(text)] if text else [], reason, index, extras=extras)


def own_members(extras: Extras | None, dialect: str, losses: Losses, path: str = "") -> JsonObject:
    """An answer's extras that are members, without those that are only form."""
    own = own_extras(extras, dialect, losses, path, "info")
    return {name: value for name, value in own.items() if name != FORM}


def only_choice(response: ChatResponse, dialect: str, losses: Losses) -> Choice:
    """The first choice: the others are named as lost."""
    for choice in response.choices[1:]:
        losses.add(f"choices[{choice.index}]", f"{dialect} gives one answer")
    return response.choices[0] if response.choices else Choice([])


def answer_text(choice: Choice, dialect: str, losses: Losses) -> str:
    """All of a choice's text; whatever else it holds is named as lost."""
    if choice.logprobs is not None:
        losses.add("logprobs", f"{dialect} does not tell probabilities", "info")
    note_stop_sequence(choice.stop_sequence, choice.index, dialect, losses)
    return text_of(choice.parts, "content", dialect, losses, answer=True)


def note_figures(usage: Usage | None, dialect: str, losses: Losses) -> None:
    """Name the figures that nobody tells: of all others Bedrock does, in headers and in the last chunk of a stream."""
    if usage is None:
        return
    if usage.reasoning_tokens:
        losses.add("usage.reasoning_tokens", f"{dialect} does not tell them apart", "info")
    own_extras(usage.extras, dialect, losses, "usage", "info")


def note_tier(tier: str | None, losses: Losses) -> None:
    if tier is not None:
        losses.add("service_tier", "Bedrock tells it in a header", "info")


def note_stop_sequence(sequence: str | None, choice: int, dialect: str, losses: Losses) -> None:
    if sequence is not None:
        losses.add(f"choices[{choice}].stop_sequence", f"{dialect} does not tell which sequence stopped it", "info")
