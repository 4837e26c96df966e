"""Contents as files in a folder. Implements `ports.blobs.Blobs`."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from wye.ports.blobs import BlobsAway

_PIECE_BYTES = 256 * 1024


class DiskBlobs:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, source: Path) -> None:
        await asyncio.to_thread(self._put, key, source)

    def _put(self, key: str, source: Path) -> None:
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                source.replace(path)
            except OSError:  # another disk: copied beside its place, so that it is there whole or not at all
                beside = path.with_suffix(".new")
                shutil.copyfile(source, beside)
                beside.replace(path)
                source.unlink()
            _sync_folder(path.parent)
        except OSError as error:
            raise BlobsAway(f"The file cannot be kept: {error.strerror}") from error

    async def read(self, key: str) -> AsyncIterator[bytes]:
        with await asyncio.to_thread(self._path(key).open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                yield piece

    async def fetch(self, key: str, folder: Path) -> Path:
        path = self._path(key)
        await asyncio.to_thread(path.stat)
        return path

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

    async def close(self) -> None:
        """Nothing is open between operations."""

    def _path(self, key: str) -> Path:
        """Spread over folders by the end of the key, which is random: some file systems are slow with large ones."""
        return self._folder / key[-2:] / key


def _sync_folder(folder: Path) -> None:
    """A new name in a folder is lost with the power until the folder itself is written."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
