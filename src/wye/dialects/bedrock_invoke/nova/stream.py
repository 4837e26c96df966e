"""Nova's streams, as server-sent events: each chunk is an object whose one member tells what it is.

https://docs.aws.amazon.com/nova/latest/userguide/using-invoke-api.html
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
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.answer import note_stop_sequence, note_tier, own_members
from wye.dialects.bedrock_invoke.chunks import ChunkDecoder, encode_stream_error
from wye.dialects.bedrock_invoke.nova.content import (
    encode_answer_thought,
    encode_input,
    encode_part,
    start_call,
)
from wye.dialects.bedrock_invoke.nova.name import NAME, ORIGIN
from wye.dialects.bedrock_invoke.nova.response import (
    answer_part,
    decode_usage,
    encode_finish,
    encode_usage,
    take_finish,
)
from wye.dialects.dialect import StreamEncoder
from wye.kernel.errors import BadAnswer
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_object, encode, encode_text
from wye.kernel.sse import frame


class Decoder(ChunkDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._parts = 0
        self._open: dict[int, tuple[int, type[Part]]] = {}
        """The part of each content block that has begun and not ended."""
        self._started = False
        self._called = False
        self._finished = False

    def complete(self) -> bool:
        return self._finished

    def chunk(self, chunk: JsonObject, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events.append(Start(new_id("bdrk_"), ""))
        for kind, value in chunk.items():
            members = as_object(value) or {}
            if kind == "contentBlockDelta":
                self._delta(members, events)
            elif kind == "contentBlockStart":
                self._block_start(members, events)
            elif kind == "contentBlockStop":
                self._stop(_index(members), events)
            elif kind == "messageStop":
                self._message_stop(members, events)
            elif kind == "metadata":
                self._metadata(members, events)
            elif kind != "messageStart":
                events.append(Aside({NAME: {kind: value}}))

    def _delta(self, members: JsonObject, events: list[Event]) -> None:
        index, delta = _index(members), as_object(members.get("delta")) or {}
        open_ = self._open.get(index)
        text = delta.get("text")
        if isinstance(text, str):
            at = self._ensure(index, Text(""), events)
            events.append(TextDelta(at, text))
        elif (call := as_object(delta.get("toolUse"))) is not None and open_ is not None and open_[1] is ToolCall:
            piece = call.get("input")
            # Nova gives the input whole, or in pieces of its text.
            events.append(ArgumentsDelta(open_[0], piece if isinstance(piece, str) else encode_text(piece)))
        elif (thought := as_object(delta.get("reasoningContent"))) is not None:
            self._think(index, thought, events)
        elif open_ is not None and open_[1] is Opaque:
            events.append(OpaqueDelta(open_[0], NAME, delta))
        else:
            self._begin(index, answer_part(delta), events)

    def _think(self, index: int, thought: JsonObject, events: list[Event]) -> None:
        redacted = thought.get("redactedContent")
        if isinstance(redacted, str):
            self._begin(index, Thinking(redacted=redacted, origin=ORIGIN), events)
            return
        at = self._ensure(index, Thinking(origin=ORIGIN), events)
        members = as_object(thought.get("reasoningText")) or thought
        text, signature = members.get("text"), members.get("signature")
        if isinstance(text, str):
            events.append(ThinkingDelta(at, text))
        if isinstance(signature, str):
            events.append(SignatureDelta(at, signature))

    def _block_start(self, members: JsonObject, events: list[Event]) -> None:
        index, start = _index(members), as_object(members.get("start")) or {}
        if not start:
            return  # What it is, its first delta tells.
        part = answer_part(start)
        if isinstance(part, ToolCall):
            self._called = True
        self._begin(index, part, events)

    def _ensure(self, index: int, part: Part, events: list[Event]) -> int:
        """The block's open part of this kind, begun if need be."""
        open_ = self._open.get(index)
        return open_[0] if open_ is not None and open_[1] is type(part) else self._begin(index, part, events)

    def _begin(self, index: int, part: Part, events: list[Event]) -> int:
        self._stop(index, events)
        at = self._parts
        self._parts += 1
        self._open[index] = at, type(part)
        events.append(PartStart(at, part))
        return at

    def _stop(self, index: int, events: list[Event]) -> None:
        open_ = self._open.pop(index, None)
        if open_ is not None:
            events.append(PartEnd(open_[0]))

    def _message_stop(self, members: JsonObject, events: list[Event]) -> None:
        if self._finished:
            return
        for index in list(self._open):
            self._stop(index, events)
        left = dict(members)
        reason, extras = take_finish(left, self._called)
        if left:
            events.append(Aside({NAME: left}))
        self._finished = True
        events.append(Finish(reason or "stop", extras=extras))

    def _metadata(self, members: JsonObject, events: list[Event]) -> None:
        """Figures, which come last."""
        left = dict(members)
        usage = as_object(left.pop("usage", None))
        rest = {name: value for name, value in left.items() if value}
        if usage is not None:
            events.append(UsageReport(decode_usage(usage), extras_of(NAME, rest)))
        elif rest:
            events.append(Aside({NAME: rest}))
        if self._finished:
            self.end(events)


def _index(members: JsonObject) -> int:
    index: Any = members.get("contentBlockIndex", 0)
    if not isinstance(index, int):
        raise BadAnswer("The upstream sent a stream chunk for a content block without a number")
    return index


class _Block:
    """A content block that is being said."""

    def __init__(self, index: int, part: Part) -> None:
        self.index = index
        self.part = part
        self.head = b'data: {"contentBlockDelta":{"contentBlockIndex":%d,"delta":' % index
        self.stop = frame(encode({"contentBlockStop": {"contentBlockIndex": index}}))
        self.held: list[str] = []
        """A signature's pieces, or a custom call's text."""
        self.said = False

    def delta(self, delta: JsonObject) -> bytes:
        self.said = True
        return b"%b%b}}\n\n" % (self.head, encode(delta))


class Encoder(StreamEncoder):
    """Blocks may be said in turns: each chunk names its own."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._blocks = 0
        self._open: dict[int, _Block] = {}
        self._called = False
        self._usage: Usage | None = None
        self._report: JsonObject = {}

    def encode(self, event: Event) -> bytes:
        if isinstance(event, TextDelta) and event.choice == 0 and not event.extras and not event.logprobs:
            # Nearly every event of a stream.
            block = self._open.get(event.index)
            if block is None:
                return b""
            block.said = True
            return b'%b{"text":%b}}}\n\n' % (block.head, encode(event.text))
        if not isinstance(event, Start | UsageReport | Aside | Ping | End | Failure) and event.choice != 0:
            self._losses.add(f"choices[{event.choice}]", f"{NAME} gives one answer")
            return b""
        match event:
            case TextDelta() | RefusalDelta() | ThinkingDelta() | ArgumentsDelta():
                return self._text(event)
            case SignatureDelta():
                self._open[event.index].held.append(event.signature)
            case CitationDelta():
                self._losses.add(f"content[{event.index}].citations", f"{NAME} does not cite", "info")
            case OpaqueDelta():
                return self._grow(event)
            case PartStart():
                return self._begin(event.index, event.part)
            case PartEnd():
                block = self._open.pop(event.index, None)
                return b"" if block is None else self._end_block(block, event.part, event.index)
            case Start():
                self._usage = event.usage
                note_tier(event.service_tier, self._losses)
                self._report.update(own_members(event.extras, NAME, self._losses))
                return frame(b'{"messageStart":{"role":"assistant"}}')
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                self._report.update(own_members(event.extras, NAME, self._losses))
            case Aside():
                self._report.update(own_members(event.extras, NAME, self._losses))
            case Finish():
                note_stop_sequence(event.stop_sequence, 0, NAME, self._losses)
                return frame(
                    encode({"messageStop": encode_finish(event.reason, event.extras, self._called, self._losses)})
                )
            case End():
                return frame(encode({"metadata": {"usage": encode_usage(self._usage, self._losses), **self._report}}))
            case Failure():
                return encode_stream_error(event.error, "")
            case _:
                pass
        return b""

    def _grow(self, event: OpaqueDelta) -> bytes:
        """A further piece of an element: its own is said at once, another dialect's is sealed as a whole."""
        block = self._open.get(event.index)
        if block is None or not isinstance(block.part, Opaque) or block.part.dialect != event.dialect:
            self._losses.add(f"content[{event.index}]", f"only {event.dialect} understands it")
            return b""
        if event.dialect == NAME:
            return block.delta(event.value)
        value = block.part.value
        for name, piece in event.value.items():
            known = value.get(name)
            value[name] = known + piece if isinstance(known, str) and isinstance(piece, str) else piece
        return b""

    def _text(self, event: TextDelta | RefusalDelta | ThinkingDelta | ArgumentsDelta) -> bytes:
        block = self._open.get(event.index)
        if block is None:
            return b""
        if isinstance(event, TextDelta | ThinkingDelta) and event.extras:
            own_extras(event.extras, NAME, self._losses, f"content[{event.index}]", "info")
        if isinstance(event, TextDelta | RefusalDelta) and event.logprobs:
            self._losses.add("logprobs", f"{NAME} does not tell probabilities", "info")
        if isinstance(event, TextDelta | RefusalDelta):
            block.said = True
            return b'%b{"text":%b}}}\n\n' % (block.head, encode(event.text))
        if isinstance(event, ThinkingDelta):
            return block.delta({"reasoningContent": {"text": event.text}})
        if isinstance(block.part, ToolCall) and block.part.kind != "function":
            block.held.append(event.text)
            return b""
        return block.delta({"toolUse": {"input": event.text}})

    def _begin(self, index: int, part: Part) -> bytes:
        path = f"content[{index}]"
        match part:
            case Text() | Refusal():
                self._add(index, part)
                encode_part(part, path, self._losses, answer=True)
                return self._text(TextDelta(index, part.text)) if part.text else b""
            case Thinking():
                self._add(index, part).held += [part.signature] if part.signature else []
                return self._text(ThinkingDelta(index, part.text)) if part.text else b""
            case ToolCall():
                block = self._add(index, part)
                start = b""
                if part.kind != "server":
                    self._called = True
                    call = {"toolUse": start_call(part, path, self._losses)}
                    start = frame(encode({"contentBlockStart": {"start": call, "contentBlockIndex": block.index}}))
                return start + self._text(ArgumentsDelta(index, part.arguments)) if part.arguments else start
            case Opaque() if part.dialect != NAME:
                self._add(index, Opaque(part.dialect, dict(part.value)))
                return b""
            case _:
                said = encode_part(part, path, self._losses, answer=True)
                return b"" if said is None else self._add(index, part).delta(said)

    def _add(self, index: int, part: Part) -> _Block:
        block = self._open[index] = _Block(self._blocks, part)
        self._blocks += 1
        return block

    def _end_block(self, block: _Block, whole: Part | None, index: int) -> bytes:
        part, path = whole or block.part, f"content[{index}]"
        held = "".join(block.held)
        last = b""
        if isinstance(whole, Text | Refusal | ToolCall):
            own_extras(whole.extras, NAME, self._losses, path, "info")
        match part:
            case Thinking():
                last = self._end_thought(block, replace(part, signature=held or None) if whole is None else part)
            case ToolCall(kind="custom"):
                given = encode_input(replace(part, arguments=held), path, self._losses, answer=True)
                last = block.delta({"toolUse": {"input": encode_text(given)}})
            case ToolCall(kind="server") | Opaque() if not block.said:
                call = isinstance(part, ToolCall) and whole is None
                sealed = encode_part(replace(part, arguments=held) if call else part, path, self._losses, answer=True)
                last = b"" if sealed is None else block.delta(_as_delta(sealed))
            case Text() | Refusal() if not block.said:
                last = block.delta({"text": ""})
            case _:
                pass
        return last + block.stop

    def _end_thought(self, block: _Block, part: Thinking) -> bytes:
        whole = encode_answer_thought(part)["reasoningContent"]
        if "redactedContent" in whole:
            return block.delta({"reasoningContent": whole})
        signature = whole["reasoningText"].get("signature")
        if signature is not None:
            return block.delta({"reasoningContent": {"signature": signature}})
        return b"" if block.said else block.delta({"reasoningContent": {"text": ""}})


def _as_delta(block: JsonObject) -> JsonObject:
    """In a stream a thought's members are not within `reasoningText`."""
    return {"reasoningContent": block["reasoningContent"]["reasoningText"]}
