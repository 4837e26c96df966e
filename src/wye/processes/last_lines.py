"""What a child process said last on its standard error: the reason of its end, most often."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

_KEPT_LINES = 64
_MAX_LINE = 2000


class LastLines:
    """The last lines, and no more: neither their length nor their number is bounded where they come from."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    @property
    def latest(self) -> str:
        return self._lines[-1] if self._lines else "it said nothing"

    def clear(self) -> None:
        self._lines.clear()

    async def read(self, stderr: asyncio.StreamReader) -> None:
        """Until the child closes it."""
        rest = b""
        while block := await stderr.read(4096):
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[:_MAX_LINE]
            for line in lines:
                self._keep(line)
        self._keep(rest)

    def _keep(self, line: bytes) -> None:
        # A model's or a document's own words may be in there: nothing that a terminal would obey.
        text = "".join(c for c in line[:_MAX_LINE].decode("utf-8", "replace") if c.isprintable()).strip()
        if text:
            self._lines.append(text)
