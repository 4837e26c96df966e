"""Streams of Command R, as server-sent events: objects with an `event_type`, of which the last tells the whole answer.

https://docs.cohere.com/v1/docs/streaming
"""

from __future__ import annotations

from typing import Any

from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    End,
    Event,
    Failure,
    Finish,
    PartEnd,
    PartStart,
    Ping,
    RefusalDelta,
    Start,
    TextDelta,
)
from wye.canon.extras import extras_of
from wye.canon.fold import Fold
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.dialects.bedrock_invoke.chunks import ChunkDecoder, encode_stream_error
from wye.dialects.bedrock_invoke.cohere.name import NAME
from wye.dialects.bedrock_invoke.cohere.response import encode_response, formed, take_calls, take_finish
from wye.dialects.dialect import StreamEncoder
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object, encode
from wye.kernel.sse import frame


class Decoder(ChunkDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._parts = 0
        self._text = -1
        """The part that text is added to; -1 for none."""
        self._called = False
        self._finished = False
        self._citations: list[Any] = []

    def complete(self) -> bool:
        return self._finished

    def chunk(self, chunk: JsonObject, events: list[Event]) -> None:
        kind = chunk.get("event_type")
        if not self._started:
            self._started = True
            identity = chunk.get("generation_id")
            events.append(Start(identity if isinstance(identity, str) else new_id("bdrk_"), ""))
        if kind == "text-generation":
            self._say(chunk.get("text"), events)
        elif kind == "tool-calls-generation":
            self._call(dict(chunk), events)
        elif kind == "citation-generation":
            self._citations += as_list(chunk.get("citations")) or []
        elif kind == "stream-end":
            self._stream_end(chunk, events)
        elif kind != "stream-start":
            # Searches, and pieces of calls that come again as a whole.
            events.append(Ping())

    def _say(self, text: Any, events: list[Event]) -> None:
        if isinstance(text, str) and text:
            if self._text < 0:
                self._text = self._parts
                self._parts += 1
                events.append(PartStart(self._text, Text("")))
            events.append(TextDelta(self._text, text))

    def _end_text(self, events: list[Event]) -> None:
        if self._text >= 0:
            events.append(PartEnd(self._text))
            self._text = -1

    def _call(self, members: JsonObject, events: list[Event]) -> None:
        calls = take_calls(members)
        if not calls:
            return
        if not self._parts:
            self._say(members.get("text"), events)
        self._end_text(events)
        self._called = True
        for call in calls:
            at, text = self._parts, call.arguments
            self._parts += 1
            call.arguments = ""
            events += [PartStart(at, call), ArgumentsDelta(at, text), PartEnd(at)]

    def _stream_end(self, chunk: JsonObject, events: list[Event]) -> None:
        whole = dict(as_object(chunk.get("response")) or {})
        if not self._parts:
            self._say(whole.get("text"), events)
        if not self._called:
            self._call({"tool_calls": whole.get("tool_calls")}, events)
        self._end_text(events)
        told = {"finish_reason": chunk.get("finish_reason") or whole.get("finish_reason")}
        reason, extras = take_finish(told, self._called)
        for name in ("text", "tool_calls", "finish_reason", "response_id"):
            whole.pop(name, None)
        if self._citations:
            whole.setdefault("citations", self._citations)
        if whole:
            events.append(Aside({NAME: formed(whole)}))
        self._finished = True
        events.append(Finish(reason or "stop", extras=extras_of(NAME, extras)))
        self.end(events)


class Encoder(StreamEncoder):
    """The last chunk repeats the answer, so all of it is kept."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._answer = Fold()
        self._calls = False

    def encode(self, event: Event) -> bytes:
        self._answer.add(event)
        match event:
            case TextDelta(choice=0) | RefusalDelta(choice=0):
                return b'data: {"is_finished":false,"event_type":"text-generation","text":%b}\n\n' % encode(event.text)
            case PartStart(choice=0, part=Text(text=text)) if text:
                return b'data: {"is_finished":false,"event_type":"text-generation","text":%b}\n\n' % encode(text)
            case Start():
                return _frame("stream-start", {"generation_id": event.id})
            case End():
                return self._end()
            case Failure():
                return encode_stream_error(event.error, "")
            case _:
                return b""

    def _end(self) -> bytes:
        whole = encode_response(self._answer.response(), self._losses)
        calls = whole.get("tool_calls")
        said = _frame("tool-calls-generation", {"tool_calls": calls}) if calls else b""
        end = {"is_finished": True, "event_type": "stream-end", "finish_reason": whole["finish_reason"]}
        return said + frame(encode({**end, "response": whole}))


def _frame(kind: str, members: JsonObject) -> bytes:
    return frame(encode({"is_finished": False, "event_type": kind, **members}))
