"""A stream of chunks that each hold pieces of several choices, as events: what chat and text completions share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

from wye.canon.events import ArgumentsDelta, Aside, End, Event, Failure, Start, TextDelta, UsageReport
from wye.dialects.openai_errors import holds_error, refusal
from wye.dialects.openai_usage import decode_usage
from wye.dialects.text_shape import MoreText
from wye.kernel.errors import BadAnswer, StreamCut, UpstreamError
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, type_name
from wye.kernel.sse import Frame, SseDecoder

REPEATED = frozenset({"id", "object", "created", "model", "choices", "system_fingerprint", "usage", "obfuscation"})
"""Members of every chunk, known from the first. `obfuscation` is padding against traffic analysis: it means nothing."""


class ChoiceDecoder(Protocol):
    """One answer of several."""

    finished: bool

    def read(self, members: JsonObject, events: list[Event]) -> None: ...

    def finish(self, events: list[Event]) -> None:
        """End a choice whose upstream gave no reason. Idempotent."""
        ...


class ChunkDecoder(ABC):
    """Implements `dialects.dialect.StreamDecoder`; a format says how an answer begins, and reads its choices."""

    name: ClassVar[str]
    repeated: ClassVar[frozenset[str]] = REPEATED
    choice: ClassVar[Callable[[int], ChoiceDecoder]]

    def __init__(self, adapt: Callable[[JsonObject], JsonObject] | None = None) -> None:
        """`adapt` makes OpenAI's chunk of one whose members have other names."""
        self._sse = SseDecoder()
        self._further = MoreText(self._sse.held, TextDelta, ArgumentsDelta)
        self.under_way = self._further.shape
        self._adapt = adapt
        self._started = False
        self._over = False
        self._told: JsonObject = {}
        self._choices: dict[int, ChoiceDecoder] = {}

    @abstractmethod
    def begin(self, left: JsonObject) -> Start:
        """The event of a first chunk; takes from its members what it understands."""

    def feed(self, chunk: bytes) -> list[Event]:
        if self._over:
            return []
        if (piece := self._further.read(chunk)) is not None:
            return [piece]
        try:
            frames = self._sse.feed(chunk)
        except UpstreamError as error:
            return self._fail([], error)
        events = self.read(frames)
        self._further.learn(chunk, events)
        return events

    def close(self) -> list[Event]:
        events = self.read(self._sse.close())
        return events if self._over else self._end(events)

    def read(self, frames: list[Frame]) -> list[Event]:
        """The events of frames that came in any other framing."""
        events: list[Event] = []
        for frame in frames:
            if self._over:
                break
            if frame.data == b"[DONE]":
                # The upstream says itself that this is all; some never give a reason.
                for choice in self._choices.values():
                    choice.finish(events)
                return self._end(events)
            try:
                value = decode(frame.data)
            except JsonError as error:
                return self._fail(events, BadAnswer(f"The upstream sent a stream frame that is not JSON: {error}"))
            chunk = as_object(value)
            if chunk is None:
                return self._fail(events, BadAnswer(f"The upstream sent {type_name(value)} where a chunk should be"))
            if frame.event == "error" or holds_error(chunk):
                return self._fail(events, refusal(chunk))
            self._chunk(chunk if self._adapt is None else self._adapt(chunk), events)
        return events

    def _fail(self, events: list[Event], error: UpstreamError) -> list[Event]:
        self._over = True
        return [*events, Failure(error)]

    def _end(self, events: list[Event]) -> list[Event]:
        if not self._choices or not all(choice.finished for choice in self._choices.values()):
            return self._fail(events, StreamCut("The upstream ended the stream before the answer was complete"))
        self._over = True
        events.append(End())
        return events

    def _chunk(self, chunk: JsonObject, events: list[Event]) -> None:
        choices = as_list(chunk.get("choices")) or ()
        if not self._started:
            if not choices and not chunk.get("id"):
                # Azure first tells how it filtered the prompt, in a chunk that does not yet name the answer.
                self._told.update((name, value) for name, value in chunk.items() if name not in self.repeated)
                return
            self._begin(chunk, events)
        elif not chunk.keys() <= self.repeated:
            self._aside(chunk, events)
        for position, value in enumerate(choices):
            members = as_object(value)
            if members is None:
                continue
            index = members.get("index")
            index = index if isinstance(index, int) else position
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = type(self).choice(index)
            choice.read(members, events)
        usage = chunk.get("usage")
        if usage is not None and (figures := as_object(usage)):
            events.append(UsageReport(decode_usage(figures, self.name)))

    def _begin(self, chunk: JsonObject, events: list[Event]) -> None:
        self._started = True
        left = {**self._told, **chunk}
        for name in ("choices", "usage", "obfuscation"):
            left.pop(name, None)
        events.append(self.begin(left))
        self._told = left

    def _aside(self, chunk: JsonObject, events: list[Event]) -> None:
        told = self._told
        news = {name: value for name, value in chunk.items() if name not in self.repeated and told.get(name) != value}
        if news:
            told.update(news)
            events.append(Aside({self.name: news}))
