"""Server-sent events, without I/O: bytes to frames and back.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re

import msgspec

from wye.kernel.errors import BadAnswer
from wye.kernel.json import is_object

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""A frame longer than this ends the stream with an error: memory stays bounded whatever the other side sends."""

# A line may end in LF, CR or CRLF. A CR that ends a chunk may be half of a CRLF: its LF then begins the next frame
# as an empty line, which means nothing.
_BLANK_LINE = re.compile(rb"\n\n|\n\r\n?|\r\r\n?|\r\n\r\n?|\r\n\n")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CR = 13  # as a number: in bytes it is searched for ten times faster than as bytes


class Frame(msgspec.Struct, frozen=True, gc=False):
    data: bytes
    event: str | None = None


class FrameSplitter:
    """Cuts a byte stream after each blank line: `feed` gives back the complete frames, as they came.

    Each byte is searched once, however small the chunks are. Raises BadAnswer for a frame beyond MAX_FRAME_BYTES.
    """

    __slots__ = ("_searched", "held")

    def __init__(self) -> None:
        self.held = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> bytes:
        """All complete frames so far, in one piece; b"" when none ended yet."""
        held = self.held
        if not held and chunk.endswith(b"\n\n"):
            return chunk
        held += chunk
        end = 0
        # A border of two or three bytes may straddle two chunks: step back over what may be its beginning.
        for found in _BLANK_LINE.finditer(held, max(0, self._searched - 3)):
            end = found.end()
        whole = bytes(held[:end])
        del held[:end]
        self._searched = len(held)
        if len(held) > MAX_FRAME_BYTES:
            raise BadAnswer(f"The upstream sent a stream frame of more than {MAX_FRAME_BYTES} bytes")
        return whole

    def close(self) -> bytes:
        """A last frame that the sender did not end, ended; b"" when there is none."""
        tail = bytes(self.held)
        self.held.clear()
        return tail + b"\n\n" if tail.strip() else b""


def parse(whole: bytes) -> list[Frame]:
    """The frames with data in bytes that hold whole frames. Comments, ids and retry times are dropped."""
    if _CR in whole:
        whole = _LINE_END.sub(b"\n", whole)
    frames: list[Frame] = []
    named: str | None = None
    data: list[bytes] = []
    for line in whole.split(b"\n"):
        if line[:6] == b"data: ":  # nearly every line that is not blank
            data.append(line[6:])
        elif line:
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                named = value.removeprefix(b" ").decode("utf-8", "replace")
        elif data:
            frames.append(Frame(data[0] if len(data) == 1 else b"\n".join(data), named))
            named, data = None, []
        else:
            named = None
    return frames


class SseDecoder:
    """Chunks in, frames out. A byte-order mark at the start is dropped."""

    __slots__ = ("_splitter", "_started", "held")

    def __init__(self) -> None:
        self._splitter = FrameSplitter()
        self.held = self._splitter.held
        """What has come of a frame that has not ended."""
        self._started = False

    def feed(self, chunk: bytes) -> list[Frame]:
        whole = self._splitter.feed(chunk)
        if not whole:
            return []
        if not self._started:
            self._started = True
            whole = whole.removeprefix(b"\xef\xbb\xbf")
        return parse(whole)

    def close(self) -> list[Frame]:
        """A last frame that the sender did not end. Whether it is whole, its reader must judge."""
        return parse(self._splitter.close())


def frame(data: bytes, event: str | None = None) -> bytes:
    """One frame on the wire. `data` holds no line break: JSON written by Wye never does."""
    if event is None:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


def is_plain(whole: bytes) -> bool:
    """Whether whole frames are JSON objects and none is named an error. Any other is for the decoder to judge: what a
    caller cannot parse must not reach it, and what holds no data is no progress."""
    if whole.startswith(b"data: {") and whole.find(b"\n") == len(whole) - 2:
        return is_object(whole[6:])
    frames = parse(whole)
    return bool(frames) and all(found.event != "error" and is_object(found.data) for found in frames)


def split(whole: bytes) -> list[bytes]:
    """Whole frames, one by one, each with the blank line that ends it."""
    if b"\r" not in whole:
        return [part + b"\n\n" for part in whole.split(b"\n\n")[:-1]]
    splitter = FrameSplitter()
    pieces = [splitter.feed(line) for line in whole.splitlines(keepends=True)]
    return [piece for piece in pieces if piece]
