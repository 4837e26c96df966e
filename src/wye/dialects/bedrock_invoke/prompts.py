"""Prompt templates: how models that only continue a text are told who says what.

A prompt that is such a template is understood as the conversation it tells, and said again byte for byte; any other is
one message of the user. Text that holds the marks of a template could pass for a turn of its own: that is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from re import Pattern
from typing import Literal

import msgspec

from wye.canon.extras import FORM
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest, Message
from wye.dialects.bedrock_invoke.turns import ImageMark, Speaker, Turn, messages_of, turns_of
from wye.kernel.json import JsonObject


class Template(msgspec.Struct, frozen=True):
    marks: Pattern[str]
    """What divides the turns."""
    system: Literal["anywhere", "first", "none"]
    """Where the system's words have a place of their own; without one they stand at the head of the user's."""
    encode: Callable[[list[Turn]], str]
    decode: Callable[[str], list[Turn] | None]
    """None for a text that is not this template."""


def turns_in(prompt: str, templates: tuple[Template, ...]) -> list[Turn]:
    for template in templates:
        turns = template.decode(prompt)
        if turns is not None:
            return turns
    return [Turn("user", prompt)]


def decode_prompt(prompt: str, templates: tuple[Template, ...]) -> list[Message]:
    return messages_of(turns_in(prompt, templates))


def prompt_form(prompt: str) -> JsonObject:
    """What lets the same dialect say the prompt again as it was."""
    return {FORM: {"prompt": prompt}}


def encode_prompt(
    request: ChatRequest,
    kept: str | None,
    read: Callable[[str], list[Message]],
    template: Template,
    dialect: str,
    losses: Losses,
    image: ImageMark | None = None,
) -> str:
    """The prompt for these messages: the one that they were `read` from, as long as they are the same."""
    turns = turns_of(request, dialect, losses, image)
    if kept is not None and read(kept) == request.messages:
        return kept
    spoken = False
    for turn in turns:
        if template.marks.search(turn.text):
            losses.add(f"{turn.path}.content", "it holds the marks between turns: the model may read some of its own")
        if turn.role == "system" and template.system != "anywhere":
            if spoken:
                losses.add(f"{turn.path}.role", "the system's words stand before the conversation")
            elif template.system == "none":
                losses.add(f"{turn.path}.role", "the system's words stand at the head of the user's", "info")
        spoken = spoken or turn.role != "system"
    return template.encode(turns)


def _alternating(turns: list[Turn]) -> tuple[str, list[Turn]]:
    """The system's words, and turns of user and assistant that alternate, the user's first."""
    system = "\n".join(turn.text for turn in turns if turn.role == "system")
    said = [turn for turn in turns if turn.role != "system"]
    joined = [Turn(role, "\n".join(turn.text for turn in neighbours)) for role, neighbours in groupby(said, _speaker)]
    return system, joined if joined and joined[0].role == "user" else [Turn("user", ""), *joined]


def _speaker(turn: Turn) -> Speaker:
    return turn.role


# Titan, and Cohere's Command: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html


def _names(assistant: str, *, bare: bool) -> Template:
    """A template with a name before each turn. `bare`: a lone message of the user is the prompt."""
    marks = re.compile(f"(?:\\A|\n\n?)(User|{assistant}):")

    def encode(turns: list[Turn]) -> str:
        system, said = _alternating(turns)
        if bare and not system and len(said) == 1:
            return said[0].text
        lines = [system] if system else []
        lines += [f"{'User' if turn.role == 'user' else assistant}: {turn.text}" for turn in said]
        if said[-1].role == "user":
            lines.append(f"{assistant}:")
        return "\n\n".join(lines)

    def decode(prompt: str) -> list[Turn] | None:
        """Only a prompt that asks for the assistant's next words: any text may hold lines that begin with a name."""
        preface, *rest = marks.split(prompt)
        names, texts = rest[::2], rest[1::2]
        if len(names) % 2 or not names or names != ["User", assistant] * (len(names) // 2) or texts.pop().strip():
            return None
        speakers: list[Speaker] = ["user", "assistant"]
        turns = [Turn(speakers[i % 2], text.removeprefix(" ")) for i, text in enumerate(texts)]
        return [Turn("system", preface), *turns] if preface else turns

    return Template(marks, "first", encode, decode)


TITAN = _names("Bot", bare=False)
COMMAND = _names("Chatbot", bare=True)


# Llama 3 and 4: https://www.llama.com/docs/model-cards-and-prompt-formats/


def _headers(start: str, end: str, stop: str) -> Template:
    """A template with a header before each turn, and a mark after it."""
    header = re.compile(f"{re.escape(start)}(system|user|assistant){re.escape(end)}(?:\n\n|\n|)")
    begin = "<|begin_of_text|>"
    roles: dict[str, Speaker] = {"system": "system", "user": "user", "assistant": "assistant"}

    def encode(turns: list[Turn]) -> str:
        prompt = begin + "".join(f"{start}{turn.role}{end}\n\n{turn.text}{stop}" for turn in turns)
        if turns and turns[-1].role == "assistant":
            return prompt.removesuffix(stop)
        return f"{prompt}{start}assistant{end}\n\n"

    def decode(prompt: str) -> list[Turn] | None:
        before, *rest = header.split(prompt.removeprefix(begin))
        if not rest or before.strip():
            return None
        turns: list[Turn] = []
        for role, text in zip(rest[::2], rest[1::2], strict=True):
            said, stopped, after = text.partition(stop)
            if after.strip() or bool(stopped) == (len(turns) == len(rest) // 2 - 1):
                return None
            turns.append(Turn(roles[role], said))
        return turns[:-1] if turns[-1] == Turn("assistant", "") else turns if turns[-1].role == "assistant" else None

    return Template(re.compile(f"{re.escape(start)}|{re.escape(stop)}"), "anywhere", encode, decode)


LLAMA_3 = _headers("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
LLAMA_4 = _headers("<|header_start|>", "<|header_end|>", "<|eot|>")


# Llama 2, and Mistral: https://docs.mistral.ai/guides/tokenization/

_SYSTEM = re.compile(r"<<SYS>>\n(.*?)\n<</SYS>>\n\n", re.DOTALL)
_INST_MARKS = re.compile(r"\[/?INST\]|</?s>|<</?SYS>>")


def _instructions(close: str, again: str, *, system_marks: bool) -> Template:
    """A template with the user's turns in brackets, `close` after the assistant's and `again` before the next."""
    pattern = f"{re.escape(again)}\\[INST\\] ?(.*?) ?\\[/INST\\](?: ?(.*?){re.escape(close)})?"
    turn_pattern = re.compile(pattern, re.DOTALL)

    def encode(turns: list[Turn]) -> str:
        system, said = _alternating(turns)
        head = f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system_marks else f"{system}\n\n"
        prompt = "<s>"
        for i, turn in enumerate(said):
            if turn.role == "user":
                prompt += f"{again if i else ''}[INST] {head if system and not i else ''}{turn.text} [/INST]"
            else:
                prompt += f" {turn.text}{close if i + 1 < len(said) else ''}"
        return prompt

    def decode(prompt: str) -> list[Turn] | None:
        whole, at = again + prompt.removeprefix("<s>"), 0
        turns: list[Turn] = []
        while found := turn_pattern.match(whole, at):
            asked, answered = found.groups()
            turns.append(Turn("user", asked))
            at = found.end()
            if answered is None:
                break
            turns.append(Turn("assistant", answered))
        rest = whole[at:]
        if not turns or turns[-1].role != "user" or _INST_MARKS.search(rest):
            return None
        if rest.strip():
            turns.append(Turn("assistant", rest.removeprefix(" ")))
        if system_marks and (system := _SYSTEM.match(turns[0].text)):
            turns[:1] = [Turn("system", system[1]), Turn("user", turns[0].text[system.end() :])]
        return turns

    return Template(_INST_MARKS, "first" if system_marks else "none", encode, decode)


LLAMA_2 = _instructions(" </s>", "<s>", system_marks=True)
MISTRAL = _instructions("</s>", "", system_marks=False)
