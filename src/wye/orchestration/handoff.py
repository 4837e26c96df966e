"""What one model hands to the next, fitted to the window of the one that reads it.

What is verbose goes first, then the conversation before the question; the goal, the constraints, the decisions and the
open problems stay, and so does the work in hand. What then does not fit is an error: nothing is cut silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from wye.canon.parts import Part, Text, ToolCall, ToolResult
from wye.canon.request import ChatRequest
from wye.kernel.errors import BadRequest
from wye.kernel.json import encode_text
from wye.orchestration import prompts

_BYTES_PER_TOKEN = 3
"""Fewer than most texts have, so that an estimate errs on the side of too many tokens."""
_FORM_TOKENS = 64
"""What a chat template adds to two messages, with a margin."""
_NOTE = re.compile(r"^[ \t>*_-]*(DECISION|OPEN)[*_]*:[*_ \t]*(\S.*)$", re.MULTILINE)
_FILLER = re.compile(
    r"^(?:(?:sure|certainly|of course|absolutely|great question)\b[^\n]{0,80}[.!:]"
    r"|(?:i hope (?:this|that) helps|let me know if|feel free to)\b[^\n]{0,120}|[-*_=]{3,})[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_FIRST_SENTENCE = re.compile(r"(?s)\A.{1,400}?[.!?](?=\s|\Z)|\A.{1,200}")


class Section(msgspec.Struct):
    """One text in hand: a draft, or one of several answers."""

    title: str
    text: str


class Handoff(msgspec.Struct):
    """What the next model must know."""

    goal: str
    step: str
    constraints: list[str]
    decisions: list[str] = msgspec.field(default_factory=list[str])
    open_errors: list[str] = msgspec.field(default_factory=list[str])
    work: list[Section] = msgspec.field(default_factory=list[Section])
    context: list[str] = msgspec.field(default_factory=list[str])
    """The conversation before the question, a turn each."""

    def text(self) -> str:
        # What is asked comes last: small models answer what they have read last.
        sections = [
            (prompts.CONSTRAINTS, self.constraints),
            (prompts.DECISIONS, [f"- {decision}" for decision in self.decisions]),
            (prompts.OPEN_ERRORS, [f"- {problem}" for problem in self.open_errors]),
            (prompts.CONTEXT, self.context),
            *((f"# {section.title}", [section.text]) for section in self.work),
            (prompts.GOAL, [self.goal]),
            (prompts.STEP, [self.step]),
        ]
        return "\n\n".join(f"{title}\n{chr(10).join(lines)}" for title, lines in sections if lines)


class Fitted(msgspec.Struct, frozen=True):
    """A hand-over as it is said, and what was left out of it, in the order it went."""

    text: str
    tokens: int
    left_out: list[str]


def tokens_of(text: str) -> int:
    """An estimate, without the model's own tokenizer."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def fit(handoff: Handoff, room: int | None, instructions: str) -> Fitted:
    """The hand-over within so many tokens, its instructions counted; None where the window is not known.

    Raises BadRequest `CONTEXT_BUDGET_EXCEEDED`.
    """
    around = tokens_of(instructions) + _FORM_TOKENS
    left_out: list[str] = []
    text = handoff.text()
    shorter = iter(_SHORTER)
    while room is not None and tokens_of(text) + around > room:
        name, shorten = next(shorter, ("", None))
        if shorten is None:
            raise _too_long(tokens_of(text) + around, room)
        handoff = shorten(handoff)
        shortened = handoff.text()
        if shortened != text:
            left_out.append(name)
        text = shortened
    return Fitted(text, tokens_of(text) + around, left_out)


def _too_long(tokens: int, room: int) -> BadRequest:
    return BadRequest(
        f"The next model has room for about {room} tokens, and what it must be told has {tokens} even when shortened. "
        "Ask for less at once, or name a model with a longer context.",
        code="CONTEXT_BUDGET_EXCEEDED",
        details={"room_tokens": room, "needed_tokens": tokens},
    )


def _tersely(text: str) -> str:
    """Without polite phrases, rules, and paragraphs that were said before."""
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n[ \t]*\n", _FILLER.sub("", text))]
    return "\n\n".join(dict.fromkeys(paragraph for paragraph in paragraphs if paragraph))


def _first_sentence(turn: str) -> str:
    found = _FIRST_SENTENCE.match(turn)
    first = found[0] if found else turn
    return first if len(first) == len(turn) else f"{first} [...]"


def _terse_context(handoff: Handoff) -> Handoff:
    return msgspec.structs.replace(handoff, context=list(dict.fromkeys(map(_tersely, handoff.context))))


def _terse_work(handoff: Handoff) -> Handoff:
    work = [Section(section.title, _tersely(section.text)) for section in handoff.work]
    return msgspec.structs.replace(handoff, work=work)


def _short_context(handoff: Handoff) -> Handoff:
    return msgspec.structs.replace(handoff, context=[_first_sentence(turn) for turn in handoff.context])


def _no_context(handoff: Handoff) -> Handoff:
    return msgspec.structs.replace(handoff, context=[])


_SHORTER: Sequence[tuple[str, Callable[[Handoff], Handoff]]] = (
    ("verbose context", _terse_context),
    ("verbose work", _terse_work),
    ("context beyond first sentences", _short_context),
    ("context", _no_context),
)


def notes_of(text: str) -> tuple[str, list[str], list[str]]:
    """A stage's text without the lines meant for the next one; those lines as decisions and open problems."""
    decisions: list[str] = []
    problems: list[str] = []
    for note in _NOTE.finditer(text):
        (decisions if note[1] == "DECISION" else problems).append(note[2].strip())
    return _NOTE.sub("", text).strip(), decisions, problems


def begin(request: ChatRequest) -> tuple[Handoff, list[Part]]:
    """A request as the beginning of every hand-over, and those parts of its question that are no text."""
    asked = max((i for i, message in enumerate(request.messages) if message.role == "user"), default=-1)
    question = request.messages[asked].parts if asked >= 0 else []
    constraints = [_said(message.parts) for message in request.messages if message.role in ("system", "developer")]
    if request.output is not None and request.output.type != "text":
        constraints.append("The answer must be JSON and nothing else.")
        if request.output.schema is not None:
            constraints.append(f"Its JSON schema: {encode_text(request.output.schema)}")
    others = [
        f"{message.role}: {_said(message.parts)}"
        for i, message in enumerate(request.messages)
        if i != asked and message.role in ("user", "assistant")
    ]
    handoff = Handoff(goal=_said(question), step="", constraints=[each for each in constraints if each], context=others)
    return handoff, [part for part in question if not isinstance(part, Text)]


def _said(parts: Sequence[Part]) -> str:
    said: list[str] = []
    for part in parts:
        match part:
            case Text():
                said.append(part.text)
            case ToolCall():
                said.append(f"[called {part.name} with {part.arguments}]")
            case ToolResult():
                said.append(f"[result: {_said(part.parts)}]")
            case _:
                pass
    return "\n".join(said)
