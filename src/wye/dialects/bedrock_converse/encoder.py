"""Streams of ConverseStream, written.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

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
from wye.canon.extras import Extras
from wye.canon.fold import Fold
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import FinishReason
from wye.canon.usage import Usage
from wye.dialects.bedrock_converse.citations import encode_citation
from wye.dialects.bedrock_converse.content import encode_input, encode_part, is_foreign, start_call
from wye.dialects.bedrock_converse.errors import encode_sse_error, encode_stream_error
from wye.dialects.bedrock_converse.form import block, own_members
from wye.dialects.bedrock_converse.name import NAME
from wye.dialects.bedrock_converse.response import CLIENT, encode_finish, encode_usage, implied_reason, tier_of
from wye.dialects.dialect import StreamEncoder
from wye.kernel import eventstream, sse
from wye.kernel.errors import WyeError
from wye.kernel.json import JsonObject, encode, encode_text

_START = encode({"role": "assistant"})


class Encoder(StreamEncoder):
    """One block at a time: the events of parts that overlap wait until the open block has ended."""

    def __init__(
        self,
        request: ChatRequest,
        losses: Losses,
        frame: Callable[[str, bytes], bytes] = eventstream.message,
        failure: Callable[[WyeError, str], bytes] = encode_stream_error,
    ) -> None:
        self._losses = losses
        self._frame = frame
        self._failure = failure
        self._open: int | None = None
        """The index of the part that is being written."""
        self._part: Part = Text("")
        self._held: Fold | None = None
        """Collects a part that is said when it is whole; None for one whose text is said as it comes."""
        self._signature = ""
        self._said = False
        """Whether anything of the part has been said."""
        self._blocks = 0
        self._prefix = b""
        """How each piece of its text begins on the wire, and how it ends."""
        self._suffix = b""
        self._waiting: dict[int, list[PartStart | PartEnd | Delta]] = {}
        self._implied: FinishReason | None = None
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._report: JsonObject = {}
        """Further members of the last event."""

    def encode(self, event: Event) -> bytes:
        match event:
            case (
                PartStart()
                | TextDelta()
                | ThinkingDelta()
                | RefusalDelta()
                | ArgumentsDelta()
                | SignatureDelta()
                | CitationDelta()
                | OpaqueDelta()
            ):
                return self._piece(event)
            case PartEnd():
                return self._piece(event) + self._next()
            case Start():
                self._usage = event.usage
                self._report |= tier_of(event.service_tier, self._losses)
                self._report |= own_members(event.extras, self._losses, "", "info")
                return self._frame("messageStart", _START)
            case Finish():
                if event.choice == 0:
                    self._finish = event
                return b""
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                self._report |= own_members(event.extras, self._losses, "", "info")
                return b""
            case Aside():
                self._report |= own_members(event.extras, self._losses, "", "info")
                return b""
            case Ping(told):
                # AWS's clients pass over events that they do not know: their unions are open.
                return b"" if told is None else self._frame("orchestrationProgress", encode(told))
            case End():
                # Not before: an upstream may correct its figures until then.
                return self._end()
            case Failure():
                return self._failure(event.error, "")
            case _:
                assert_never(event)

    def _end(self) -> bytes:
        finish = self._finish or Finish("stop")
        stop = encode_finish(finish.reason, finish.stop_sequence, self._implied, finish.extras, self._losses)
        metadata = {"usage": encode_usage(self._usage, self._losses), "metrics": {"latencyMs": 0}, **self._report}
        return self._frame("messageStop", encode(stop)) + self._frame("metadata", encode(metadata))

    def _piece(self, event: PartStart | PartEnd | Delta) -> bytes:
        """An event of the open part, or one that opens a part, is written; any other waits for its turn."""
        if event.choice != 0:
            self._losses.add(f"choices[{event.choice}]", f"{NAME} gives one answer")
            return b""
        if event.index == self._open:
            if isinstance(event, PartEnd):
                return self._stop(event)
            return b"" if isinstance(event, PartStart) else self._delta(event)
        if self._open is None and isinstance(event, PartStart):
            return self._begin(event)
        self._waiting.setdefault(event.index, []).append(event)
        return b""

    def _next(self) -> bytes:
        """The parts whose turn has come, as far as they are known."""
        written: list[bytes] = []
        while self._open is None and self._waiting:
            events = self._waiting.pop(next(iter(self._waiting)))
            written += [self._piece(event) for event in events]
        return b"".join(written)

    def _begin(self, event: PartStart) -> bytes:
        part = self._part = event.part
        self._open, self._said, self._held, self._signature = event.index, False, None, ""
        self._implied = self._implied or implied_reason((part,))
        match part:
            case Thinking():
                self._signature = part.signature or ""
                return self._pieces('{"reasoningContent":{"text":', "}}", part.text)
            case Text() | Refusal() if NAME not in (part.extras or {}):
                self._own(part.extras)
                return self._pieces('{"text":', "}", part.text)
            case ToolCall() if part.kind != "custom" and not is_foreign(part):
                members = start_call(part, self._path, self._losses)
                own = own_members(part.extras, self._losses, self._path)
                start = self._started(block("toolUse", members, own))
                return start + self._pieces('{"toolUse":{"input":', "}}", part.arguments)
            case _:
                self._held = Fold()
                self._held.add(Start("", ""))
                self._held.add(PartStart(0, part))
                return b""

    @property
    def _path(self) -> str:
        return f"content[{self._open}]"

    def _own(self, extras: Extras | None) -> JsonObject:
        return own_members(extras, self._losses, self._path, "info")

    def _pieces(self, begin: str, end: str, text: str) -> bytes:
        self._prefix = b'{"contentBlockIndex":%d,"delta":%b' % (self._blocks, begin.encode())
        self._suffix = end.encode() + b"}"
        return self._text(text) if text else b""

    def _text(self, text: str) -> bytes:
        self._said = True
        return self._frame("contentBlockDelta", self._prefix + encode(text) + self._suffix)

    def _started(self, start: JsonObject) -> bytes:
        self._said = True
        return self._frame("contentBlockStart", encode({"contentBlockIndex": self._blocks, "start": start}))

    def _further(self, delta: JsonObject) -> bytes:
        self._said = True
        return self._frame("contentBlockDelta", encode({"contentBlockIndex": self._blocks, "delta": delta}))

    def _delta(self, event: Delta) -> bytes:
        if self._held is not None:
            self._held.add(replace(event, index=0))
            return b""
        match event:
            case (
                TextDelta(logprobs=None, extras=None)
                | ThinkingDelta(extras=None)
                | ArgumentsDelta()
                | RefusalDelta(logprobs=None)
            ):
                return self._text(event.text)
            case TextDelta() | RefusalDelta():
                if event.logprobs:
                    self._losses.add("logprobs", f"{NAME} does not tell probabilities", "info")
                own = self._own(event.extras) if isinstance(event, TextDelta) else {}
                return self._further({"text": event.text, **own}) if own else self._text(event.text)
            case ThinkingDelta():
                said = block("reasoningContent", {"text": event.text}, self._own(event.extras))
                return self._further(said)
            case SignatureDelta():
                self._signature += event.signature
                return b""
            case CitationDelta():
                path = f"{self._path}.citations"
                citation = encode_citation(event.citation, path, self._losses, answer=True)
                return b"" if citation is None else self._further({"citation": citation})
            case OpaqueDelta():
                if event.dialect == NAME:
                    return self._further(event.value)
                self._losses.add(self._path, f"only {event.dialect} understands it")
                return b""
            case _:
                assert_never(event)

    def _stop(self, event: PartEnd) -> bytes:
        last = b""
        if self._held is not None:
            self._held.add(PartEnd(0, part=event.part))
            last = self._whole(self._held.response().choices[0].parts[0])
        elif isinstance(self._part, Thinking):
            whole = event.part or replace(self._part, signature=self._signature or None)
            said = encode_part(replace(whole, text=""), self._path, self._losses, CLIENT)
            last = self._block(said) if said else b""
        elif isinstance(event.part, Text | Refusal | ToolCall):
            self._own(event.part.extras)
        if not self._said and self._held is None:
            # Nothing but its end would tell of a block that is empty.
            last = self._text("")
        self._open = None
        if not self._said:
            return b""
        last += self._frame("contentBlockStop", encode({"contentBlockIndex": self._blocks}))
        self._blocks += 1
        return last

    def _whole(self, part: Part) -> bytes:
        """A part of which nothing has been said yet."""
        if isinstance(part, ToolCall) and part.kind == "custom":
            given = encode_input(part, self._path, self._losses, CLIENT)
            own = self._own(part.extras)
            start = self._started(block("toolUse", start_call(part, self._path, self._losses), own))
            return start + self._further({"toolUse": {"input": encode_text(given)}})
        said = encode_part(part, self._path, self._losses, CLIENT)
        if said is None:
            return b""
        return self._started(said) if isinstance(part, Opaque) and part.dialect == NAME else self._block(said)

    def _block(self, said: JsonObject) -> bytes:
        """A block as its start and its pieces."""
        match said:
            case {"text": _}:
                return self._further(said)
            case {"reasoningContent": {**members}, **outer}:
                # The text of a thought has been said; what is left are members beside it.
                text = members.pop("reasoningText", {})
                members |= {name: value for name, value in text.items() if name != "text"}
                return self._further({"reasoningContent": members, **outer}) if members or outer else b""
            case {"citationsContent": {"content": [*texts], **inner}, **outer}:
                citations = inner.pop("citations", [])
                pieces = [self._further({**text, **inner, **outer}) for text in texts]
                return b"".join([*pieces, *(self._further({"citation": citation}) for citation in citations)])
            case {"toolResult": {"content": content, **inner}, **outer}:
                return self._started({"toolResult": inner, **outer}) + self._further({"toolResult": content})
            case {"image": {"source": source, **inner}, **outer}:
                return self._started({"image": inner, **outer}) + self._further({"image": {"source": source}})
            case _:
                return self._started(said)


def sse_encoder(request: ChatRequest, losses: Losses) -> Encoder:
    def frame(kind: str, payload: bytes) -> bytes:
        return sse.frame(payload, kind)

    return Encoder(request, losses, frame, encode_sse_error)
