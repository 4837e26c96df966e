"""Events as the chunks that clients of OpenAI's older API expect: each a completion that holds a piece of the text.

https://platform.openai.com/docs/api-reference/completions/object
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wye.canon.events import (
    Aside,
    CitationDelta,
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
    ThinkingDelta,
    UsageReport,
)
from wye.canon.extras import PROGRESS, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import Refusal, Text
from wye.canon.request import ChatRequest
from wye.canon.response import Logprobs
from wye.canon.usage import Usage
from wye.dialects.openai_completions.logprobs import encode_logprobs
from wye.dialects.openai_completions.name import NAME
from wye.dialects.openai_completions.response import (
    OBJECT,
    encode_reason,
    note_stop_sequence,
    note_tier,
    prompt_to_repeat,
    text_of,
)
from wye.dialects.openai_errors import encode_stream_error
from wye.dialects.openai_tap import DONE
from wye.dialects.openai_usage import encode_usage
from wye.kernel import clock
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, encode


class Encoder:
    """Implements `dialects.dialect.StreamEncoder`: one id in all chunks."""

    def __init__(self, request: ChatRequest, losses: Losses) -> None:
        self._model = request.model
        self._include_usage = bool(request.include_usage)
        self._prompt = prompt_to_repeat(request)
        self._losses = losses
        self._prefix = b""
        self._usage: Usage | None = None
        self._members: JsonObject = {}
        """Members of the whole answer that came on the way; said with the next chunk."""
        self._choices: dict[int, _Choice] = {}

    def encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(logprobs=None, extras=None):
                tell = self.further(event)
                return self._say(event.choice, event.text) if tell is None else tell(event.text)
            case TextDelta():
                path = f"choices[{event.choice}].content[{event.index}]"
                own_extras(event.extras, NAME, self._losses, path, "info")
                return self._say(event.choice, event.text, event.logprobs)
            case RefusalDelta():
                return self._say(event.choice, event.text, event.logprobs)
            case Start():
                return self._start(event)
            case PartStart():
                path = f"choices[{event.choice}].content[{event.index}]"
                text = text_of(event.part, self._losses, path)
                return self._say(event.choice, text) if text else b""
            case PartEnd(part=Text() | Refusal() as whole):
                path = f"choices[{event.choice}].content[{event.index}]"
                own_extras(whole.extras, NAME, self._losses, path, "info")
                return b""
            case CitationDelta():
                path = f"choices[{event.choice}].content[{event.index}].citations"
                self._losses.add(path, f"{NAME} has no citations", "info")
                return b""
            case ThinkingDelta(extras=extras):
                own_extras(extras, NAME, self._losses, f"choices[{event.choice}].content[{event.index}]", "info")
                return b""
            case Finish():
                return self._finish(event)
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                self._members.update(own_extras(event.extras, NAME, self._losses, "", "info"))
                return b""
            case Aside(choice=None):
                self._members.update(own_extras(event.extras, NAME, self._losses, "", "info"))
                return b""
            case Aside():
                at = event.choice or 0
                own = own_extras(event.extras, NAME, self._losses, f"choices[{at}]", "info")
                return self._say(at, "", members=own) if own else b""
            case Ping(told) if told is not None:
                self._members[PROGRESS] = told
                return self._say(0, "")
            case End():
                return self._end()
            case Failure():
                return encode_stream_error(event.error, "")
            case _:
                return b""  # of a part that is no text, whose start has named the loss

    def further(self, event: Event) -> Callable[[str], bytes] | None:
        if type(event) is TextDelta and event.logprobs is None and event.extras is None and not self._members:
            choice = self._choices.get(event.choice)
            if choice is not None:
                return choice.tell
        return None

    def _start(self, event: Start) -> bytes:
        head: JsonObject = {
            "id": event.id or new_id("cmpl-"),
            "object": OBJECT,
            "created": clock.unix_s() if event.created is None else event.created,
            "model": event.model or self._model,
        }
        note_tier(event.service_tier, self._losses)
        head.update(own_extras(event.extras, NAME, self._losses, "", "info"))
        self._usage = event.usage
        self._prefix = b"data: " + encode(head)[:-1]
        return b""

    def _say(self, index: int, text: str, logprobs: Logprobs | None = None, members: JsonObject | None = None) -> bytes:
        """A chunk of one choice; its first begins with the prompt, where the caller wants that repeated.

        `members` are further ones of the choice.
        """
        choice = self._choices.get(index)
        if choice is None:
            usage = b',"usage":null' if self._include_usage else b""
            choice = self._choices[index] = _Choice(self._prefix + usage, index)
            text = self._prompt + text
        told: JsonObject = {"text": text, "index": index, "logprobs": None, "finish_reason": None}
        if logprobs:
            told["logprobs"] = encode_logprobs(logprobs, self._losses, f"choices[{index}]", choice.said)
        choice.said += len(text)
        return self._chunk([{**told, **(members or {})}])

    def _chunk(self, choices: list[JsonObject], **members: Any) -> bytes:
        if self._members:
            members = {**self._members, **members}
            self._members = {}
        if self._include_usage:
            members.setdefault("usage", None)
        return b"%b,%b\n\n" % (self._prefix, encode({"choices": choices, **members})[1:])

    def _finish(self, event: Finish) -> bytes:
        path = f"choices[{event.choice}]"
        note_stop_sequence(event.stop_sequence, self._losses, path)
        own = dict(own_extras(event.extras, NAME, self._losses, path, "info"))
        reason = encode_reason(event.reason, own, self._losses, path)
        return self._say(event.choice, "", members={"finish_reason": reason, **own})

    def _end(self) -> bytes:
        if self._include_usage and self._usage is not None:
            return self._chunk([], usage=encode_usage(self._usage, self._losses, NAME)) + DONE
        return self._chunk([]) + DONE if self._members else DONE


class _Choice:
    """What must be known of one choice to continue it. `prefix` and `suffix` stand around a plain chunk's text."""

    __slots__ = ("prefix", "said", "suffix")

    def __init__(self, prefix: bytes, index: int) -> None:
        self.prefix = b'%b,"choices":[{"text":' % prefix
        self.suffix = b',"index":%d,"logprobs":null,"finish_reason":null}]}\n\n' % index
        self.said = 0
        """Characters of text so far."""

    def tell(self, text: str) -> bytes:
        """A chunk of text and nothing else."""
        self.said += len(text)
        return self.prefix + encode(text) + self.suffix
