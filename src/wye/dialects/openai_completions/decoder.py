"""An upstream's stream of text completions, as events.

https://platform.openai.com/docs/api-reference/completions/object
"""

from __future__ import annotations

from wye.canon.events import (
    Aside,
    Event,
    Finish,
    PartEnd,
    PartStart,
    Start,
    TextDelta,
)
from wye.canon.extras import Extras, extras_of
from wye.canon.parts import Text
from wye.canon.response import FinishReason
from wye.dialects.openai_chunks import ChunkDecoder
from wye.dialects.openai_completions.logprobs import take_logprobs
from wye.dialects.openai_completions.name import NAME
from wye.dialects.openai_completions.response import take_finish, take_head
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject

_PLAIN_CHOICE = frozenset({"index", "text", "finish_reason", "logprobs"})


class _Choice:
    """One answer of several: a single text."""

    __slots__ = ("_begun", "_index", "finished")

    def __init__(self, index: int) -> None:
        self._index = index
        self._begun = False
        self.finished = False

    def read(self, members: JsonObject, events: list[Event]) -> None:
        text = members.get("text")
        plain = self._begun and not self.finished and members.keys() <= _PLAIN_CHOICE
        if plain and isinstance(text, str) and not members.get("logprobs") and not members.get("finish_reason"):
            # Nearly every chunk: a piece of the text that is already open.
            if text:
                events.append(TextDelta(0, text, self._index))
            return
        left = dict(members)
        left.pop("index", None)
        if isinstance(text, str):
            del left["text"]
        else:
            text = ""
        logprobs = take_logprobs(left)
        reason, finish = take_finish(left)
        if (text or logprobs) and not self.finished:
            if not self._begun:
                self._begun = True
                events.append(PartStart(0, Text(""), self._index))
            events.append(TextDelta(0, text, self._index, logprobs))
        news = {name: value for name, value in left.items() if value is not None}
        if news:
            events.append(Aside({NAME: news}, self._index))
        if reason is not None:
            self.finish(events, reason, extras_of(NAME, finish))

    def finish(self, events: list[Event], reason: FinishReason = "stop", extras: Extras | None = None) -> None:
        """Idempotent: an upstream that gives no reason, or gives it twice, ends a choice once."""
        if self.finished:
            return
        self.finished = True
        if self._begun:
            events.append(PartEnd(0, self._index))
        events.append(Finish(reason, self._index, extras=extras))


class Decoder(ChunkDecoder):
    name = NAME
    choice = _Choice

    def begin(self, left: JsonObject) -> Start:
        identity, model, created = take_head(left)
        return Start(identity or new_id("cmpl-"), model or "", created, extras=extras_of(NAME, dict(left)))
