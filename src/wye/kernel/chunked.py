"""The framing of a body that is sent in chunks: https://www.rfc-editor.org/rfc/rfc9112#section-7.1

The chunks of streams are short, and have few lengths: the line that begins each is made once.
"""

from __future__ import annotations

_KEPT_BELOW_BYTES = 4096
"""The lines of longer chunks are not kept: memory stays bounded."""


class _Lines(dict[int, bytes]):
    """By the size of the data."""

    def __missing__(self, size: int) -> bytes:
        line = b"%x\r\n" % size
        if size < _KEPT_BELOW_BYTES:
            self[size] = line
        return line


class _LinesOfChunks(dict[int, bytes]):
    def __missing__(self, length: int) -> bytes:
        # What is not data is a digit for each four bits of its size, and two line ends.
        sizes = range(max(1, length - 20), length - 4)
        line = next((_lines[size] for size in sizes if len(_lines[size]) + size + 2 == length), b"")
        if length < _KEPT_BELOW_BYTES:
            self[length] = line
        return line


_lines = _Lines()
lines_of_chunks = _LinesOfChunks()
"""How a chunk begins that is so long, with its framing. b"" where none with data is."""


def framed(data: bytes) -> bytes:
    """One chunk. `data` is not empty: an empty chunk would end the body."""
    return _lines[len(data)] + data + b"\r\n"
