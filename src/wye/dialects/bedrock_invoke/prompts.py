"""Prompt templates: how models that only continue a text are told who says what.

A prompt that is such a template is understood as the conversation it tells, and said again byte for byte; any other is
one message of the user. Text that holds the marks of a template could pass for a turn of its own: that is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Pattern
from typing import Final, Literal

import msgspec

from wye.canon.extras import FORM
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest, Message
from wye.dialects.bedrock_invoke.turns import ImageMark, Turn, messages_of, turns_of
from wye.kernel.json import JsonObject


class Template(msgspec.Struct, frozen=True):
    marks: Pattern[str]
    """What divides the turns."""
    encode: Callable[[list[Turn]], str]
    decode: Callable[[str], list[Turn] | None]
    """None for a text that is not this template."""


def decode_prompt(prompt: str, templates: tuple[Template, ...]) -> list[Message]:
    for template in templates:
        turns = template.decode(prompt)
        if turns is not None:
            return messages_of(turns)
    return messages_of([Turn("user", prompt)])


def kept_prompt(prompt: str, messages: list[Message], template: Template) -> JsonObject:
    """The form of a prompt that the template would not say again as it is."""
    turns = turns_of(ChatRequest(model="", messages=messages), "", Losses())
    return {} if template.encode(turns) == prompt else {FORM: {"prompt": prompt}}


def encode_prompt(
    request: ChatRequest,
    kept: str | None,
    template: Template,
    templates: tuple[Template, ...],
    dialect: str,
    losses: Losses,
    image: ImageMark | None = None,
) -> str:
    """The prompt for these messages: the one that they were read from, as long as they are the same."""
    if kept is not None and decode_prompt(kept, templates) == request.messages:
        return kept
    turns = turns_of(request, dialect, losses, image)
    for turn in turns:
        if template.marks.search(turn.text):
            losses.add(f"{turn.path}.content", "it holds the marks between turns: the model may read some of its own")
    return template.encode(turns)


def alternating(turns: list[Turn]) -> tuple[str, list[Turn]]:
    """The system's words, and turns of user and assistant that alternate, the user's first."""
    system = "\n".join(turn.text for turn in turns if turn.role == "system")
    joined: list[Turn] = []
    for turn in turns:
        if turn.role == "system":
            continue
        if not joined and turn.role == "assistant":
            joined.append(Turn("user", ""))
        if joined and joined[-1].role == turn.role:
            joined[-1] = Turn(turn.role, f"{joined[-1].text}\n{turn.text}")
        else:
            joined.append(turn)
    return system, joined


# Titan: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html

_TITAN_TURN = re.compile(r"(?:\A|\n\s*)(User|Bot):")
_SPEAKERS: Final[dict[str, Literal["user", "assistant"]]] = {"User": "user", "Bot": "assistant"}


def _encode_titan(turns: list[Turn]) -> str:
    system, said = alternating(turns)
    lines = [system] if system else []
    lines += [f"{'User' if turn.role == 'user' else 'Bot'}: {turn.text}" for turn in said]
    if not said or said[-1].role == "user":
        lines.append("Bot:")
    return "\n\n".join(lines)


def _decode_titan(prompt: str) -> list[Turn] | None:
    preface, *rest = _TITAN_TURN.split(prompt)
    turns = [Turn(_SPEAKERS[speaker], text.strip()) for speaker, text in zip(rest[::2], rest[1::2], strict=True)]
    if len(turns) < 2 or turns.pop() != Turn("assistant", ""):
        return None
    if any(turn.role != ("assistant" if i % 2 else "user") for i, turn in enumerate(turns)) or len(turns) % 2 == 0:
        return None
    return [Turn("system", preface.strip()), *turns] if preface.strip() else turns


TITAN = Template(_TITAN_TURN, _encode_titan, _decode_titan)
