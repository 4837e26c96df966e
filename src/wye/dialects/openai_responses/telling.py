"""How each kind of item is told in a stream: what begins it, its pieces, what ends it."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec.structs import replace

from wye.canon.events import ThinkingDelta
from wye.canon.loss import Losses
from wye.canon.parts import Citation, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.dialects.openai_responses.annotations import encode_annotation, needs_text
from wye.dialects.openai_responses.content import form_of
from wye.dialects.openai_responses.items import message_of
from wye.dialects.openai_responses.name import NAME
from wye.dialects.openai_responses.output import (
    COMPLETED,
    complete_logprobs,
    encode_content_part,
    encode_item,
    identity_of,
)
from wye.dialects.openai_responses.reasoning import BREAK, KINDS, encode_thought
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, encode


class Voice(Protocol):
    """Who writes the events, and numbers them."""

    def say(self, kind: str, **members: Any) -> bytes: ...


class Telling(Protocol):
    """An item that is being told."""

    place: int
    whole: JsonObject | None
    """The item as it ended; None until then, or when it became a loss."""

    def begin(self) -> bytes: ...

    def end(self, part: Part | None, losses: Losses) -> bytes:
        """Its part has ended; `part` is the whole of it, where that is more than its pieces."""
        ...


class _Item:
    prefix = "item_"

    def __init__(self, voice: Voice, place: int, part: Part) -> None:
        self.voice = voice
        self.place = place
        self.part = part
        self.identity = identity_of([part]) or new_id(self.prefix)
        self.whole: JsonObject | None = None

    def say(self, kind: str, **members: Any) -> bytes:
        return self.voice.say(kind, item_id=self.identity, output_index=self.place, **members)

    def added(self, item: JsonObject) -> bytes:
        return self.voice.say("response.output_item.added", output_index=self.place, item=item)

    def done(self, whole: JsonObject | None) -> bytes:
        self.whole = whole
        return self.voice.say("response.output_item.done", output_index=self.place, item=whole)


class Message(_Item):
    """A message: its texts are told one by one, and it ends where no further one follows."""

    prefix = "msg_"

    def __init__(self, voice: Voice, place: int, part: Text | Refusal) -> None:
        super().__init__(voice, place, part)
        self._members = message_of(part)[0]
        self._said: list[Said] = []
        self._status: str | None = None
        """Given when it is to end with its last text."""

    def begin(self) -> bytes:
        item: JsonObject = {"id": self.identity, "type": "message", "status": "in_progress", "role": "assistant"}
        return self.added({**item, "content": [], **self._members})

    def add(self, part: Text | Refusal) -> Said:
        said = Said(self, len(self._said), part)
        self._said.append(said)
        return said

    def end(self, part: Part | None, losses: Losses) -> bytes:
        return b"" if self._status is None else self.close(self._status, losses)

    def close(self, status: str, losses: Losses) -> bytes:
        if not all(said.ended for said in self._said):
            self._status = status
            return b""
        group: list[Part] = [said.part for said in self._said]
        whole = encode_item(group, self.place, status, losses, self.identity) or {"content": []}
        for said, content in zip(self._said, whole["content"], strict=True):
            if said.logprobs:
                content["logprobs"] = said.logprobs
        return self.done(whole)


class Said:
    """One text, or refusal, of a message."""

    def __init__(self, message: Message, index: int, part: Text | Refusal) -> None:
        self.message = message
        self.place = message.place
        self.index = index
        self.part: Text | Refusal = replace(part, text="")
        self.pieces: list[str] = []
        self.logprobs: list[Any] = []
        self.ended = False
        self._cited: list[Citation] = []
        self._told = 0
        """How many of the citations were told: from the first on that needs the whole text, they wait for its end."""
        self._kind = "output_text" if isinstance(part, Text) else "refusal"
        delta = b"response.%b.delta" % self._kind.encode()
        where = {"item_id": message.identity, "output_index": message.place, "content_index": index}
        self.prefix = b'event: %b\ndata: {"type":"%b",%b,"sequence_number":' % (delta, delta, encode(where)[1:-1])
        """How each piece begins on the wire, up to its number."""

    def _say(self, kind: str, **members: Any) -> bytes:
        return self.message.say(kind, content_index=self.index, **members)

    def begin(self) -> bytes:
        return self._say("response.content_part.added", part=encode_content_part(self.part, Losses(), ""))

    def tell(self, text: str, logprobs: list[Any] | None = None) -> bytes:
        self.pieces.append(text)
        found = complete_logprobs(logprobs or [])
        self.logprobs += found
        more = {"logprobs": found} if self._kind == "output_text" else {}
        return self._say(f"response.{self._kind}.delta", delta=text, **more)

    def cite(self, citation: Citation) -> bytes:
        self._cited.append(citation)
        if needs_text(citation) or self._told < len(self._cited) - 1:
            return b""
        return self._cite_waiting()

    def _cite_waiting(self) -> bytes:
        length = sum(map(len, self.pieces))
        told = b""
        for citation in self._cited[self._told :]:
            annotation = encode_annotation(citation, length, Losses(), "")
            told += self._say(
                "response.output_text.annotation.added", annotation_index=self._told, annotation=annotation
            )
            self._told += 1
        return told

    def end(self, part: Part | None, losses: Losses) -> bytes:
        self.ended = True
        if isinstance(part, Text | Refusal):
            self.part = part
        elif isinstance(self.part, Text):
            self.part = replace(self.part, text="".join(self.pieces), citations=self._cited)
        else:
            self.part = replace(self.part, text="".join(self.pieces))
        content = encode_content_part(self.part, losses, f"output[{self.place}].content[{self.index}]")
        written: list[bytes] = []
        if self._kind == "output_text":
            content["logprobs"] = self.logprobs
            written.append(self._cite_waiting())
            written.append(self._say("response.output_text.done", text=self.part.text, logprobs=self.logprobs))
        else:
            written.append(self._say("response.refusal.done", refusal=self.part.text))
        written.append(self._say("response.content_part.done", part=content))
        return b"".join(written) + self.message.end(None, losses)


class Call(_Item):
    """A call that the caller is to run."""

    def __init__(self, voice: Voice, place: int, part: ToolCall) -> None:
        self.prefix = "ctc_" if part.kind == "custom" else "fc_"
        super().__init__(voice, place, part)
        self._call = replace(part, arguments="")
        self._first = part.arguments
        self._pieces: list[str] = []
        custom = part.kind == "custom"
        self._event = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
        self._member = "input" if custom else "arguments"

    def begin(self) -> bytes:
        item = encode_item([self._call], self.place, "in_progress", Losses(), self.identity) or {}
        begun = self.added({**item, "status": "in_progress"})
        return begun + self.tell(self._first) if self._first else begun

    def tell(self, text: str) -> bytes:
        self._pieces.append(text)
        return self.say(f"{self._event}.delta", delta=text)

    def end(self, part: Part | None, losses: Losses) -> bytes:
        call = part if isinstance(part, ToolCall) else replace(self._call, arguments="".join(self._pieces))
        done = self.say(f"{self._event}.done", **{self._member: call.arguments})
        return done + self.done(encode_item([call], self.place, COMPLETED, losses, self.identity))


class Thought(_Item):
    """A reasoning item: one text after the other, as `reasoning.joined` put them together."""

    prefix = "rs_"

    def __init__(self, voice: Voice, place: int, part: Thinking) -> None:
        super().__init__(voice, place, part)
        self.signature = part.signature or ""
        self._thought = replace(part, text="")
        self._first = part.text
        self._pieces: list[str] = []
        self._length = 0
        self._starts = _starts(part)
        self._text: tuple[str, int] | None = None
        """The text that is open: its member and its index there."""
        self._from = 0
        """Which of the pieces is its first."""
        self._counts = dict.fromkeys(KINDS, 0)

    def begin(self) -> bytes:
        begun = self.added({"id": self.identity, "type": "reasoning", "summary": []})
        return begun + self.tell(ThinkingDelta(0, self._first)) if self._first else begun

    def tell(self, event: ThinkingDelta) -> bytes:
        if event.extras:
            self._thought.extras = {**(self._thought.extras or {}), **event.extras}
            self._starts = _starts(self._thought)
        written: list[bytes] = []
        text = event.text
        while text:
            opened = sum(self._counts.values())
            after = [start for start, _ in self._starts[opened:]]
            if after and after[0] <= self._length:
                written.append(self._begin_text(self._starts[opened][1]))
            elif not after or self._length < after[0] - len(BREAK):
                end = after[0] - len(BREAK) - self._length if after else len(text)
                written.append(self._tell_text(text[:end]))
                text = text[end:]
            else:
                skipped = text[: after[0] - self._length]
                self._pieces.append(skipped)
                self._length += len(skipped)
                text = text[len(skipped) :]
        return b"".join(written)

    def _begin_text(self, member: str) -> bytes:
        ended = self._end_text()
        self._text, self._from = (member, self._counts[member]), len(self._pieces)
        self._counts[member] += 1
        return ended + self._part("added", "")

    def _tell_text(self, text: str) -> bytes:
        self._pieces.append(text)
        self._length += len(text)
        return self._event("delta", delta=text)

    def _end_text(self) -> bytes:
        if self._text is None:
            return b""
        text = "".join(self._pieces[self._from :])
        if text.endswith(BREAK) and self._length in [start for start, _ in self._starts]:
            text = text.removesuffix(BREAK)
        ended = self._event("done", text=text) + self._part("done", text)
        self._text = None
        return ended

    def _event(self, what: str, **members: Any) -> bytes:
        member, index = self._text or ("summary", 0)
        kind = "reasoning_summary_text" if member == "summary" else "reasoning_text"
        return self.say(f"response.{kind}.{what}", **{f"{member}_index": index}, **members)

    def _part(self, what: str, text: str) -> bytes:
        member, index = self._text or ("summary", 0)
        kind = "reasoning_summary_part" if member == "summary" else "content_part"
        part = {"type": KINDS[member], "text": text}
        return self.say(f"response.{kind}.{what}", **{f"{member}_index": index}, part=part)

    def end(self, part: Part | None, losses: Losses) -> bytes:
        ended = self._end_text()
        told = replace(self._thought, text="".join(self._pieces), signature=self.signature or None)
        return ended + self.done(encode_thought(part if isinstance(part, Thinking) else told, self.identity))


def _starts(thought: Thinking) -> list[tuple[int, str]]:
    """Where each text of a thought begins, as far as it is known."""
    form = form_of(thought.extras)
    found = [(start, member) for member in KINDS for start in as_list(form.get(member)) or ()]
    return sorted(found) or [(0, "summary")]


class Other(_Item):
    """An item that only OpenAI understands, or a seal over what only another vendor does."""

    prefix = "rs_"

    def __init__(self, voice: Voice, place: int, part: Opaque | ToolCall) -> None:
        super().__init__(voice, place, part)
        self._part = part
        self._own = isinstance(part, Opaque) and part.dialect == NAME

    def begin(self) -> bytes:
        if isinstance(self._part, Opaque) and self._own:
            return self.added(self._part.value)
        return self.added({"id": self.identity, "type": "reasoning", "summary": []})

    def tell(self, text: str) -> None:
        """A piece of the arguments of a call that another provider runs."""
        if isinstance(self._part, ToolCall):
            self._part = replace(self._part, arguments=self._part.arguments + text)

    def end(self, part: Part | None, losses: Losses) -> bytes:
        return self.done(encode_item([part or self._part], self.place, COMPLETED, losses, self.identity))
