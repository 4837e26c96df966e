"""Frames of a text, a thought or arguments under way, known by what they have in common: looked at as little as that
allows."""

from __future__ import annotations

import re

import msgspec

from wye.canon.events import ArgumentsDelta, Event, TextDelta, ThinkingDelta
from wye.kernel.chunked import lines_of_chunks

_TEXT = re.compile(
    rb'"(?:content|text|delta|thinking|reasoning_content|reasoning|partial_json|arguments)"\s*:\s*'
    rb'"([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"'
)
_NUMBER = re.compile(rb'"sequence_number"\s*:\s*([1-9][0-9]*)(?=,)')
_PADDING = re.compile(rb'"obfuscation"\s*:\s*"([0-9A-Za-z]+)"(?=\}\n\n\Z)')
_TRIES = 8
# Pieces of a text are short. The pattern remembers each escape that it passes: not those of megabytes.
_MAX_LEARNED_BYTES = 16_384
_LENGTHS = 64
"""So many lengths of chunks are known at a time."""
_decode = msgspec.json.Decoder(str).decode


class TextShape:
    """All bytes of such a frame but its text, learned from one that was looked at.

    A frame of the same bytes before and after, with another JSON string between the quotes, is as good as that one was:
    it holds JSON, and no member that the other had not. OpenAI's may also be numbered, before their text, and padded
    against traffic analysis, at their end. Where more differs from frame to frame, it is soon given up.
    """

    __slots__ = (
        "_after",
        "_after_in_chunk",
        "_before",
        "_in_chunks",
        "_length",
        "_more_differs",
        "_numbered",
        "_padded",
        "_quoted",
        "_served",
        "_tries",
        "known",
    )

    def __init__(self) -> None:
        self.known = False
        """Whether anything is."""
        self._before = self._after = b""
        """Up to the first of what differs, and from the end of the last; quotes are theirs."""
        self._length = -1
        """Of both; before anything was learned no frame is as long as what differs and this."""
        self._quoted = slice(0)
        """Where the rest is, with a byte more on either side: of a text alone these are its quotes."""
        self._in_chunks: dict[int, tuple[bytes, int, slice]] = {}
        """The same by the length of a chunk of HTTP/1.1: what is before, with the line that begins the chunk, the
        length of what differs, and where that is."""
        self._after_in_chunk = b""
        self._more_differs = False
        """Whether more than the text does."""
        self._numbered = self._padded = b""
        """From the number's end to the text, and from the text's to the padding; empty where there is none."""
        self._tries = 0
        """Shapes learned in a row that no other frame had."""
        self._served = False

    def text(self, frame: bytes) -> str:
        """The text of bytes that are one frame of this shape; "" for any other, and where the text is empty."""
        if len(frame.removeprefix(self._before).removesuffix(self._after)) + self._length != len(frame):
            return ""
        return self._text(frame[self._quoted])

    def text_of_chunk(self, chunk: bytes) -> str:
        """The same of a frame that is the data of a chunk of HTTP/1.1, which is here whole and framed as is usual."""
        length = len(chunk)
        before, left, quoted = self._in_chunks.get(length) or self._in_chunk(length)
        if len(chunk.removeprefix(before).removesuffix(self._after_in_chunk)) != left:
            return ""
        return self._text(chunk[quoted])

    def texts_of_chunks(self, chunks: bytes) -> list[str]:
        """The same of several such chunks, one after the other; none where one of them is another."""
        befores = chunks.split(self._after_in_chunk) if self.known else [b"."]
        if befores.pop():
            return []
        texts: list[str] = []
        for begun in befores:
            # What ends a chunk has a line end, which no JSON string has: it is no part of a text.
            text = self.text_of_chunk(begun + self._after_in_chunk)
            if not text:
                return []
            texts.append(text)
        return texts

    def _in_chunk(self, length: int) -> tuple[bytes, int, slice]:
        line = lines_of_chunks[length]
        if not line or not self.known or length > _MAX_LEARNED_BYTES:
            return b"", -1, slice(0)
        if len(self._in_chunks) >= _LENGTHS:
            self._in_chunks.clear()
        before, after = line + self._before, self._after_in_chunk
        quoted = slice(len(before) - 1, 1 - len(after))
        self._in_chunks[length] = known = before, length - len(before) - len(after), quoted
        return known

    def _text(self, quoted: bytes) -> str:
        if self._more_differs:
            quoted = self._text_alone(quoted[1:-1])
        try:
            text = _decode(quoted)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""
        self._served = True
        return text

    def _text_alone(self, text: bytes) -> bytes:
        """The text of what differs; b"" when it is no number, or no padding, that stands beside it."""
        if self._numbered:
            number, _, text = text.partition(self._numbered)
            if not number.isdigit() or number[:1] == b"0":
                return b""
        if self._padded:
            text, _, padding = text.partition(self._padded)
            if not padding.isalnum():
                return b""
        return b'"' + text + b'"'

    def learn(self, frame: bytes, *, numbered: bool = True) -> str:
        """From a frame that may be passed on as it is, also with another number if it is `numbered`.

        Gives back what `text` would; "" where nothing was learned.
        """
        self._tries = 0 if self._served else self._tries + 1
        worthwhile = self._tries <= _TRIES and len(frame) <= _MAX_LEARNED_BYTES
        found = _TEXT.search(frame) if worthwhile else None
        if found is None or _TEXT.search(frame, found.end()) is not None:
            return ""
        if frame.find(b"\\", 0, found.start(1)) >= 0 or frame.find(b"\\", found.end(1)) >= 0:
            return ""  # a name may be written with escapes: another member could be the text
        number = _NUMBER.search(frame, 0, found.start()) if numbered else None
        padding = _PADDING.search(frame, found.end())
        self._before = frame[: (number or found).start(1)]
        self._after = frame[(padding or found).end(1) :]
        self._length = len(self._before) + len(self._after)
        self._quoted = slice(len(self._before) - 1, 1 - len(self._after))
        self._more_differs = number is not None or padding is not None
        self._numbered = frame[number.end(1) : found.start(1)] if number is not None else b""
        self._padded = frame[found.end(1) : padding.start(1)] if padding is not None else b""
        self._in_chunks.clear()
        self._after_in_chunk = self._after + b"\r\n"
        self.known = True
        text = self.text(frame)
        self._served = False
        return text

    def forget(self) -> None:
        self.known = False
        self._length = -1
        self._in_chunks.clear()


Piece = TextDelta | ThinkingDelta | ArgumentsDelta


class MoreText:
    """The short way through a stream decoder: one more piece of the text that is open.

    It is open only as long as nothing else comes. Any other chunk may change what the same bytes mean.
    """

    __slots__ = ("_choice", "_held", "_index", "_kind", "_kinds", "_numbered", "_whole", "shape")

    def __init__(self, held: bytearray, *kinds: type[Piece], numbered: bool = False) -> None:
        """`held` is what the decoder's splitter holds: a chunk that ends a frame is not one itself. `kinds` are the
        pieces that change nothing in the decoder. `numbered`: nor does the number of a frame."""
        self._held = held
        self._kinds = kinds
        self._numbered = numbered
        self.shape = TextShape()
        self._kind: type[Piece] = TextDelta
        self._index = self._choice = 0
        self._whole = False
        """Whether the chunk under way begins with a frame."""

    def read(self, chunk: bytes) -> Piece | None:
        """The one event of a chunk like the last; None for a chunk that is to be decoded, and then learned from."""
        text = self.shape.text(chunk)
        if text:
            return self._kind(self._index, text, self._choice)
        self._whole = not self._held
        return None

    def learn(self, chunk: bytes, events: list[Event]) -> None:
        if self._whole and not self._held and len(events) == 1:
            event = events[0]
            if isinstance(event, self._kinds) and event == type(event)(event.index, event.text, event.choice):
                self._kind, self._index, self._choice = type(event), event.index, event.choice
                if event.text and self.shape.learn(chunk, numbered=self._numbered) == event.text:
                    return
        self.shape.forget()
