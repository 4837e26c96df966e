"""An upstream's stream, as events. https://docs.anthropic.com/en/docs/build-with-claude/streaming"""

from __future__ import annotations

from typing import Literal

import msgspec

from wye.canon.events import (
    ArgumentsDelta,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Ping,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.extras import extras_of
from wye.canon.parts import Opaque, Part, Text, Thinking, ToolCall
from wye.canon.response import FinishReason
from wye.dialects.anthropic_messages.citations import decode_citation
from wye.dialects.anthropic_messages.errors import refusal
from wye.dialects.anthropic_messages.name import NAME
from wye.dialects.anthropic_messages.response import (
    decode_answer_part,
    decode_usage,
    implied_reason,
    take_finish,
)
from wye.dialects.text_shape import MoreText
from wye.kernel.errors import BadAnswer, BadRequest, StreamCut, WyeError
from wye.kernel.fields import Fields, take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, JsonObject, as_object, decode
from wye.kernel.sse import Frame, SseDecoder


class _TextPiece(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text_delta"]
    text: str


class _MoreText(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Nearly every event of most streams, when there is nothing else in it."""

    type: Literal["content_block_delta"]
    index: int
    delta: _TextPiece


_more_text = msgspec.json.Decoder(_MoreText).decode


class _Block:
    """A content block that has begun and not ended."""

    __slots__ = ("index", "input", "kind")

    def __init__(self, index: int, kind: type[Part]) -> None:
        self.index = index
        self.kind = kind
        self.input: str | None = None
        """A call's arguments as the block's start had them, which count if no piece follows."""

    def stop(self, events: list[Event]) -> None:
        if self.input is not None:
            events.append(ArgumentsDelta(self.index, self.input))
        events.append(PartEnd(self.index))


class Decoder:
    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._further = MoreText(self._sse.held, TextDelta, ThinkingDelta, ArgumentsDelta)
        self.under_way = self._further.shape
        self._blocks: dict[int, _Block] = {}
        self._begun = 0
        self._texts = 0
        """Blocks of text that have begun."""
        self._implied: FinishReason | None = None
        self._usage: JsonObject = {}
        self._started = False
        self._finished = False
        self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        if self._over:
            return []
        if (piece := self._further.read(chunk)) is not None:
            return [piece]
        try:
            frames = self._sse.feed(chunk)
        except WyeError as error:
            self._over = True
            return [Failure(error)]
        events = self.read(frames)
        self._further.learn(chunk, events)
        return events

    def read(self, frames: list[Frame]) -> list[Event]:
        """The events of frames that came in any other framing."""
        events: list[Event] = []
        try:
            for item in frames:
                self._frame(item, events)
        except WyeError as error:
            self._fail(error, events)
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        try:
            # A last frame without its blank line may be whole.
            for item in self._sse.close():
                self._frame(item, events)
        except WyeError:
            pass  # It was not: the answer is judged by what came before.
        if not self._over:
            if self._finished:
                self._end(events)
            else:
                self._fail(StreamCut("The upstream's stream ended before the answer was complete"), events)
        return events

    def _fail(self, error: WyeError, events: list[Event]) -> None:
        self._over = True
        events.append(Failure(error))

    def _frame(self, item: Frame, events: list[Event]) -> None:
        if self._over:
            return
        if self._texts and self._more_text(item.data, events):
            return
        try:
            event = decode(item.data)
        except JsonError as error:
            if item.data == b"[DONE]":
                return  # Some servers end every stream as OpenAI does.
            raise BadAnswer(f"The upstream sent a stream event that is not valid JSON: {error}") from None
        if not isinstance(event, dict):
            raise BadAnswer("The upstream sent a stream event that is not a JSON object")
        members: JsonObject = event  # pyright: ignore[reportUnknownVariableType]
        kind = members.get("type") or item.event
        if kind == "content_block_delta":
            self._delta(members, events)
        elif kind == "content_block_start":
            self._block_start(members, events)
        elif kind == "content_block_stop":
            self._block_stop(members, events)
        elif kind == "message_start":
            self._start(members, events)
        elif kind == "message_delta":
            self._message_delta(members, events)
        elif kind == "message_stop":
            self._end(events)
        elif kind == "error" or members.get("error"):
            raise refusal(members)
        else:
            # `ping`, and what the protocol may add: clients must bear events that they do not know.
            events.append(Ping())

    def _more_text(self, data: bytes, events: list[Event]) -> bool:
        try:
            told = _more_text(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        block = self._blocks.get(told.index)
        if block is None or block.kind is not Text:
            return False
        events.append(TextDelta(block.index, told.delta.text))
        return True

    def _start(self, event: JsonObject, events: list[Event]) -> None:
        given = as_object(event.get("message"))
        if given is None or self._started:
            raise BadAnswer("The upstream's stream holds a message_start that does not begin a message")
        self._started = True
        message = {**given}
        self._usage = take(message, "usage", dict) or {}
        # Fixed at this point, or told at the end.
        for name in ("type", "role", "content", "stop_reason", "stop_sequence", "stop_details", "container"):
            if not message.get(name) or name in ("type", "role"):
                message.pop(name, None)
        identity, model = take(message, "id", str), take(message, "model", str)
        usage = decode_usage(self._usage) if self._usage else None
        events.append(Start(identity or new_id("msg_"), model or "", usage=usage, extras=extras_of(NAME, message)))

    def _block_start(self, event: JsonObject, events: list[Event]) -> None:
        index = event.get("index")
        if not self._started or not isinstance(index, int) or index in self._blocks:
            raise BadAnswer("The upstream's stream begins a content block where none can begin")
        part = decode_answer_part(event.get("content_block"))
        block = self._blocks[index] = _Block(self._begun, type(part))
        self._begun += 1
        self._implied = self._implied or implied_reason((part,))
        replace = msgspec.structs.replace
        at = block.index
        match part:
            case Text():
                self._texts += 1
                events.append(PartStart(at, replace(part, text="", citations=[])))
                if part.text:
                    events.append(TextDelta(at, part.text))
                events += [CitationDelta(at, citation) for citation in part.citations]
            case Thinking():
                events.append(PartStart(at, replace(part, text="", signature=None)))
                if part.text:
                    events.append(ThinkingDelta(at, part.text))
                if part.signature:
                    events.append(SignatureDelta(at, part.signature))
            case ToolCall():
                block.input = part.arguments
                events.append(PartStart(at, replace(part, arguments="")))
            case _:
                events.append(PartStart(at, part))

    def _delta(self, event: JsonObject, events: list[Event]) -> None:
        index = event.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else None
        members = as_object(event.get("delta"))
        if block is None or members is None:
            raise BadAnswer("The upstream's stream holds a delta that belongs to no content block")
        kind = members.get("type")
        if kind == "text_delta" and block.kind is Text:
            extras = None if len(members) == 2 else _rest(members, "text")
            events.append(TextDelta(block.index, _piece(members, "text"), extras=extras))
        elif kind == "input_json_delta" and block.kind is ToolCall:
            text = _piece(members, "partial_json")
            if text:
                block.input = None
                events.append(ArgumentsDelta(block.index, text))
        elif kind == "thinking_delta" and block.kind is Thinking:
            extras = None if len(members) == 2 else _rest(members, "thinking")
            events.append(ThinkingDelta(block.index, _piece(members, "thinking"), extras=extras))
        elif kind == "signature_delta" and block.kind is Thinking:
            events.append(SignatureDelta(block.index, _piece(members, "signature")))
        elif kind == "citations_delta" and block.kind is Text:
            try:
                events.append(CitationDelta(block.index, decode_citation(Fields(members.get("citation")))))
            except BadRequest:
                events.append(OpaqueDelta(block.index, NAME, members))
        elif block.kind is Opaque:
            value = {name: value for name, value in members.items() if name != "type"}
            events.append(OpaqueDelta(block.index, NAME, value))
        else:
            events.append(OpaqueDelta(block.index, NAME, members))

    def _block_stop(self, event: JsonObject, events: list[Event]) -> None:
        index = event.get("index")
        block = self._blocks.pop(index, None) if isinstance(index, int) else None
        if block is None:
            raise BadAnswer("The upstream's stream ends a content block that has not begun")
        block.stop(events)

    def _stop_all(self, events: list[Event]) -> None:
        for block in self._blocks.values():
            block.stop(events)
        self._blocks.clear()

    def _message_delta(self, event: JsonObject, events: list[Event]) -> None:
        if not self._started:
            raise BadAnswer("The upstream's stream ends a message that has not begun")
        delta = {**(as_object(event.get("delta")) or {})}
        if isinstance(delta.get("stop_reason"), str) and not self._finished:
            self._finish(delta, events)
        usage = as_object(event.get("usage")) or {}
        # Figures are cumulative. Those left out, or null, are as they were.
        self._usage |= {name: value for name, value in usage.items() if value is not None}
        rest = {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
        if usage or rest:
            events.append(UsageReport(decode_usage(self._usage), extras_of(NAME, rest)))

    def _finish(self, delta: JsonObject, events: list[Event]) -> None:
        self._finished = True
        self._stop_all(events)
        reason, sequence, extras = take_finish(delta, self._implied)
        assert reason is not None
        events.append(Finish(reason, stop_sequence=sequence, extras=extras_of(NAME, extras | delta)))

    def _end(self, events: list[Event]) -> None:
        self._stop_all(events)
        self._over = True
        events.append(End())


def _piece(delta: JsonObject, name: str) -> str:
    text = delta.get(name)
    if not isinstance(text, str):
        raise BadAnswer(f"The upstream sent a {delta.get('type')} without {name}")
    return text


def _rest(delta: JsonObject, name: str) -> dict[str, JsonObject] | None:
    return extras_of(NAME, {key: value for key, value in delta.items() if key not in ("type", name)})
