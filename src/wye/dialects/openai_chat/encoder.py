"""Events as the chunks that clients of the Chat Completions API expect.

https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from msgspec.structs import replace

from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    CitationDelta,
    Delta,
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
from wye.canon.extras import PROGRESS, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Audio, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.usage import Usage
from wye.dialects.openai_chat.annotations import encode_annotation
from wye.dialects.openai_chat.name import NAME
from wye.dialects.openai_chat.reasoning import encode_details, must_come_back
from wye.dialects.openai_chat.response import (
    add_tier,
    encode_audio,
    encode_reason,
    note_stop_sequence,
    placed,
)
from wye.dialects.openai_chat.tools import encode_tool_call
from wye.dialects.openai_errors import encode_stream_error
from wye.dialects.openai_tap import DONE
from wye.dialects.openai_usage import encode_usage
from wye.kernel import clock
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, Raw, encode

_TEXT = Raw(b"\0")
"""Stands for the JSON of a text: no JSON holds this byte."""


class Encoder:
    """Implements `dialects.dialect.StreamEncoder`: one id in all chunks, the role in the first of each choice."""

    def __init__(
        self, request: ChatRequest, losses: Losses, adapt: Callable[[JsonObject], JsonObject] | None = None
    ) -> None:
        """`adapt` makes of a chunk's members one whose choices have other names."""
        self._adapt = adapt
        self._model = request.model
        self._include_usage = bool(request.include_usage)
        self._losses = losses
        self._prefix = b""
        self._begun = False
        self._usage: Usage | None = None
        self._members: JsonObject = {}
        """Members of the whole answer that came on the way; said with the next chunk."""
        self._choices: dict[int, _Choice] = {}

    def encode(self, event: Event) -> bytes:
        if type(event) is TextDelta and (tell := self.further(event)) is not None:
            return tell(event.text)
        match event:
            case TextDelta():
                own_extras(event.extras, NAME, self._losses, _path(event), "info")
                self._choice(event.choice).said += len(event.text)
                return self._delta(event.choice, {"content": event.text}, logprobs=event.logprobs)
            case ThinkingDelta():
                return self._think(event)
            case ArgumentsDelta():
                return self._arguments(event)
            case RefusalDelta():
                return self._delta(event.choice, {"refusal": event.text}, logprobs=event.logprobs)
            case Start():
                return self._start(event)
            case PartStart():
                return self._part(event.index, event.part, event.choice)
            case PartEnd():
                return self._part_end(event)
            case SignatureDelta():
                self._choice(event.choice).signature += event.signature
                return b""
            case CitationDelta():
                return self._citation(event)
            case OpaqueDelta():
                return self._opaque(event)
            case Finish():
                return self._finish(event)
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                if event.extras:
                    self._members.update(own_extras(event.extras, NAME, self._losses, "", "info"))
                return b""
            case Aside(choice=None):
                self._members.update(own_extras(event.extras, NAME, self._losses, "", "info"))
                return b""
            case Aside():
                return self._aside(event.choice or 0, event)
            case Ping(told):
                if told is None:
                    return b""
                self._members[PROGRESS] = told
                return self._delta(0, {})
            case End():
                return self._end()
            case Failure():
                return encode_stream_error(event.error, "")
            case _:
                assert_never(event)

    def further(self, event: Event) -> Callable[[str], bytes] | None:
        if type(event) is TextDelta and event.logprobs is None and event.extras is None and not self._members:
            choice = self._choices.get(event.choice)
            if choice is not None:
                return choice.tell
        return None

    def _start(self, event: Start) -> bytes:
        head: JsonObject = {
            "id": event.id or new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": clock.unix_s() if event.created is None else event.created,
            "model": event.model or self._model,
        }
        add_tier(head, event.service_tier, self._losses)
        head.update(own_extras(event.extras, NAME, self._losses, "", "info"))
        self._usage = event.usage
        self._prefix = b"data: " + encode(head)[:-1]
        return self._delta(0, {})

    def _choice(self, index: int) -> _Choice:
        found = self._choices.get(index)
        if found is None:
            before, after = self._said([_choice(index, {"content": _TEXT})]).split(bytes(_TEXT))
            found = self._choices[index] = _Choice(before, after)
        return found

    def _chunk(self, choices: list[JsonObject], **members: Any) -> bytes:
        if self._members:
            members = {**self._members, **members}
            self._members = {}
        return self._said(choices, **members)

    def _said(self, choices: list[JsonObject], **members: Any) -> bytes:
        if self._include_usage:
            members.setdefault("usage", None)
        chunk = {"choices": choices, **members}
        return b"%b,%b\n\n" % (self._prefix, encode(self._adapt(chunk) if self._adapt else chunk)[1:])

    def _delta(self, index: int, delta: JsonObject, /, **members: Any) -> bytes:
        choice = self._choice(index)
        if not choice.begun:
            choice.begun = True
            delta = {"role": "assistant", "content": "", "refusal": None, **delta}
        return self._chunk([{**_choice(index, delta), **members}])

    def _part(self, index: int, part: Part, at: int) -> bytes:
        choice = self._choice(at)
        path = f"choices[{at}].message.content[{index}]"
        match part:
            case Text():
                own_extras(part.extras, NAME, self._losses, path, "info")
                choice.text_from = choice.said
                return self.encode(TextDelta(index, part.text, at)) if part.text else b""
            case Refusal():
                own_extras(part.extras, NAME, self._losses, path, "info")
                return self.encode(RefusalDelta(index, part.text, at)) if part.text else b""
            case Thinking():
                own = own_extras(part.extras, NAME, self._losses, path, "info")
                announced = b""
                if part.redacted is None and part.id:
                    # A reader must know it from the beginning. It is said once: clients add up what comes twice.
                    kind = {"type": own["type"]} if "type" in own else {}
                    named = Thinking(id=part.id, origin=part.origin, extras=extras_of(NAME, kind))
                    announced = self._detail(at, index, named)
                choice.begin_thinking(part, bool(announced))
                return announced + (self._think(ThinkingDelta(index, part.text, at)) if part.text else b"")
            case ToolCall():
                call = encode_tool_call(part, self._losses, path)
                if call is None:
                    return b""
                choice.calls[index] = (len(choice.calls), part.kind)
                return self._delta(at, {"tool_calls": [{"index": choice.calls[index][0], **call}]})
            case Audio():
                choice.audio.add(index)
                return self._delta(at, {"audio": encode_audio(part, self._losses, path)})
            case _:
                what = (part.type if isinstance(part, Opaque) else type(part).__name__.lower()) or "such part"
                self._losses.add(path, f"{NAME} has no {what} in answers")
                return b""

    def _think(self, event: ThinkingDelta) -> bytes:
        own_extras(event.extras, NAME, self._losses, _path(event), "info")
        self._choice(event.choice).think(event)
        return self._delta(event.choice, {"reasoning_content": event.text}) if event.text else b""

    def _detail(self, at: int, index: int, thought: Thinking, said: set[str] | None = None) -> bytes:
        """Clients add up the details of one index, so each member is told once: not those that were `said` before."""
        told = set(said or ())
        details: list[JsonObject] = []
        path = f"choices[{at}].message.content[{index}]"
        for detail in encode_details(thought, self._choice(at).details, self._losses, path):
            details.append({name: value for name, value in detail.items() if name not in told})
            told |= detail.keys() - {"type", "index"}
        return self._delta(at, {"reasoning_details": details})

    def _arguments(self, event: ArgumentsDelta) -> bytes:
        known = self._choice(event.choice).calls.get(event.index)
        if known is None:
            return b""
        position, kind = known
        below = {"input": event.text} if kind == "custom" else {"arguments": event.text}
        return self._delta(event.choice, {"tool_calls": [{"index": position, kind: below}]})

    def _part_end(self, event: PartEnd) -> bytes:
        choice = self._choice(event.choice)
        if isinstance(event.part, Text | Refusal | ToolCall | Thinking):
            own_extras(event.part.extras, NAME, self._losses, _path(event), "info")
        thought = choice.end_thinking(event.part)
        if thought is None:
            return b""
        said = self._detail(event.choice, event.index, thought, choice.announced)
        choice.details += 1
        return said

    def _citation(self, event: CitationDelta) -> bytes:
        choice = self._choice(event.choice)
        citation = placed(event.citation, choice.text_from, choice.said - choice.text_from)
        said = encode_annotation(citation, self._losses, f"{_path(event)}.citations")
        # OpenAI tells all annotations at once. Its SDK puts several pieces together only when they are numbered.
        choice.cited += 1
        return self._delta(event.choice, {"annotations": [{**said, "index": choice.cited - 1}]})

    def _opaque(self, event: OpaqueDelta) -> bytes:
        if event.dialect != NAME or event.index not in self._choice(event.choice).audio:
            return b""
        return self._delta(event.choice, {"audio": event.value})

    def _aside(self, index: int, event: Aside) -> bytes:
        own = dict(own_extras(event.extras, NAME, self._losses, f"choices[{index}]", "info"))
        return self._delta(index, own.pop("message", {}), **own) if own else b""

    def _finish(self, event: Finish) -> bytes:
        path = f"choices[{event.choice}]"
        note_stop_sequence(event.stop_sequence, self._losses, path)
        own = dict(own_extras(event.extras, NAME, self._losses, path, "info"))
        reason = encode_reason(event.reason, own, self._losses, path)
        return self._delta(event.choice, own.pop("message", {}), finish_reason=reason, **own)

    def _end(self) -> bytes:
        if self._include_usage and self._usage is not None:
            return self._chunk([], usage=encode_usage(self._usage, self._losses, NAME)) + DONE
        # Who did not ask for usage looks into the choices of every chunk.
        return self._delta(0, {}) + DONE if self._members else DONE


def _path(event: Delta | PartEnd) -> str:
    return f"choices[{event.choice}].message.content[{event.index}]"


def _choice(index: int, delta: JsonObject) -> JsonObject:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


class _Choice:
    """What must be known of one choice to continue it. `prefix` and `suffix` stand around a plain chunk's text."""

    def __init__(self, prefix: bytes, suffix: bytes) -> None:
        self.prefix = prefix
        self.suffix = suffix
        self.begun = False
        self.said = 0
        """Characters of text so far."""
        self.text_from = 0
        """Where the open text part begins among them."""
        self.cited = 0
        self.calls: dict[int, tuple[int, str]] = {}
        self.audio: set[int] = set()
        self.thought: list[str] = []
        self.signature = ""
        self.details = 0
        self._thinking: Thinking | None = None
        self.announced: set[str] = set()
        """Which members of the open thought's detail were told at its beginning."""

    def tell(self, text: str) -> bytes:
        """A chunk of text and nothing else."""
        self.said += len(text)
        return self.prefix + encode(text) + self.suffix

    def begin_thinking(self, part: Thinking, announced: bool) -> None:
        names = {"id"} if part.origin is None else {"id", "format"}
        self._thinking, self.announced = replace(part), names if announced else set()
        self.thought, self.signature = [], part.signature or ""

    def think(self, delta: ThinkingDelta) -> None:
        self.thought.append(delta.text)
        if delta.extras and self._thinking is not None:
            self._thinking.extras = {**(self._thinking.extras or {}), **delta.extras}

    def end_thinking(self, end: Part | None) -> Thinking | None:
        """The thought that ended, when it, or one before it, holds what must come back unchanged.

        `end` is the whole of it, where that is more than its pieces.
        """
        part, self._thinking = self._thinking, None
        if part is None:
            return None
        whole = Thinking(
            "".join(self.thought), self.signature or None, part.redacted, part.id, part.origin, part.extras
        )
        if isinstance(end, Thinking):
            whole.redacted = end.redacted
        return whole if self.announced or self.details or must_come_back(whole) else None
