"""A conversation for families that know only text: who says what, in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from wye.canon.extras import own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Image, Opaque, Part, Refusal, Text, Thinking
from wye.canon.request import ChatRequest, Message

Speaker = Literal["system", "user", "assistant"]


class Turn(NamedTuple):
    role: Speaker
    text: str
    path: str = ""
    """The message it comes from."""


ImageMark = Callable[[Image, str], str]
"""What stands for an image in the text; takes the image elsewhere. Raises BadRequest for one that cannot go along."""


def turns_of(request: ChatRequest, dialect: str, losses: Losses, image: ImageMark | None = None) -> list[Turn]:
    """The messages as turns. Raises BadRequest for content that is no text."""
    turns: list[Turn] = []
    for i, message in enumerate(request.messages):
        path = f"messages[{i}]"
        own_extras(message.extras, dialect, losses, path)
        if message.name is not None:
            losses.add(f"{path}.name", f"participants have no names in {dialect}")
        text = text_of(message.parts, f"{path}.content", dialect, losses, image)
        turns.append(Turn("system" if message.role == "developer" else message.role, text, path))
    return turns


def text_of(
    parts: list[Part], path: str, dialect: str, losses: Losses, image: ImageMark | None = None, *, answer: bool = False
) -> str:
    """Parts as one text, a line for each. In an answer what is no text is lost; in a request it raises BadRequest."""
    text, line = "", ""
    for i, part in enumerate(parts):
        at = f"{path}[{i}]"
        if isinstance(part, Image) and image is not None:
            own_extras(part.extras, dialect, losses, at)
            text, line = text + line + image(part, at), ""
        elif (said := say_text(part, at, dialect, losses, answer=answer)) is not None:
            text, line = text + line + said, "" if answer else "\n"
    return text


def say_text(part: Part, path: str, dialect: str, losses: Losses, *, answer: bool = False) -> str | None:
    """A part as text; None when it is reported as lost."""
    match part:
        case Text():
            own_extras(part.extras, dialect, losses, path, "info" if answer else "warning")
            if part.citations:
                losses.add(f"{path}.citations", f"{dialect} does not cite", "info")
            if part.cache is not None:
                losses.add(f"{path}.cache_control", f"{dialect} has no cache marks", "info")
            return part.text
        case Refusal():
            own_extras(part.extras, dialect, losses, path, "info")
            losses.add(f"{path}.refusal", f"a refusal is text in {dialect}", "info")
            return part.text
        case Thinking():
            losses.add(path, f"{dialect} has no thinking", "info" if answer else "warning")
            return None
        case Opaque():
            losses.add(path, f"only {part.dialect} understands {part.type!r}")
            return None
        case _ if answer:
            losses.add(path, f"{dialect} answers with text only")
            return None
        case _:
            raise cannot_say(dialect, f"anything but text ({type(part).__name__})", path)


def note_unsaid(image: Image, path: str, dialect: str, losses: Losses) -> None:
    """Name what is asked for beside an image of which only the bytes are sent."""
    if image.detail not in (None, "auto"):
        losses.add(f"{path}.detail", "the model looks at every image in the same way")
    if image.cache is not None:
        losses.add(f"{path}.cache_control", f"{dialect} has no cache marks", "info")


def messages_of(turns: list[Turn]) -> list[Message]:
    return [Message(turn.role, [Text(turn.text)]) for turn in turns]
