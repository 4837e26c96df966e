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
from wye.canon.extras import FORM, Extras, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.response import FinishReason
from wye.canon.usage import Usage
from wye.dialects.aws_errors import error_type, refusal
from wye.dialects.bedrock_invoke.turns import say_text
from wye.kernel.errors import BadAnswer, StreamCut, WyeError
from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode
from wye.kernel.sse import Frame, SseDecoder, frame


class Piece(msgspec.Struct):
    """What one chunk says."""

    text: str
    choice: int = 0
    reason: FinishReason | None = None
    extras: Extras | None = None
    """What belongs to the reason."""
    usage: Usage | None = None
    rest: JsonObject = msgspec.field(default_factory=dict[str, object])
    """Members that nobody understood."""


class TextDecoder:
    """Implements `dialects.dialect.StreamDecoder`. `read` understands one chunk; it may raise BadAnswer."""

    def __init__(self, dialect: str, read: Callable[[JsonObject], Piece]) -> None:
        self._dialect = dialect
        self._read = read
        self._sse = SseDecoder()
        self._choices: dict[int, bool | None] = {}
        """Whether the text of each has begun; None once it has ended."""
        self._usage: Usage | None = None
        self._started = False
        self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        events: list[Event] = []
        if not self._over:
            try:
                self._frames(self._sse.feed(chunk), events)
            except WyeError as error:
                self._fail(error, events)
        return events

    def close(self) -> list[Event]:
        """No chunk says that it is the last."""
        events: list[Event] = []
        if self._over:
            return events
        try:
            self._frames(self._sse.close(), events)
            if not self._choices or any(open_ is not None for open_ in self._choices.values()):
                raise StreamCut("The upstream ended the stream before the answer was complete")
        except WyeError as error:
            self._fail(error, events)
        else:
            self._over = True
            events.append(End())
        return events

    def _fail(self, error: WyeError, events: list[Event]) -> None:
        self._over = True
        events.append(Failure(error))

    def _frames(self, frames: list[Frame], events: list[Event]) -> None:
        for data, name in frames:
            try:
                chunk = as_object(decode(data))
            except JsonError as error:
                raise BadAnswer(f"The upstream sent a stream chunk that is not valid JSON: {error}") from None
            if chunk is None:
                raise BadAnswer("The upstream sent a stream chunk that is not a JSON object")
            if name == "error":
                raise refusal(str(chunk.get("__type", "")), chunk)
            self._piece(self._read(chunk), events)

    def _piece(self, piece: Piece, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events.append(Start(new_id("bdrk_"), ""))
        choice = piece.choice
        begun = self._choices.setdefault(choice, False)
        if piece.text and begun is not None:
            if not begun:
                self._choices[choice] = begun = True
                events.append(PartStart(0, Text(""), choice))
            events.append(TextDelta(0, piece.text, choice))
        if piece.rest:
            events.append(Aside({self._dialect: piece.rest}, choice))
        if piece.usage is not None:
            self._usage = piece.usage if self._usage is None else self._usage.updated(piece.usage)
        if piece.reason is not None and begun is not None:
            self._choices[choice] = None
            if begun:
                events.append(PartEnd(0, choice))
            events.append(Finish(piece.reason, choice, extras=piece.extras))
            if self._usage is not None:
                events.append(UsageReport(self._usage))


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


class TextEncoder:
    """Implements `dialects.dialect.StreamEncoder`."""

    def __init__(self, family: TextFamily, losses: Losses) -> None:
        self._family = family
        self._losses = losses
        self._around: dict[int, tuple[bytes, bytes]] = {}
        self._usage: Usage | None = None
        self._finished: dict[int, Finish] = {}
        self._asides: dict[int, JsonObject] = {}

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
            case CitationDelta():
                losses.add(f"content[{event.index}].citations", f"{name} does not cite", "info")
            case OpaqueDelta():
                losses.add(f"content[{event.index}]", f"only {event.dialect} understands it")
            case Start():
                own_extras(event.extras, name, losses, "", "info")
                self._usage = event.usage
            case UsageReport():
                own_extras(event.extras, name, losses, "", "info")
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
            case Aside():
                own = own_extras(event.extras, name, losses, "", "info")
                news = {name: value for name, value in own.items() if name != FORM}
                self._asides.setdefault(event.choice or 0, {}).update(news)
            case Finish():
                self._finished[event.choice] = event
            case End():
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
        if finish.stop_sequence is not None:
            note = f"{self._family.name} does not tell which sequence stopped it"
            self._losses.add(f"choices[{finish.choice}].stop_sequence", note, "info")
        last = finish.choice == next(reversed(self._finished))
        chunk = self._family.last(finish, self._usage if last else None, self._losses)
        return frame(encode({**chunk, **self._asides.get(finish.choice, {})}))


def encode_stream_error(error: WyeError, request_id: str) -> bytes:
    return frame(encode({"__type": error_type(error), "message": error.message}), "error")
