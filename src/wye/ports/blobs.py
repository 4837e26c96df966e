"""The content of files: bytes under a key, on a disk or in an object store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from wye.kernel.errors import CapacityError


class BlobsAway(CapacityError):
    """The place of contents cannot be reached, or is full."""

    code = "blobs_away"


class Blobs(Protocol):
    """Keys are made by Wye: letters, digits, `-` and `_`. Every operation may raise BlobsAway."""

    async def put(self, key: str, source: Path) -> None:
        """Take a file over, whole or not at all; afterwards `source` is no longer there."""
        ...

    def read(self, key: str) -> AsyncIterator[bytes]:
        """In pieces. Raises FileNotFoundError before the first."""
        ...

    async def fetch(self, key: str, folder: Path) -> Path:
        """The content as a file to read, not to change: in `folder`, or where it is kept. Raises FileNotFoundError."""
        ...

    async def delete(self, key: str) -> None:
        """Nothing happens when there is none."""
        ...

    async def close(self) -> None: ...
