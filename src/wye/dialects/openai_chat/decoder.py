"""An upstream's stream of chunks, as events. https://platform.openai.com/docs/api-reference/chat/streaming"""

from __future__ import annotations

from typing import Any

from wye.canon.events import (
    ArgumentsDelta,
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
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.extras import extras_of
from wye.canon.parts import Audio, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.response import Logprobs
from wye.dialects.openai_chat.errors import refusal
from wye.dialects.openai_chat.name import NAME
from wye.dialects.openai_chat.reasoning import take_thinking
from wye.dialects.openai_chat.response import decode_usage, take, take_citations, take_finish
from wye.dialects.openai_chat.tools import take_tool_calls
from wye.kernel.errors import BadAnswer, StreamCut, UpstreamError
from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, type_name
from wye.kernel.sse import Frame, SseDecoder

# Members of every chunk, known from the first. `obfuscation` is padding against traffic analysis: it means nothing.
_REPEATED = frozenset(
    {"id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "obfuscation"}
)
_PLAIN_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})


class Decoder:
    """Implements `dialects.dialect.StreamDecoder`."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._started = False
        self._over = False
        self._told: JsonObject = {}
        self._choices: dict[int, _Choice] = {}

    def feed(self, chunk: bytes) -> list[Event]:
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
            if chunk.get("error") or frame.event == "error":
                return self._fail(events, refusal(chunk if chunk.get("error") else {"error": chunk}))
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
        if not self._started:
            self._begin(chunk, events)
        elif not chunk.keys() <= _REPEATED:
            self._aside(chunk, events)
        choices = as_list(chunk.get("choices")) or ()
        for position, value in enumerate(choices):
            members = as_object(value)
            if members is None:
                continue
            index = members.get("index")
            index = index if isinstance(index, int) else position
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = _Choice(index)
            if not choice.finished:
                choice.read(members, events)

    def _begin(self, chunk: JsonObject, events: list[Event]) -> None:
        self._started = True
        left = dict(chunk)
        left.pop("choices", None)
        left.pop("obfuscation", None)
        if left.get("object") == "chat.completion.chunk":
            del left["object"]
        usage = as_object(left.pop("usage", None))
        identity, model, created = take(left, "id", str), take(left, "model", str), take(left, "created", int)
        tier = take(left, "service_tier", str)
        self._told = left
        events.append(
            Start(identity or new_id("chatcmpl-"), model or "", created, None, tier, extras_of(NAME, dict(left)))
        )
        if usage:
            events.append(UsageReport(decode_usage(usage)))

    def _aside(self, chunk: JsonObject, events: list[Event]) -> None:
        usage = as_object(chunk.get("usage"))
        if usage:
            events.append(UsageReport(decode_usage(usage)))
        news = {
            name: value
            for name, value in chunk.items()
            if name not in _REPEATED and name != "usage" and self._told.get(name) != value
        }
        if news:
            self._told.update(news)
            events.append(Aside({NAME: news}))


class _Choice:
    """One answer of several: which of its parts is open."""

    __slots__ = ("_calls", "_index", "_kind", "_open", "_parts", "finished")

    def __init__(self, index: int) -> None:
        self._index = index
        self._parts = 0
        self._open = -1
        """The part that text is added to; -1 for none."""
        self._kind: type[Part] = Text
        self._calls: dict[int, int] = {}
        """The position of a tool call on the wire to its part."""
        self.finished = False

    def read(self, members: JsonObject, events: list[Event]) -> None:
        delta = as_object(members.get("delta")) or as_object(members.get("message")) or {}
        if len(delta) == 1 and self._open >= 0 and self._kind is Text and members.keys() <= _PLAIN_CHOICE:
            # Nearly every chunk: a piece of the text that is already open.
            text = delta.get("content")
            if text and isinstance(text, str) and not members.get("logprobs") and not members.get("finish_reason"):
                events.append(TextDelta(self._open, text, self._index))
                return
        left = dict(members)
        left.pop("delta", None)
        left.pop("message", None)
        left.pop("index", None)
        logprobs = as_object(left.pop("logprobs", None)) or None
        reason, finish = take_finish(left)
        rest = self._delta(dict(delta), logprobs, events)
        if rest:
            left["message"] = rest
        news = {name: value for name, value in left.items() if value is not None}
        if news:
            events.append(Aside({NAME: news}, self._index))
        if reason is not None:
            self._end_parts(events)
            self.finished = True
            events.append(Finish(reason, self._index, extras=extras_of(NAME, finish)))

    def finish(self, events: list[Event]) -> None:
        """End a choice whose upstream gave no reason. Idempotent."""
        if not self.finished:
            self.finished = True
            self._end_parts(events)
            events.append(Finish("tool_calls" if self._calls else "stop", self._index))

    def _delta(self, left: JsonObject, logprobs: Logprobs | None, events: list[Event]) -> JsonObject:
        """The events of a delta, and what of it was not understood."""
        if left.get("role") == "assistant":
            del left["role"]
        for thought in take_thinking(left):
            self._think(thought, events)
        content = take(left, "content", str)
        if content or (logprobs and logprobs.get("content")):
            at = self._ensure(Text(""), events)
            events.append(TextDelta(at, content or "", self._index, logprobs))
            logprobs = None
        citations = take_citations(left)
        if citations:
            at = self._ensure(Text(""), events)
            events.extend(CitationDelta(at, citation, self._index) for citation in citations)
        refused = take(left, "refusal", str)
        if refused or logprobs:
            at = self._ensure(Refusal(""), events)
            events.append(RefusalDelta(at, refused or "", self._index, logprobs))
        audio = as_object(left.get("audio"))
        if audio is not None:
            del left["audio"]
            self._audio(audio, events)
        self._tool_calls(left, events)
        return {name: value for name, value in left.items() if value not in (None, [], "")}

    def _ensure(self, part: Part, events: list[Event]) -> int:
        """The open part of this kind, begun if need be."""
        if self._open < 0 or self._kind is not type(part):
            self._end_open(events)
            self._open = self._begin(part, events)
            self._kind = type(part)
        return self._open

    def _begin(self, part: Part, events: list[Event]) -> int:
        at = self._parts
        self._parts += 1
        events.append(PartStart(at, part, self._index))
        return at

    def _end_open(self, events: list[Event]) -> None:
        if self._open >= 0:
            events.append(PartEnd(self._open, self._index))
            self._open = -1

    def _end_parts(self, events: list[Event]) -> None:
        self._end_open(events)
        events.extend(PartEnd(at, self._index) for at in self._calls.values())

    def _think(self, thought: Thinking, events: list[Event]) -> None:
        if thought.redacted is not None:
            self._end_open(events)
            events.append(PartEnd(self._begin(thought, events), self._index))
            return
        begun = self._open >= 0 and self._kind is Thinking
        at = self._ensure(Thinking(id=thought.id), events)
        # A detail that comes with the signature may repeat the text that was streamed before it.
        if thought.text and not (begun and thought.signature is not None):
            events.append(ThinkingDelta(at, thought.text, self._index, thought.extras))
        if thought.signature is not None:
            events.append(SignatureDelta(at, thought.signature, self._index))
            self._end_open(events)

    def _audio(self, audio: JsonObject, events: list[Event]) -> None:
        audio = dict(audio)
        if self._open < 0 or self._kind is not Audio:
            self._ensure(Audio("", id=take(audio, "id", str)), events)
        audio.pop("id", None)
        if audio:
            events.append(OpaqueDelta(self._open, NAME, audio, self._index))

    def _tool_calls(self, left: JsonObject, events: list[Event]) -> None:
        calls = as_list(left.get("tool_calls"))
        if calls is not None:
            del left["tool_calls"]
            for position, value in enumerate(calls):
                call = as_object(value)
                if call is not None:
                    self._tool_call(call, position, events)
        legacy = as_object(left.get("function_call"))
        if legacy is not None:
            del left["function_call"]
            self._tool_call({"id": legacy.get("name"), "function": legacy, "index": -1}, 0, events)

    def _tool_call(self, call: JsonObject, position: int, events: list[Event]) -> None:
        index = call.get("index")
        below: Any = as_object(call.get("function")) or as_object(call.get("custom")) or {}
        named = isinstance(below.get("name"), str) and below["name"] != ""
        if not isinstance(index, int):
            # Some servers leave the index out: a name begins a call, a piece without one continues the last.
            index = len(self._calls) + position if named else max(self._calls, default=-1)
        at = self._calls.get(index)
        if at is None:
            if not named:
                return
            self._end_open(events)
            begun = take_tool_calls({"tool_calls": [call]})
            part = begun[0] if begun else ToolCall("", below["name"])
            part.id = part.id or new_id("call_")
            self._calls[index] = self._begin(part, events)
            return
        text = below.get("arguments") or below.get("input")
        if isinstance(text, str):
            events.append(ArgumentsDelta(at, text, self._index))
