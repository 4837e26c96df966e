"""Events as the stream that clients of the Messages API expect.

https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import msgspec

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
from wye.canon.extras import PROGRESS, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import FinishReason
from wye.canon.seal import seal
from wye.canon.usage import Usage
from wye.dialects.anthropic_messages.citations import encode_citation
from wye.dialects.anthropic_messages.content import (
    encode_input,
    encode_part,
    encode_sealed,
    is_foreign,
    start_call,
)
from wye.dialects.anthropic_messages.errors import encode_stream_error
from wye.dialects.anthropic_messages.name import NAME
from wye.dialects.anthropic_messages.response import (
    add_tier,
    encode_finish,
    encode_usage,
    implied_reason,
)
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, encode, encode_text
from wye.kernel.sse import frame

STOP = frame(b'{"type":"message_stop"}', "message_stop")


class Encoder:
    """One block at a time: the events of parts that overlap wait until the open block has ended."""

    def __init__(self, request: ChatRequest, losses: Losses) -> None:
        self._model = request.model
        self._losses = losses
        self._open: int | None = None
        """The index of the part that is being written."""
        self._part: Part = Text("")
        self._said = False
        """Whether it has a block: a part that only another dialect understands has none."""
        self._blocks = 0
        self._prefix = b""
        """How each piece of its text begins on the wire."""
        self._held: list[str] = []
        """What must be said in one piece at its end: a signature, or the text of a custom tool's call."""
        self._waiting: dict[int, list[PartStart | PartEnd | Delta]] = {}
        self._implied: FinishReason | None = None
        self._told: JsonObject = {}
        """The usage that the start of the message told."""
        self._usage: Usage | None = None
        self._report: JsonObject = {}
        self._finish: Finish | None = None

    def encode(self, event: Event) -> bytes:
        # Nearly every event of a stream is one of these.
        if type(event) is TextDelta or type(event) is ThinkingDelta or type(event) is ArgumentsDelta:
            tell = self.further(event)
            if tell is not None:
                return tell(event.text)
        match event:
            case PartStart() | TextDelta() | ThinkingDelta() | RefusalDelta() | ArgumentsDelta():
                return self._piece(event)
            case SignatureDelta() | CitationDelta() | OpaqueDelta():
                return self._piece(event)
            case PartEnd():
                return self._piece(event) + self._next()
            case Start():
                return self._start(event)
            case Finish():
                if event.choice == 0:
                    self._finish = event
                return b""
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                self._report |= own_extras(event.extras, NAME, self._losses, "", "info")
                return b""
            case Aside():
                self._report |= own_extras(event.extras, NAME, self._losses, "", "info")
                return b""
            case Ping(told):
                return _PING if told is None else _frame("ping", {PROGRESS: told})
            case End():
                # Not before: an upstream may correct its figures until then.
                return self._message_delta() + STOP
            case Failure():
                return encode_stream_error(event.error, "")
            case _:
                assert_never(event)

    def further(self, event: Event) -> Callable[[str], bytes] | None:
        if (
            (type(event) is TextDelta and event.logprobs is None and event.extras is None)
            or (type(event) is ThinkingDelta and event.extras is None)
            or type(event) is ArgumentsDelta
        ) and (event.index == self._open and event.choice == 0 and self._said):
            return self._text
        return None

    def _start(self, event: Start) -> bytes:
        self._usage = event.usage
        self._told = encode_usage(event.usage, self._losses)
        add_tier(self._told, event.service_tier, self._losses)
        message: JsonObject = {
            "id": event.id or new_id("msg_"),
            "type": "message",
            "role": "assistant",
            "model": event.model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": self._told,
            **own_extras(event.extras, NAME, self._losses, "", "info"),
        }
        return _frame("message_start", {"message": message})

    def _message_delta(self) -> bytes:
        finish = self._finish
        losses = self._losses
        if finish is None:
            delta = encode_finish(None, None, self._implied, None, losses)
        else:
            delta = encode_finish(finish.reason, finish.stop_sequence, self._implied, finish.extras, losses)
        figures = encode_usage(self._usage, losses)
        usage = {name: figure for name, figure in figures.items() if name in _TOTALS or self._told.get(name) != figure}
        return _frame("message_delta", {"delta": delta, "usage": usage, **self._report})

    def _piece(self, event: PartStart | PartEnd | Delta) -> bytes:
        """An event of the open part, or one that opens a part, is written; any other waits for its turn."""
        if event.choice != 0:
            self._losses.add(f"choices[{event.choice}]", f"{NAME} gives one answer")
            return b""
        if event.index == self._open:
            if isinstance(event, PartEnd):
                return self._stop(event.part)
            return self._delta(event) if self._said and not isinstance(event, PartStart) else self._unsaid(event)
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
        self._open, self._part = event.index, event.part
        self._held.clear()
        self._said = False
        self._implied = self._implied or implied_reason((event.part,))
        path = f"content[{event.index}]"
        part = event.part
        text = ""
        match part:
            case Thinking() | Opaque() if is_foreign(part):
                # Whether it has a text is seen when that comes, and what to seal at its end.
                text = part.text if isinstance(part, Thinking) else ""
                return self._unsaid(ThinkingDelta(event.index, text))
            case ToolCall():
                block = start_call(part, path, self._losses)
                kind, member, text = "input_json_delta", "partial_json", part.arguments
            case Thinking():
                block = encode_part(
                    msgspec.structs.replace(part, text="", signature=None), path, self._losses, answer=True
                )
                kind, member, text = "thinking_delta", "thinking", part.text
                self._held += [part.signature] if part.signature else []
            case Text() | Refusal():
                block = encode_part(msgspec.structs.replace(part, text=""), path, self._losses, answer=True)
                kind, member, text = "text_delta", "text", part.text
            case _:
                block = encode_part(part, path, self._losses, answer=True)
                kind = member = ""
        if block is None:
            return b""
        start = self._start_block(block, kind, member)
        return start + self._text(text) if text else start

    def _start_block(self, block: JsonObject, kind: str, member: str) -> bytes:
        self._said = True
        start = _frame("content_block_start", {"index": self._blocks, "content_block": block})
        self._prefix = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%b","%b":' % (self._blocks, kind.encode(), member.encode())
        )
        self._blocks += 1
        return start

    def _unsaid(self, event: PartStart | Delta) -> bytes:
        """A piece of a part without a block: another vendor's thought has one once it has a text."""
        if isinstance(event, SignatureDelta):
            self._held.append(event.signature)
        if not isinstance(event, ThinkingDelta) or not event.text:
            return b""
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return self._start_block(block, "thinking_delta", "thinking") + self._delta(event)

    def _text(self, text: str) -> bytes:
        if type(self._part) is ToolCall and self._part.kind == "custom":
            self._held.append(text)
            return b""
        return self._prefix + encode(text) + b"}}\n\n"

    def _delta(self, event: Delta) -> bytes:
        match event:
            case TextDelta() | ThinkingDelta() | RefusalDelta() | ArgumentsDelta():
                written = self._text(event.text)
                if isinstance(event, TextDelta | RefusalDelta) and event.logprobs:
                    self._losses.add("logprobs", f"{NAME} does not tell probabilities", "info")
                if isinstance(event, TextDelta | ThinkingDelta) and event.extras:
                    own = own_extras(event.extras, NAME, self._losses, f"content[{event.index}]", "info")
                    if own:
                        # The delta's last bracket gives way to its further members.
                        return written[:-4] + b"," + encode(own)[1:] + b"}\n\n"
                return written
            case SignatureDelta():
                self._held.append(event.signature)
                return b""
            case CitationDelta():
                path = f"content[{event.index}].citations"
                citation = encode_citation(event.citation, path, self._losses, answer=True)
                return b"" if citation is None else self._further({"type": "citations_delta", "citation": citation})
            case OpaqueDelta():
                if event.dialect != NAME:
                    self._losses.add(f"content[{event.index}]", f"only {event.dialect} understands it")
                    return b""
                kind = self._part.type if isinstance(self._part, Opaque) else ""
                usual = "input_json_delta" if "partial_json" in event.value else f"{kind}_delta"
                return self._further({"type": usual, **event.value})
            case _:
                assert_never(event)

    def _further(self, delta: JsonObject) -> bytes:
        return _frame("content_block_delta", {"index": self._blocks - 1, "delta": delta})

    def _stop(self, whole: Part | None) -> bytes:
        """End the open block; `whole` is its part, where that is more than its pieces."""
        index, self._open = self._open, None
        part, held = self._part, "".join(self._held)
        last = b""
        if isinstance(whole, Text | Refusal | ToolCall):
            own_extras(whole.extras, NAME, self._losses, f"content[{index}]", "info")
        if isinstance(part, Thinking | Opaque) and is_foreign(part):
            last = self._seal(whole or part, held, f"content[{index}]")
        elif not self._said:
            return b""
        elif held and isinstance(part, ToolCall):
            call = msgspec.structs.replace(part, arguments=held)
            given = encode_input(call, f"content[{index}]", self._losses, answer=True)
            last = self._further({"type": "input_json_delta", "partial_json": encode_text(given)})
        elif held:
            last = self._further({"type": "signature_delta", "signature": held})
        return last + _frame("content_block_stop", {"index": self._blocks - 1})

    def _seal(self, part: Part, signature: str, path: str) -> bytes:
        """What comes before the end of a block that carries what only another vendor can read."""
        assert isinstance(part, Thinking | Opaque)
        if isinstance(part, Thinking):
            part = msgspec.structs.replace(part, text="", signature=part.signature or signature or None)
        if self._said:
            return self._further({"type": "signature_delta", "signature": seal(part)})
        return self._start_block(encode_sealed(part, path, self._losses), "", "")


_PING = frame(b'{"type": "ping"}', "ping")
_TOTALS = frozenset({"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"})
"""Figures that the end of a message always tells; the others only where they have changed since its start."""


def _frame(kind: str, members: JsonObject) -> bytes:
    return frame(encode({"type": kind, **members}), kind)
