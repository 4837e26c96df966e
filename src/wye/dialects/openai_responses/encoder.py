"""Events as the stream that clients of the Responses API expect.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

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
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.extras import PROGRESS
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.usage import Usage
from wye.dialects.openai_responses.content import own_members
from wye.dialects.openai_responses.errors import encode_stream_error, response_error
from wye.dialects.openai_responses.items import begins_message
from wye.dialects.openai_responses.name import NAME
from wye.dialects.openai_responses.output import COMPLETED
from wye.dialects.openai_responses.response import (
    encode_head,
    encode_usage,
    finish,
    own_id,
    repeated,
)
from wye.dialects.openai_responses.telling import Call, Message, Other, Said, Telling, Thought
from wye.dialects.openai_responses.tools import in_namespace, spaces_of
from wye.kernel.json import JsonObject, encode
from wye.kernel.sse import frame

DONE = b"data: [DONE]\n\n"
_ENDINGS = {"completed": "response.completed", "incomplete": "response.incomplete"}


class Encoder:
    """Implements `dialects.dialect.StreamEncoder`: every event numbered, every item begun, told and ended."""

    def __init__(self, request: ChatRequest, losses: Losses) -> None:
        self._request = request
        self._losses = losses
        self._spaces = spaces_of(request.tools)
        self._head: JsonObject | None = None
        """The response as far as it is known, without its items."""
        self._number = 0
        self._items: list[Telling] = []
        self._parts: dict[int, Telling | Said] = {}
        """What tells each part that is open: an item, or one content part of a message."""
        self._message: Message | None = None
        """The message that a further text would belong to."""
        self._text: Said | None = None
        """The text that was written last, and the index of its part."""
        self._text_index = -1
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._called = False

    def encode(self, event: Event) -> bytes:
        # Nearly every event of a stream is this one.
        if type(event) is TextDelta and (tell := self.further(event)) is not None:
            return tell(event.text)
        match event:
            case TextDelta() | ThinkingDelta() | RefusalDelta() | ArgumentsDelta() | SignatureDelta():
                return self._delta(event)
            case CitationDelta() | OpaqueDelta():
                return self._delta(event)
            case PartStart():
                return self._part_start(event)
            case PartEnd():
                return self._part_end(event)
            case Start():
                return self._start(event)
            case Finish():
                if event.choice == 0:
                    self._finish = event
                return b""
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                self._learn(event.extras)
                return b""
            case Aside():
                self._learn(event.extras)
                return b""
            case Ping(told):
                if told is None:
                    return b""
                return self.say("response.in_progress", response=self._head, **{PROGRESS: told})
            case End():
                return self._end() + DONE
            case Failure():
                return self._fail(event)
            case _:
                assert_never(event)

    def further(self, event: Event) -> Callable[[str], bytes] | None:
        if (
            type(event) is TextDelta
            and event.index == self._text_index
            and self._text is not None
            and event.choice == 0
            and event.logprobs is None
            and event.extras is None
        ):
            return self._tell
        return None

    def _tell(self, text: str) -> bytes:
        """More of the text that was written last, and nothing else."""
        assert self._text is not None
        self._text.pieces.append(text)
        number = self._number
        self._number = number + 1
        return b'%b%d,"delta":%b,"logprobs":[]}\n\n' % (self._text.prefix, number, encode(text))

    def say(self, kind: str, **members: Any) -> bytes:
        """One event, numbered."""
        number = self._number
        self._number = number + 1
        return frame(encode({"type": kind, "sequence_number": number, **members}), kind)

    def _learn(self, extras: Any) -> None:
        own, settings = own_members(extras, self._losses, "", "info")
        if self._head is not None:
            self._head.update(settings)
            self._head.update(own)

    def _start(self, event: Start) -> bytes:
        extras, identity = event.extras or {}, event.id
        if NAME not in extras:
            extras, identity = {**extras, **repeated(self._request)}, own_id(identity)
        model = event.model or self._request.model
        self._usage = event.usage
        self._head = encode_head(identity, model, event.created, event.service_tier, extras, self._losses)
        created = self.say("response.created", response=self._head)
        return created + self.say("response.in_progress", response=self._head)

    def _part_start(self, event: PartStart) -> bytes:
        if event.choice != 0:
            self._losses.add(f"choices[{event.choice}]", f"{NAME} gives one answer")
            return b""
        part, closed = event.part, b""
        continues = isinstance(part, Text | Refusal) and self._message is not None and not begins_message(part)
        if not continues:
            closed = self._close_message()
        match part:
            case Text() | Refusal():
                if self._message is None:
                    self._message = Message(self, self._place(), part)
                    self._items.append(self._message)
                    closed += self._message.begin()
                said = self._message.add(part)
                self._parts[event.index] = said
                return closed + said.begin() + self._write(event.index, said, part.text)
            case Thinking():
                item: Telling = Thought(self, self._place(), part)
            case ToolCall() if part.kind != "server":
                self._called = True
                item = Call(self, self._place(), in_namespace(part, self._spaces))
            case Opaque() | ToolCall():
                item = Other(self, self._place(), part)
            case _:
                self._losses.add(f"output[{event.index}]", f"{NAME} has no {type(part).__name__.lower()} in answers")
                return closed
        self._items.append(item)
        self._parts[event.index] = item
        return closed + item.begin()

    def _place(self) -> int:
        return len(self._items)

    def _write(self, index: int, said: Said, text: str) -> bytes:
        self._text, self._text_index = (said, index) if isinstance(said.part, Text) else (None, -1)
        return said.tell(text) if text else b""

    def _delta(self, event: Any) -> bytes:
        found = self._parts.get(event.index) if event.choice == 0 else None
        if found is None:
            return b""
        match event:
            case TextDelta() if isinstance(found, Said):
                own_members(event.extras, self._losses, f"output[{event.index}]", "info")
                self._text, self._text_index = found, event.index
                return found.tell(event.text, (event.logprobs or {}).get("content"))
            case RefusalDelta() if isinstance(found, Said):
                if event.logprobs:
                    self._losses.add("logprobs.refusal", f"{NAME} does not tell the probabilities of a refusal", "info")
                return found.tell(event.text)
            case CitationDelta() if isinstance(found, Said):
                return found.cite(event.citation)
            case ThinkingDelta() if isinstance(found, Thought):
                return found.tell(event)
            case SignatureDelta() if isinstance(found, Thought):
                found.signature += event.signature
                return b""
            case ArgumentsDelta() if isinstance(found, Call):
                return found.tell(event.text)
            case ArgumentsDelta() if isinstance(found, Other):
                found.tell(event.text)
                return b""
            case OpaqueDelta():
                return self._progress(event, found)
            case _:
                return b""

    def _progress(self, event: OpaqueDelta, found: Telling | Said) -> bytes:
        """What an item of this dialect tells on the way."""
        if event.dialect != NAME:
            self._losses.add(f"output[{event.index}]", f"only {event.dialect} understands it")
            return b""
        kind = event.value.get("type")
        if not isinstance(kind, str):
            return b""
        members = {name: value for name, value in event.value.items() if name != "type"}
        return self.say(kind, **{**members, "output_index": found.place})

    def _part_end(self, event: PartEnd) -> bytes:
        found = self._parts.pop(event.index, None) if event.choice == 0 else None
        if found is None:
            return b""
        if self._text is found:
            self._text, self._text_index = None, -1
        return found.end(event.part, self._losses)

    def _close_message(self, status: str = COMPLETED) -> bytes:
        message, self._message = self._message, None
        return b"" if message is None else message.close(status, self._losses)

    def _end(self) -> bytes:
        ending = self._finish or Finish("stop")
        response = self._response()
        finish(response, ending.reason, ending.stop_sequence, ending.extras, self._losses, called=self._called)
        closed = self._close_message(response["status"])
        response["output"] = self._output()
        return closed + self.say(_ENDINGS.get(response["status"], "response.failed"), response=response)

    def _response(self) -> JsonObject:
        usage = None if self._usage is None else encode_usage(self._usage, self._losses)
        return {**(self._head or {}), "usage": usage}

    def _output(self) -> list[JsonObject]:
        return [item.whole for item in self._items if item.whole is not None]

    def _fail(self, event: Failure) -> bytes:
        said = encode_stream_error(event.error, "", self._number)
        self._number += 1
        if self._head is None:
            return said
        failed = {**self._response(), "status": "failed", "error": response_error(event.error)}
        return said + self.say("response.failed", response={**failed, "output": self._output()})
