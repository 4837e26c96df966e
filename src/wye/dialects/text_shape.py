"""Frames of a text under way, known by what they have in common: looked at as little as that allows."""

from __future__ import annotations

import re

import msgspec

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

    __slots__ = ("_after", "_before", "_length", "_quoted", "_tries")

    def __init__(self) -> None:
        self._before = self._after = b""
        """Up to the text, and from its end; the quotes are theirs."""
        self._length = -1
        """Of both; before anything was learned no frame is as long as its text and this."""
        self._quoted = slice(0)
        """Where the text is, with its quotes."""
        self._tries = 0

    def text(self, chunk: bytes) -> str:
        """The text of a chunk that is one frame of this shape; "" for any other, and where the text is empty."""
        if len(chunk.removeprefix(self._before).removesuffix(self._after)) + self._length != len(chunk):
            return ""
        try:
            return _decode(chunk[self._quoted])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""

    def learn(self, frame: bytes) -> None:
        """From a frame that may be passed on as it is."""
        if self._tries < _TRIES:
            self._tries += 1
            found = _TEXT.search(frame)
            if found is not None:
                self._before, self._after = frame[: found.start(1)], frame[found.end(1) :]
                self._length = len(self._before) + len(self._after)
                self._quoted = slice(len(self._before) - 1, 1 - len(self._after))
