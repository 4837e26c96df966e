"""An upstream's stream, as events. https://platform.openai.com/docs/api-reference/responses-streaming

What an item ends with counts: its last event holds the whole of it, encrypted reasoning and final status included.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

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
    Ping,
    RefusalDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.extras import Extras
from wye.canon.parts import Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.response import Logprobs, are_tokens
from wye.dialects.dialect import StreamDecoder
from wye.dialects.openai_errors import refusal
from wye.dialects.openai_responses.annotations import decode_annotation
from wye.dialects.openai_responses.content import extras_with
from wye.dialects.openai_responses.items import begin_message
from wye.dialects.openai_responses.name import NAME
from wye.dialects.openai_responses.output import decode_content_part, decode_item
from wye.dialects.openai_responses.reasoning import BREAK
from wye.dialects.openai_responses.response import decode_usage, news_of, take_finish, take_head
from wye.dialects.text_shape import MoreText
from wye.kernel.errors import BadAnswer, StreamCut, UpstreamError
from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, type_name
from wye.kernel.sse import Frame, SseDecoder

TEXT_DELTA = "response.output_text.delta"
_BEGINNINGS = ("response.created", "response.queued", "response.in_progress")
_ENDINGS = ("response.completed", "response.incomplete")
_SUMMARY, _CONTENT = "response.reasoning_summary_text.delta", "response.reasoning_text.delta"
_REPEATS = frozenset(
    {
        "response.output_text.done",
        "response.content_part.done",
        "response.refusal.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
    }
)
"""Events that say again, or will be said again by their item's end."""


class Decoder(StreamDecoder):
    """It also bears a stream of which it is shown only some frames."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._under_way = MoreText(self._sse.held, TextDelta, numbered=True)
        self._item: _Item | None = None
        """That of the text under way."""
        self._started = False
        self._finished = False
        self._over = False
        self._told: Extras | None = None
        self._tier: str | None = None
        self._items: dict[int, _Item] = {}
        self._parts: list[Part] = []

    def feed(self, chunk: bytes) -> list[Event]:
        if self._over:
            return []
        if (piece := self._under_way.read(chunk)) is not None and self._item is not None:
            self._item.length += len(piece.text)
            return [piece]
        self._item = None
        events: list[Event] = []
        try:
            for frame in self._sse.feed(chunk):
                self._frame(frame, events)
        except UpstreamError as error:
            self._fail(error, events)
        self._under_way.learn(chunk, events)
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        try:
            for frame in self._sse.close():
                self._frame(frame, events)
        except UpstreamError as error:
            self._fail(error, events)
        self._end(events)
        return events

    def _fail(self, error: UpstreamError, events: list[Event]) -> None:
        self._over = True
        events.append(Failure(error))

    def _end(self, events: list[Event]) -> None:
        if self._finished and not self._over:
            self._over = True
            events.append(End())
        elif not self._over:
            self._fail(StreamCut("The upstream ended the stream before the answer was complete"), events)

    def _frame(self, frame: Frame, events: list[Event]) -> None:
        if self._over:
            return
        if frame.data == b"[DONE]":
            self._end(events)
            return
        try:
            value = decode(frame.data)
        except JsonError as error:
            raise BadAnswer(f"The upstream sent a stream event that is not valid JSON: {error}") from None
        event = as_object(value)
        if event is None:
            raise BadAnswer(f"The upstream sent {type_name(value)} where a stream event should be")
        kind = event.get("type") or frame.event
        if kind == TEXT_DELTA and self._more_text(event, events):
            return
        if kind == "error" or frame.event == "error" or kind == "response.failed" or event.get("error"):
            raise refusal(as_object(event.get("response")) or event)
        if not self._finished:
            self._event(str(kind), event, events)

    def _more_text(self, event: JsonObject, events: list[Event]) -> bool:
        """Nearly every event: a piece of the text that is already open."""
        place, text = event.get("output_index"), event.get("delta")
        item = self._items.get(place) if isinstance(place, int) else None
        if item is None or item.open is None or item.content != event.get("content_index") or event.get("logprobs"):
            return False
        if not isinstance(text, str) or not isinstance(item.part, Text):
            return False
        item.length += len(text)
        events.append(TextDelta(item.open, text))
        self._item = item
        return True

    def _event(self, kind: str, event: JsonObject, events: list[Event]) -> None:
        place = event.get("output_index")
        item = self._items.get(place) if isinstance(place, int) else None
        response = as_object(event.get("response"))
        if response is not None and kind in _BEGINNINGS:
            self._start(response, events)
        elif response is not None and kind in _ENDINGS:
            self._start(response, events)
            self._finish(response, events)
        elif kind == "response.output_item.added" and isinstance(place, int):
            self._start({}, events)
            self._begin_item(place, as_object(event.get("item")) or {}, events)
        elif kind == "response.output_item.done" and isinstance(place, int):
            self._start({}, events)
            self._end_item(place, event.get("item"), events)
        elif kind in _REPEATS or (item is not None and self._delta(kind, event, item, events)):
            pass
        elif item is not None and item.open is not None:
            news = {name: value for name, value in event.items() if name not in ("sequence_number", "obfuscation")}
            events.append(OpaqueDelta(item.open, NAME, news))
        else:
            events.append(Ping())

    def _start(self, response: JsonObject, events: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        unsaid = ("output", "usage", "status", "incomplete_details")
        left = {name: value for name, value in response.items() if name not in unsaid}
        identity, model, created, self._tier = take_head(left)
        self._told = news_of(left)
        events.append(Start(identity or new_id("resp_"), model or "", created, None, self._tier, self._told))

    def _finish(self, response: JsonObject, events: list[Event]) -> None:
        output = as_list(response.get("output")) or []
        for place, value in enumerate(output):
            if place not in self._items or not self._items[place].ended:
                self._end_item(place, value, events)
        for item in self._items.values():
            self._close(item, None, events)
        left = {name: value for name, value in response.items() if name not in ("output", "usage")}
        reason, extras = take_finish(left, self._parts)
        _, _, _, tier = take_head(left)
        if tier != self._tier:
            left["service_tier"] = tier
        news = news_of(left)
        if news is not None and news != self._told:
            events.append(Aside(news))
        self._finished = True
        if reason is not None:
            events.append(Finish(reason, extras=extras))
        usage = as_object(response.get("usage"))
        if usage is not None:
            events.append(UsageReport(decode_usage(usage)))

    def _begin_item(self, place: int, members: JsonObject, events: list[Event]) -> None:
        if place in self._items:
            return
        item = self._items[place] = _Item(members)
        match members.get("type"):
            case "message":
                pass  # its parts begin by themselves
            case "reasoning":
                bare = {name: value for name, value in members.items() if name in ("id", "type")}
                self._open(item, decode_item(bare)[0], events)
            case "function_call" | "custom_tool_call" as kind:
                text = "input" if kind == "custom_tool_call" else "arguments"
                bare = {name: value for name, value in members.items() if name != "status"}
                self._open(item, decode_item({**bare, text: ""})[0], events)
            case _:
                self._open(item, Opaque(NAME, members), events)

    def _open(self, item: _Item, part: Part, events: list[Event]) -> int:
        """The part of an item that is open, begun if there is none."""
        if item.open is None:
            item.open, item.part = len(self._parts), part
            item.length = item.cited = 0
            self._parts.append(part)
            events.append(PartStart(item.open, part))
        return item.open

    def _open_content(self, item: _Item, part: Text | Refusal, content: Any, events: list[Event]) -> int:
        """The content part of a message that is open: one at a time, each ends where the next begins."""
        if item.content != content or not isinstance(item.part, type(part)):
            self._close(item, None, events)
            item.content = content
            if not item.begun:
                item.begun = True
                begin_message(part, item.envelope(), {})
        return self._open(item, part, events)

    def _delta(self, kind: str, event: JsonObject, item: _Item, events: list[Event]) -> bool:
        """Whether it was understood."""
        text, content = event.get("delta"), event.get("content_index")
        if kind == "response.content_part.added":
            if item.members.get("type") == "reasoning":
                return True  # its deltas say where a text begins
            part = decode_content_part(event.get("part"))
            if part is None:
                return False
            self._open_content(item, part, content, events)
            return True
        if kind == "response.output_text.annotation.added" and isinstance(item.part, Text):
            citation = decode_annotation(event.get("annotation"))
            if citation is not None and item.open is not None:
                item.cited += 1
                events.append(CitationDelta(item.open, citation))
            return citation is not None
        if not isinstance(text, str):
            return False
        logprobs = event.get("logprobs")
        if kind == TEXT_DELTA:
            at = self._open_content(item, Text(""), content, events)
            item.length += len(text)
            told: Logprobs | None = {"content": logprobs} if logprobs and are_tokens(logprobs) else None
            events.append(TextDelta(at, text, logprobs=told))
        elif kind == "response.refusal.delta":
            at = self._open_content(item, Refusal(""), content, events)
            item.length += len(text)
            events.append(RefusalDelta(at, text))
        elif kind in (_SUMMARY, _CONTENT) and isinstance(item.part, Thinking):
            self._think(item, "summary" if kind == _SUMMARY else "content", event, text, events)
        elif isinstance(item.part, ToolCall) and kind in _ARGUMENTS and item.open is not None:
            self._say(item, item.open, text, events)
        else:
            return False
        return True

    def _think(self, item: _Item, member: str, event: JsonObject, text: str, events: list[Event]) -> None:
        """A piece of a summary or of the reasoning itself. Where a further text begins, a mark says so."""
        at = self._open(item, Thinking(), events)
        position = (member, event.get(f"{member}_index"))
        if position != item.content:
            item.content = position
            gap = BREAK if item.starts else ""
            item.starts = {**item.starts, member: [*item.starts.get(member, ()), item.length + len(gap)]}
            if item.starts != {"summary": [0]}:
                item.length += len(gap)
                events.append(ThinkingDelta(at, gap, extras=extras_with({}, dict(item.starts))))
        item.length += len(text)
        events.append(ThinkingDelta(at, text))

    def _say(self, item: _Item, at: int, text: str, events: list[Event]) -> None:
        """A piece of whatever is open."""
        item.length += len(text)
        match item.part:
            case Text():
                events.append(TextDelta(at, text))
            case Refusal():
                events.append(RefusalDelta(at, text))
            case Thinking():
                events.append(ThinkingDelta(at, text))
            case _:
                events.append(ArgumentsDelta(at, text))

    def _end_item(self, place: int, value: Any, events: list[Event]) -> None:
        """End an item with all that its end tells. One that never began is told at once."""
        parts = decode_item(value)
        self._begin_item(place, as_object(value) or {}, events)
        item = self._items[place]
        if item.ended:
            return
        item.ended = True
        another = item.open is not None and not isinstance(parts[-1], type(item.part))
        if another:  # than what it began as
            self._close(item, None, events)
        if item.open is None and (another or not item.begun):
            for part in () if item.begun else parts[:-1]:
                self._open(item, bare(part), events)
                self._close(item, part, events)
            self._open(item, bare(parts[-1]), events)
        self._close(item, parts[-1], events)

    def _close(self, item: _Item, whole: Part | None, events: list[Event]) -> None:
        """End the open part. What its pieces left out is said before, and the whole where that is still more."""
        if item.open is None:
            return
        if whole is not None:
            text = text_of(whole)
            if text and not item.length:
                self._say(item, item.open, text, events)
            citations = whole.citations if isinstance(whole, Text) else []
            events += [CitationDelta(item.open, citation) for citation in citations[item.cited :]]
            if item.length == len(text) and item.cited <= len(citations) and bare(whole) == bare(item.part):
                whole = None
        events.append(PartEnd(item.open, part=whole))
        item.open = None


_ARGUMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")


def bare(part: Part) -> Part:
    """A part as it begins: without what its pieces tell."""
    match part:
        case Text():
            return replace(part, text="", citations=[])
        case Thinking() | Refusal():
            return replace(part, text="")
        case ToolCall():
            return replace(part, arguments="")
        case _:
            return part


def text_of(part: Part) -> str:
    match part:
        case Text() | Thinking() | Refusal():
            return part.text
        case ToolCall():
            return part.arguments
        case _:
            return ""


class _Item:
    """An item that has begun: which of its parts is open, and what is known of that."""

    __slots__ = ("begun", "cited", "content", "ended", "length", "members", "open", "part", "starts")

    def __init__(self, members: JsonObject) -> None:
        self.members = members
        self.open: int | None = None
        self.part: Part = Text("")
        self.content: Any = None
        """The content part of a message, or the text of a reasoning, that is being told."""
        self.begun = False
        """Whether a message has had its first part."""
        self.ended = False
        self.length = 0
        """Characters of the open part's text so far."""
        self.cited = 0
        self.starts: dict[str, list[int]] = {}

    def envelope(self) -> JsonObject:
        """The members of a message beside its content, once it is completed."""
        unsaid = ("type", "role", "status", "content")
        return {name: value for name, value in self.members.items() if name not in unsaid}
