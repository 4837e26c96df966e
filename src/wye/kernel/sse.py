"""Server-sent events, without I/O: bytes to frames and back.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from typing import NamedTuple

from wye.kernel.errors import BadAnswer
from wye.kernel.json import is_object

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""A frame longer than this ends the stream with an error: memory stays bounded whatever the other side sends."""

# A line may end in LF, CR or CRLF. A CR that ends a chunk may be half of a CRLF: its LF then begins the next frame
# as an empty line, which means nothing.
_BLANK_LINE = re.compile(rb"\n\n|\n\r\n?|\r\r\n?|\r\n\r\n?|\r\n\n")
_ONE_FRAME = re.compile(rb"(?:event: ([^\r\n]*)\n)?data: ([^\r\n]*)\n\n")
"""The two shapes that providers send: nearly always a chunk is one of these."""
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Frame(NamedTuple):
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
    one = _ONE_FRAME.fullmatch(whole)
    if one is not None:
        event: bytes | None = one[1]
        return [Frame(one[2], None if event is None else event.decode("utf-8", "replace"))]
    frames: list[Frame] = []
    if b"\r" in whole:
        whole = _LINE_END.sub(b"\n", whole)
    for block in whole.split(b"\n\n"):
        if not block:
            continue
        # The same two shapes, without a loop over lines.
        if block.startswith(b"data: ") and b"\n" not in block:
            frames.append(Frame(block[6:]))
            continue
        head, _, rest = block.partition(b"\n")
        if head.startswith(b"event: ") and rest.startswith(b"data: ") and b"\n" not in rest:
            frames.append(Frame(rest[6:], head[7:].decode("utf-8", "replace")))
            continue
        named: str | None = None
        data: list[bytes] = []
        for line in block.split(b"\n"):
            name, colon, value = line.partition(b":")
            if not colon and not name:
                continue
            value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                named = value.decode("utf-8", "replace")
        if data:
            frames.append(Frame(b"\n".join(data), named))
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


COMMENT_KEEP_ALIVE = b": keep-alive\n\n"


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
