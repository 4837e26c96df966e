"""Streams of the families that only continue a text: chunks with a piece of it, the last of which say why it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from wye.canon.events import (
    Aside,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    RefusalDelta,
    Start,
    TextDelta,
    UsageReport,
)
from wye.canon.extras import Extras, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Refusal, Text
from wye.canon.response import FinishReason
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.answer import note_figures, note_stop_sequence, note_tier, own_members
from wye.dialects.bedrock_invoke.chunks import ChunkDecoder, encode_stream_error
from wye.dialects.bedrock_invoke.turns import say_text
from wye.dialects.dialect import StreamEncoder
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, encode
from wye.kernel.sse import frame


class Piece(msgspec.Struct):
    """What one chunk says."""

    text: str
    choice: int | None = 0
    """None for an end of all choices."""
    reason: FinishReason | None = None
    extras: Extras | None = None
    """What belongs to the reason."""
    usage: Usage | None = None
    rest: JsonObject = msgspec.field(default_factory=dict[str, object])
    """Members that nobody understood."""


class TextDecoder(ChunkDecoder):
    """`read` understands one chunk; it may raise BadAnswer."""

    def __init__(self, dialect: str, read: Callable[[JsonObject], Piece]) -> None:
        super().__init__()
        self._dialect = dialect
        self._read = read
        self._choices: dict[int, bool | None] = {}
        """Whether the text of each has begun; None once it has ended."""
        self._usage: Usage | None = None
        self._started = False

    def complete(self) -> bool:
        return bool(self._choices) and all(begun is None for begun in self._choices.values())

    def chunk(self, chunk: JsonObject, events: list[Event]) -> None:
        piece = self._read(chunk)
        if not self._started:
            self._started = True
            events.append(Start(new_id("bdrk_"), ""))
        if piece.usage is not None:
            self._usage = piece.usage if self._usage is None else self._usage.updated(piece.usage)
        for choice in [piece.choice] if piece.choice is not None else list(self._choices) or [0]:
            self._say(piece, choice, events)
        if piece.reason is not None and self._usage is not None:
            events.append(UsageReport(self._usage))

    def _say(self, piece: Piece, choice: int, events: list[Event]) -> None:
        begun = self._choices.setdefault(choice, False)
        if begun is None:
            return
        if piece.text:
            if not begun:
                self._choices[choice] = begun = True
                events.append(PartStart(0, Text(""), choice))
            events.append(TextDelta(0, piece.text, choice))
        if piece.rest:
            events.append(Aside({self._dialect: piece.rest}))
        if piece.reason is not None:
            self._choices[choice] = None
            if begun:
                events.append(PartEnd(0, choice))
            events.append(Finish(piece.reason, choice, extras=piece.extras))


class TextFamily(Protocol):
    """How a family writes its chunks."""

    name: str
    several: bool
    """Whether its chunks can tell one choice from another."""

    def piece(self, choice: int) -> tuple[bytes, bytes]:
        """What stands before and after the JSON text of a chunk that only continues the answer."""
        ...

    def last(self, finish: Finish, usage: Usage | None, losses: Losses) -> JsonObject:
        """The chunk that ends a choice. Usage is given to the last of them."""
        ...


_OF_A_CHOICE = (TextDelta, PartStart, PartEnd, RefusalDelta, CitationDelta, OpaqueDelta, Finish)


class TextEncoder(StreamEncoder):
    def __init__(self, family: TextFamily, losses: Losses) -> None:
        self._family = family
        self._losses = losses
        self._around: dict[int, tuple[bytes, bytes]] = {}
        self._usage: Usage | None = None
        self._finished: dict[int, Finish] = {}
        self._rest: JsonObject = {}
        """Members of the whole answer, said with its last chunk."""

    def encode(self, event: Event) -> bytes:
        name, losses = self._family.name, self._losses
        if isinstance(event, _OF_A_CHOICE) and event.choice != 0 and not self._family.several:
            losses.add(f"choices[{event.choice}]", f"{name} gives one answer")
            return b""
        match event:
            case TextDelta() | RefusalDelta():
                if event.logprobs:
                    losses.add("logprobs", f"{name} does not tell probabilities", "info")
                if isinstance(event, TextDelta) and event.extras:
                    own_extras(event.extras, name, losses, f"content[{event.index}]", "info")
                return self._text(event.text, event.choice)
            case PartStart():
                text = say_text(event.part, f"content[{event.index}]", name, losses, answer=True)
                return self._text(text, event.choice) if text else b""
            case PartEnd(part=Text() | Refusal() as whole):
                own_extras(whole.extras, name, losses, f"content[{event.index}]", "info")
            case CitationDelta():
                losses.add(f"content[{event.index}].citations", f"{name} does not cite", "info")
            case OpaqueDelta():
                losses.add(f"content[{event.index}]", f"only {event.dialect} understands it")
            case Start():
                self._usage = event.usage
                note_tier(event.service_tier, losses)
                self._rest.update(own_members(event.extras, name, losses))
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                self._rest.update(own_members(event.extras, name, losses))
            case Aside():
                self._rest.update(own_members(event.extras, name, losses))
            case Finish():
                self._finished[event.choice] = event
            case End():
                note_figures(self._usage, name, losses)
                return b"".join(map(self._last, self._finished.values()))
            case Failure():
                return encode_stream_error(event.error, "")
            case _:
                pass
        return b""

    def _text(self, text: str, choice: int) -> bytes:
        around = self._around.get(choice)
        if around is None:
            around = self._around[choice] = self._family.piece(choice)
        return b"data: %b%b%b\n\n" % (around[0], encode(text), around[1])

    def _last(self, finish: Finish) -> bytes:
        note_stop_sequence(finish.stop_sequence, finish.choice, self._family.name, self._losses)
        last = finish.choice == next(reversed(self._finished))
        chunk = self._family.last(finish, self._usage if last else None, self._losses)
        return frame(encode({**chunk, **self._rest} if last else chunk))
