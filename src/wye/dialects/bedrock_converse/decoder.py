"""Streams of ConverseStream, read.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Protocol

from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    PartEnd,
    PartStart,
    Ping,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.parts import Part, Text, Thinking, ToolCall
from wye.canon.response import FinishReason
from wye.dialects.aws_errors import refusal
from wye.dialects.bedrock_converse.citations import decode_citation
from wye.dialects.bedrock_converse.form import OUTER, extras_with
from wye.dialects.bedrock_converse.name import NAME
from wye.dialects.bedrock_converse.response import decode_answer_part, decode_usage, implied_reason, take_finish
from wye.dialects.dialect import StreamDecoder
from wye.kernel.errors import BadAnswer, BadRequest, StreamCut, WyeError
from wye.kernel.eventstream import EventStreamDecoder, Message
from wye.kernel.fields import Fields
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, encode
from wye.kernel.sse import Frame, SseDecoder

_PADDING = "p"
"""A member of every event that only hides its length."""
_SAID_OF_THINKING = frozenset({"text", "signature", "redactedContent"})


_Told = tuple[str, bytes, bool]
"""One frame of a stream, whatever its framing: its type, its payload, and whether it says that the answer failed."""


class Frames(Protocol):
    def feed(self, chunk: bytes) -> Iterable[_Told]: ...

    def close(self) -> Iterable[_Told]: ...


class _Binary:
    def __init__(self) -> None:
        self._decoder = EventStreamDecoder()

    def feed(self, chunk: bytes) -> Iterable[_Told]:
        return map(_of_message, self._decoder.feed(chunk))

    def close(self) -> Iterable[_Told]:
        self._decoder.close()
        return ()


class _Sse:
    def __init__(self) -> None:
        self._decoder = SseDecoder()

    def feed(self, chunk: bytes) -> Iterable[_Told]:
        return map(_of_frame, self._decoder.feed(chunk))

    def close(self) -> Iterable[_Told]:
        return map(_of_frame, self._decoder.close())


def _of_message(message: Message) -> _Told:
    if message.text(":message-type") == "event":
        return message.text(":event-type"), message.payload, False
    kind = message.text(":exception-type")
    if kind:
        return kind, message.payload, True
    # The service's own failure has no body: its headers say it.
    return message.text(":error-code"), encode({"message": message.text(":error-message") or None}), True


def _of_frame(frame: Frame) -> _Told:
    kind = frame.event or ""
    return kind, frame.data, kind == "error" or kind.endswith("Exception")


class _Block:
    """A content block that has begun and not ended."""

    __slots__ = ("index", "kind", "whole")

    def __init__(self, index: int, kind: type[Part] | None) -> None:
        self.index = index
        self.kind = kind
        """None for a block that is told when it is whole."""
        self.whole: JsonObject = {}


class Decoder(StreamDecoder):
    """Of the binary event stream; `sse_decoder` makes one of the same events as server-sent events."""

    def __init__(self, frames: Frames | None = None) -> None:
        self._frames: Frames = _Binary() if frames is None else frames
        self._blocks: dict[int, _Block] = {}
        self._begun = 0
        self._implied: FinishReason | None = None
        self._started = False
        self._finished = False
        self._reported = False
        self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        events: list[Event] = []
        if not self._over:
            try:
                for told in self._frames.feed(chunk):
                    if not self._over:
                        self._frame(told, events)
            except WyeError as error:
                self._fail(error, events)
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        try:
            for told in self._frames.close():
                self._frame(told, events)
        except WyeError as error:
            # What is left is no whole frame: a complete answer is judged by what came before.
            if not self._finished:
                self._fail(error, events)
        if not self._over:
            if self._finished:
                self._end(events)
            else:
                self._fail(StreamCut("The upstream's stream ended before the answer was complete"), events)
        return events

    def _fail(self, error: WyeError, events: list[Event]) -> None:
        self._over = True
        events.append(Failure(error))

    def _end(self, events: list[Event]) -> None:
        self._over = True
        events.append(End())

    def _frame(self, told: _Told, events: list[Event]) -> None:
        kind, payload, failed = told
        try:
            value = decode(payload)
        except JsonError as error:
            raise BadAnswer(f"The upstream sent a stream event that is not valid JSON: {error}") from None
        members = as_object(value)
        if members is None:
            raise BadAnswer("The upstream sent a stream event that is not a JSON object")
        if failed:
            raise refusal(kind, members)
        if kind == "contentBlockDelta":
            self._delta(members, events)
        elif kind == "contentBlockStart":
            self._block_start(members, events)
        elif kind == "contentBlockStop":
            self._block_stop(members, events)
        elif kind == "messageStart":
            if self._started:
                raise BadAnswer("The upstream's stream begins a message for the second time")
            self._start(_rest(members, "role"), events)
        elif kind == "messageStop":
            self._stop(members, events)
        elif kind == "metadata":
            self._metadata(members, events)
        else:
            # Clients must bear events that they do not know.
            events.append(Ping())

    def _start(self, rest: JsonObject, events: list[Event]) -> None:
        self._started = True
        events.append(Start("", "", extras=extras_with(rest)))

    def _index(self, event: JsonObject, events: list[Event]) -> int:
        index = event.get("contentBlockIndex")
        if not isinstance(index, int) or self._finished:
            raise BadAnswer("The upstream's stream holds a piece of content that belongs to no block")
        if not self._started:
            self._start({}, events)
        return index

    def _begin(self, index: int, part: Part, events: list[Event]) -> _Block:
        block = self._blocks[index] = _Block(self._begun, type(part))
        self._tell(part, events)
        return block

    def _tell(self, part: Part, events: list[Event]) -> None:
        events.append(PartStart(self._begun, part))
        self._begun += 1
        self._implied = self._implied or implied_reason((part,))

    def _hold(self, index: int, whole: JsonObject) -> None:
        block = self._blocks[index] = _Block(-1, None)
        block.whole = whole

    def _block_start(self, event: JsonObject, events: list[Event]) -> None:
        index = self._index(event, events)
        start = as_object(event.get("start"))
        if start is None or index in self._blocks:
            raise BadAnswer("The upstream's stream begins a content block where none can begin")
        self._aside(event, "start", events)
        call = as_object(start.get("toolUse"))
        if call is not None:
            # The input follows in pieces.
            part = decode_answer_part({**start, "toolUse": {**call, "input": {}}})
            if isinstance(part, ToolCall):
                part.arguments = ""
                self._begin(index, part, events)
                return
        self._hold(index, {name: value for name, value in start.items() if value is not None})

    def _delta(self, event: JsonObject, events: list[Event]) -> None:
        index = self._index(event, events)
        delta = as_object(event.get("delta"))
        if delta is None:
            raise BadAnswer("The upstream's stream holds a delta without a piece of content")
        block = self._blocks.get(index)
        text = delta.get("text")
        if isinstance(text, str) and (block is None or block.kind is Text):
            block = block or self._begin(index, Text(""), events)
            extras = None if len(delta) == 1 else extras_with(_rest(delta, "text"))
            events.append(TextDelta(block.index, text, extras=extras))
        else:
            self._further(index, block, delta, events)
        if len(event) > 2:
            self._aside(event, "delta", events)

    def _further(self, index: int, block: _Block | None, delta: JsonObject, events: list[Event]) -> None:
        match delta:
            case {"toolUse": {"input": str(text), **inner}, **outer} if block is not None and block.kind is ToolCall:
                if text:
                    events.append(ArgumentsDelta(block.index, text))
            case {"reasoningContent": {"text": str(text), **inner}, **outer} if _continues(block, Thinking):
                block = block or self._begin(index, Thinking(), events)
                more = {**inner, OUTER: outer} if outer else inner
                events.append(ThinkingDelta(block.index, text, extras=extras_with(more)))
                return
            case {"reasoningContent": {"signature": str(signature), **inner}, **outer} if _continues(block, Thinking):
                block = block or self._begin(index, Thinking(), events)
                if inner or outer:
                    more = {**inner, OUTER: outer} if outer else inner
                    events.append(ThinkingDelta(block.index, "", extras=extras_with(more)))
                events.append(SignatureDelta(block.index, signature))
                return
            case {"reasoningContent": {**inner}, **outer} if (
                block is not None and block.kind is Thinking and not inner.keys() & _SAID_OF_THINKING
            ):
                more = {**inner, OUTER: outer} if outer else inner
                events.append(ThinkingDelta(block.index, "", extras=extras_with(more)))
                return
            case {"citation": {**citation}, **outer} if _continues(block, Text):
                inner: JsonObject = {}
                block = block or self._begin(index, Text(""), events)
                try:
                    events.append(CitationDelta(block.index, decode_citation(Fields(citation, "citation"))))
                except BadRequest:
                    inner = {"citation": citation}
            case _:
                if block is not None and block.kind is not None:
                    # A piece of another kind than its block: it is one of its own.
                    self._close(index, block, events)
                    block = None
                if block is None:
                    self._hold(index, {})
                self._collect(self._blocks[index].whole, delta)
                return
        if inner or outer:
            events.append(Aside({NAME: {**inner, **outer}}))

    def _collect(self, whole: JsonObject, delta: JsonObject) -> None:
        """Put a piece to a block that is told when it is whole."""
        for kind, value in delta.items():
            known, piece = as_object(whole.get(kind)), as_object(value)
            if kind == "toolResult" and as_list(value) is not None:
                known = known or {}
                whole[kind] = {**known, "content": [*(as_list(known.get("content")) or ()), *value]}
            elif kind == "reasoningContent" and known and piece and "redactedContent" in known:
                joined = _joined(known["redactedContent"], piece.get("redactedContent"))
                whole[kind] = {**known, **piece, "redactedContent": joined}
            else:
                whole[kind] = value if known is None or piece is None else {**known, **piece}

    def _block_stop(self, event: JsonObject, events: list[Event]) -> None:
        index = self._index(event, events)
        block = self._blocks.get(index)
        # A block of which nothing was said is none.
        if block is not None:
            self._close(index, block, events)
        self._aside(event, "", events)

    def _close(self, index: int, block: _Block, events: list[Event]) -> None:
        del self._blocks[index]
        if block.kind is None:
            block.index = self._begun
            self._tell(decode_answer_part(block.whole), events)
        events.append(PartEnd(block.index))

    def _stop(self, event: JsonObject, events: list[Event]) -> None:
        if self._finished:
            raise BadAnswer("The upstream's stream ends a message for the second time")
        if not self._started:
            self._start({}, events)
        for index, block in list(self._blocks.items()):
            self._close(index, block, events)
        self._finished = True
        members = {name: value for name, value in event.items() if name != _PADDING}
        reason, sequence, extras = take_finish(members, self._implied)
        if members:
            extras = {NAME: {**(extras or {}).get(NAME, {}), **members}}
        events.append(Finish(reason or "stop", stop_sequence=sequence, extras=extras))
        if self._reported:
            self._end(events)

    def _metadata(self, event: JsonObject, events: list[Event]) -> None:
        """It comes after the message's stop; from some servers before."""
        if not self._started:
            self._start({}, events)
        self._reported = True
        usage = as_object(event.get("usage"))
        rest = _rest(event, "" if usage is None else "usage")
        events.append(UsageReport(decode_usage(usage or {}), extras_with(rest)))
        if self._finished:
            self._end(events)

    def _aside(self, event: JsonObject, known: str, events: list[Event]) -> None:
        rest = _rest(event, known)
        rest.pop("contentBlockIndex", None)
        if rest:
            events.append(Aside({NAME: rest}))


def sse_decoder() -> Decoder:
    return Decoder(_Sse())


def _continues(block: _Block | None, kind: type[Part]) -> bool:
    return block is None or block.kind is kind


def _rest(event: JsonObject, known: str) -> JsonObject:
    return {name: value for name, value in event.items() if name not in (known, _PADDING)}


def _joined(first: Any, second: Any) -> Any:
    """The base64 of two pieces of bytes, one after the other; the first alone where one is no base64."""
    try:
        return base64.b64encode(base64.b64decode(first) + base64.b64decode(second)).decode()
    except (binascii.Error, TypeError, ValueError):
        return first
