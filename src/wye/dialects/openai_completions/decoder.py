"""An upstream's stream of text completions, as events.

https://platform.openai.com/docs/api-reference/completions/object
"""

from __future__ import annotations

from wye.canon.events import (
    Aside,
    End,
    Event,
    Failure,
    Finish,
    PartEnd,
    PartStart,
    Start,
    TextDelta,
    UsageReport,
)
from wye.canon.extras import Extras, extras_of
from wye.canon.parts import Text
from wye.canon.response import FinishReason
from wye.dialects.openai_completions.logprobs import take_logprobs
from wye.dialects.openai_completions.name import NAME
from wye.dialects.openai_completions.response import take_finish, take_head
from wye.dialects.openai_errors import holds_error, refusal
from wye.dialects.openai_usage import decode_usage
from wye.kernel.errors import BadAnswer, StreamCut, UpstreamError
from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, type_name
from wye.kernel.sse import Frame, SseDecoder

# Members of every chunk, known from the first. `obfuscation` is padding against traffic analysis: it means nothing.
_REPEATED = frozenset({"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "obfuscation"})
_PLAIN_CHOICE = frozenset({"index", "text", "finish_reason", "logprobs"})


class Decoder:
    """Implements `dialects.dialect.StreamDecoder`."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._started = False
        self._over = False
        self._told: JsonObject = {}
        self._choices: dict[int, _Choice] = {}

    def feed(self, chunk: bytes) -> list[Event]:
        if self._over:
            return []
        try:
            frames = self._sse.feed(chunk)
        except UpstreamError as error:
            return self._fail([], error)
        return self._read(frames)

    def close(self) -> list[Event]:
        events = self._read(self._sse.close())
        return events if self._over else self._end(events)

    def _read(self, frames: list[Frame]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
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
            self._chunk(chunk, events)
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
                self._told.update((name, value) for name, value in chunk.items() if name not in _REPEATED)
                return
            self._begin(chunk, events)
        elif not chunk.keys() <= _REPEATED:
            self._aside(chunk, events)
        for position, value in enumerate(choices):
            members = as_object(value)
            if members is None:
                continue
            index = members.get("index")
            index = index if isinstance(index, int) else position
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = _Choice(index)
            choice.read(members, events)
        if figures := as_object(chunk.get("usage")):
            events.append(UsageReport(decode_usage(figures, NAME)))

    def _begin(self, chunk: JsonObject, events: list[Event]) -> None:
        self._started = True
        left = {**self._told, **chunk}
        for name in ("choices", "usage", "obfuscation"):
            left.pop(name, None)
        identity, model, created = take_head(left)
        self._told = left
        events.append(Start(identity or new_id("cmpl-"), model or "", created, extras=extras_of(NAME, dict(left))))

    def _aside(self, chunk: JsonObject, events: list[Event]) -> None:
        news = {name: value for name, value in chunk.items() if name not in _REPEATED and self._told.get(name) != value}
        if news:
            self._told.update(news)
            events.append(Aside({NAME: news}))


class _Choice:
    """One answer of several: a single text."""

    __slots__ = ("_begun", "_index", "finished")

    def __init__(self, index: int) -> None:
        self._index = index
        self._begun = False
        self.finished = False

    def read(self, members: JsonObject, events: list[Event]) -> None:
        text = members.get("text")
        plain = self._begun and not self.finished and members.keys() <= _PLAIN_CHOICE
        if plain and isinstance(text, str) and not members.get("logprobs") and not members.get("finish_reason"):
            # Nearly every chunk: a piece of the text that is already open.
            if text:
                events.append(TextDelta(0, text, self._index))
            return
        left = dict(members)
        left.pop("index", None)
        if isinstance(text, str):
            del left["text"]
        else:
            text = ""
        logprobs = take_logprobs(left)
        reason, finish = take_finish(left)
        if (text or logprobs) and not self.finished:
            if not self._begun:
                self._begun = True
                events.append(PartStart(0, Text(""), self._index))
            events.append(TextDelta(0, text, self._index, logprobs))
        news = {name: value for name, value in left.items() if value is not None}
        if news:
            events.append(Aside({NAME: news}, self._index))
        if reason is not None:
            self.finish(events, reason, extras_of(NAME, finish))

    def finish(self, events: list[Event], reason: FinishReason = "stop", extras: Extras | None = None) -> None:
        """Idempotent: an upstream that gives no reason, or gives it twice, ends a choice once."""
        if self.finished:
            return
        self.finished = True
        if self._begun:
            events.append(PartEnd(0, self._index))
        events.append(Finish(reason, self._index, extras=extras))
