"""Frames of a text under way, known by what they have in common: looked at as little as that allows."""

from __future__ import annotations

import re

import msgspec

from wye.canon.events import Event, TextDelta

_TEXT = re.compile(
    rb'"(?:content|text|delta|thinking|reasoning_content|reasoning|partial_json|arguments)"\s*:\s*'
    rb'"((?:[^"\\\x00-\x1f]|\\.)*)"'
)
_TRIES = 8
_decode = msgspec.json.Decoder(str).decode


class TextShape:
    """All bytes of such a frame but its text, learned from one that was looked at.

    A frame of the same bytes before and after, with another JSON string between the quotes, is as good as that one was:
    it holds JSON, and no member that the other had not. Where every frame has another number or padding, it is soon
    given up.
    """

    __slots__ = ("_after", "_before", "_length", "_quoted", "_served", "_tries")

    def __init__(self) -> None:
        self._before = self._after = b""
        """Up to the text, and from its end; the quotes are theirs."""
        self._length = -1
        """Of both; before anything was learned no frame is as long as its text and this."""
        self._quoted = slice(0)
        """Where the text is, with its quotes."""
        self._tries = 0
        """Shapes learned in a row that no other frame had."""
        self._served = False

    def text(self, chunk: bytes) -> str:
        """The text of a chunk that is one frame of this shape; "" for any other, and where the text is empty."""
        if len(chunk.removeprefix(self._before).removesuffix(self._after)) + self._length != len(chunk):
            return ""
        try:
            text = _decode(chunk[self._quoted])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""
        self._served = True
        return text

    def learn(self, frame: bytes) -> str:
        """From a frame that may be passed on as it is. Gives back what `text` would; "" where nothing was learned."""
        self._tries = 0 if self._served else self._tries + 1
        found = _TEXT.search(frame) if self._tries <= _TRIES else None
        if found is None or _TEXT.search(frame, found.end()) is not None:
            return ""
        self._before, self._after = frame[: found.start(1)], frame[found.end(1) :]
        self._length = len(self._before) + len(self._after)
        self._quoted = slice(len(self._before) - 1, 1 - len(self._after))
        text = self.text(frame)
        self._served = False
        return text

    def forget(self) -> None:
        self._length = -1


class MoreText:
    """The short way through a stream decoder: one more piece of the text that is open.

    It is open only as long as nothing else comes. Any other chunk may change what the same bytes mean.
    """

    __slots__ = ("_choice", "_held", "_index", "_shape", "_whole")

    def __init__(self, held: bytearray) -> None:
        """`held` is what the decoder's splitter holds: a chunk that ends a frame is not one itself."""
        self._held = held
        self._shape = TextShape()
        self._index = self._choice = 0
        self._whole = False
        """Whether the chunk under way begins with a frame."""

    def read(self, chunk: bytes) -> list[Event]:
        """The one event of a chunk like the last; none for a chunk that is to be decoded, and then learned from."""
        text = self._shape.text(chunk)
        if text:
            return [TextDelta(self._index, text, self._choice)]
        self._whole = not self._held
        return []

    def learn(self, chunk: bytes, events: list[Event]) -> None:
        if self._whole and not self._held and len(events) == 1:
            event = events[0]
            if type(event) is TextDelta and event.logprobs is None and event.extras is None:
                self._index, self._choice = event.index, event.choice
                if self._shape.learn(chunk) == event.text:
                    return
        self._shape.forget()
