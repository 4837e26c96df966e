"""An upstream's stream of chunks, as events. https://platform.openai.com/docs/api-reference/chat/streaming"""

from __future__ import annotations

from typing import Any

import msgspec

from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    CitationDelta,
    Event,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    RefusalDelta,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
)
from wye.canon.extras import extras_of
from wye.canon.parts import Audio, Part, Refusal, Text, Thinking
from wye.canon.response import Logprobs
from wye.dialects.openai_chat.name import NAME
from wye.dialects.openai_chat.reasoning import extend, is_piece, take_details, take_text
from wye.dialects.openai_chat.response import take_citations, take_finish, take_logprobs
from wye.dialects.openai_chat.tools import decode_tool_call
from wye.dialects.openai_chunks import REPEATED, ChunkDecoder
from wye.kernel.fields import take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object

_PLAIN_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "logprobs"})


class _Choice:
    """One answer of several: which of its parts is open."""

    __slots__ = ("_called", "_calls", "_index", "_kind", "_open", "_parts", "_plain", "_said", "_thought", "finished")

    def __init__(self, index: int) -> None:
        self._index = index
        self._parts = 0
        self._open = -1
        """The part that text is added to; -1 for none."""
        self._kind: type[Part] = Text
        self._called: list[int] = []
        """The parts that are tool calls: they may grow in turns, so all end with the choice."""
        self._calls: dict[int | str, int] = {}
        """Those parts by their index on the wire, and by their id."""
        self._thought = Thinking()
        """The open thinking part, as far as its details are known."""
        self._said: list[str] = []
        """Its text."""
        self._plain: list[str] = []
        """Its text, as far as it came without details."""
        self.finished = False

    def read(self, members: JsonObject, events: list[Event]) -> None:
        delta = as_object(members.get("delta")) or as_object(members.get("message")) or {}
        # Some servers say in every chunk whose words these are.
        plain = len(delta) == 1 or (len(delta) == 2 and delta.get("role") == "assistant")
        if plain and self._open >= 0 and self._kind is Text and members.keys() <= _PLAIN_CHOICE:
            # Nearly every chunk: a piece of the text that is already open.
            text = delta.get("content")
            if text and isinstance(text, str) and not members.get("logprobs") and not members.get("finish_reason"):
                events.append(TextDelta(self._open, text, self._index))
                return
        left = dict(members)
        left.pop("delta", None)
        left.pop("message", None)
        left.pop("index", None)
        logprobs = take_logprobs(left)
        reason, finish = take_finish(left)
        rest = {} if self.finished else self._delta(dict(delta), logprobs, events)
        if rest:
            left["message"] = rest
        news = {name: value for name, value in left.items() if value is not None}
        if news:
            events.append(Aside({NAME: news}, self._index))
        if reason is not None and not self.finished:
            self._end_parts(events)
            self.finished = True
            events.append(Finish(reason, self._index, extras=extras_of(NAME, finish)))

    def finish(self, events: list[Event]) -> None:
        """End a choice whose upstream gave no reason. Idempotent."""
        if not self.finished:
            self.finished = True
            self._end_parts(events)
            events.append(Finish("tool_calls" if self._called else "stop", self._index))

    def _delta(self, left: JsonObject, logprobs: Logprobs | None, events: list[Event]) -> JsonObject:
        """The events of a delta, and what of it was not understood."""
        if left.get("role") == "assistant":
            del left["role"]
        text, details = take_text(left), take_details(left)
        if text and not any(thought.text for thought in details):
            events.append(ThinkingDelta(self._begin_thought(Thinking(), events), text, self._index))
            self._plain.append(text)
            self._said.append(text)
        for thought in details:
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
        events.extend(PartEnd(at, self._index) for at in self._called)

    def _think(self, thought: Thinking, events: list[Event]) -> None:
        """A detail of the reasoning: a piece of a thought, or the whole of one whose text came before it."""
        if thought.redacted is not None:
            if self._open >= 0 and self._kind is Thinking and is_piece(thought, self._thought):
                self._thought.text = "".join(self._said)
                extend(self._thought, thought)
                events.append(PartEnd(self._open, self._index, self._thought))
                self._open = -1
                return
            self._end_open(events)
            events.append(PartEnd(self._begin(thought, events), self._index))
            return
        at = self._begin_thought(thought, events)
        text = "" if thought.text == "".join(self._plain) else thought.text
        extras = None if thought.extras == self._thought.extras else thought.extras
        if text or extras:
            events.append(ThinkingDelta(at, text, self._index, extras))
            self._said.append(text)
        if thought.signature is not None:
            events.append(SignatureDelta(at, thought.signature, self._index))
            self._end_open(events)

    def _begin_thought(self, thought: Thinking, events: list[Event]) -> int:
        """The thinking part that this belongs to, begun if need be."""
        open_ = self._open >= 0 and self._kind is Thinking
        if not open_ or (thought.id is not None and thought.id != (self._thought.id or thought.id)):
            self._end_open(events)
            self._thought = Thinking(id=thought.id, origin=thought.origin, extras=thought.extras)
            self._plain.clear()
            self._said.clear()
        return self._ensure(msgspec.structs.replace(self._thought), events)

    def _audio(self, audio: JsonObject, events: list[Event]) -> None:
        audio = dict(audio)
        if self._open < 0 or self._kind is not Audio:
            self._ensure(Audio("", id=take(audio, "id", str)), events)
        audio.pop("id", None)
        if audio:
            events.append(OpaqueDelta(self._open, NAME, audio, self._index))

    def _tool_calls(self, left: JsonObject, events: list[Event]) -> None:
        """The events of calls; pieces that belong to no call stay where they are."""
        legacy = as_object(left.get("function_call"))
        if legacy is not None and self._tool_call({"id": legacy.get("name"), "function": legacy, "index": -1}, events):
            del left["function_call"]
        calls = as_list(left.get("tool_calls"))
        if calls is not None:
            left["tool_calls"] = [call for call in calls if not self._tool_call(as_object(call) or {}, events)]

    def _tool_call(self, call: JsonObject, events: list[Event]) -> bool:
        """Whether it was understood. Servers differ: some repeat the id with every piece, some leave the index out,
        some give each whole call the index 0."""
        index, identity = call.get("index"), call.get("id")
        below: Any = as_object(call.get("function")) or as_object(call.get("custom")) or {}
        named = isinstance(below.get("name"), str) and below["name"] != ""
        at = self._calls.get(identity) if isinstance(identity, str) else None
        if at is None and not (named and identity):
            if isinstance(index, int):
                at = self._calls.get(index)
            elif not named and self._called:
                at = self._called[-1]
        if at is not None:
            text = below.get("arguments") or below.get("input")
            if isinstance(text, str):
                events.append(ArgumentsDelta(at, text, self._index))
            return True
        part = decode_tool_call(call)
        if part is None:
            return False
        self._end_open(events)
        part.id = part.id or new_id("call_")
        text, part.arguments = part.arguments, ""
        at = self._begin(part, events)
        if text:
            events.append(ArgumentsDelta(at, text, self._index))
        self._called.append(at)
        self._calls[part.id] = at
        if isinstance(index, int):
            self._calls[index] = at
        return True


class Decoder(ChunkDecoder):
    name = NAME
    repeated = REPEATED | {"service_tier"}
    choice = _Choice

    def begin(self, left: JsonObject) -> Start:
        if left.get("object") == "chat.completion.chunk":
            del left["object"]
        identity, model, created = take(left, "id", str), take(left, "model", str), take(left, "created", int)
        tier = take(left, "service_tier", str)
        extras = extras_of(NAME, dict(left))
        return Start(identity or new_id("chatcmpl-"), model or "", created, None, tier, extras)
