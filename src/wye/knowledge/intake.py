"""A file comes in: in pieces, straight to a disk, measured and looked at on its way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from wye.kernel import clock
from wye.kernel.errors import BadRequest, TooLarge
from wye.kernel.ids import new_id
from wye.knowledge.kinds import SNIFFED_BYTES, kind_of
from wye.knowledge.names import safe_name
from wye.ports.blobs import Blobs, BlobsAway
from wye.ports.store import Files, StoredFile

_WRITTEN_BYTES = 1024 * 1024
"""Pieces are gathered so far before a thread writes them: each trip to a thread costs more than a small piece does."""


class Intake:
    def __init__(self, files: Files, blobs: Blobs, folder: Path, max_bytes: int) -> None:
        """`folder` holds what is under way; on the disk of the blobs, where they are on a disk."""
        self._files = files
        self._blobs = blobs
        self._folder = folder
        self.max_bytes = max_bytes

    @asynccontextmanager
    async def receive(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Received]:
        """Write a file to the disk, to be kept by `keep` within this context; otherwise nothing of it is left.

        Raises TooLarge as soon as there are too many bytes, BadRequest for an empty one, BlobsAway.
        """
        received = await asyncio.to_thread(Received, self._folder)
        try:
            await self._receive(received, pieces)
            yield received
        finally:
            received.close()

    def kind(self, received: Received, filename: str) -> str:
        """The media type of what was received, under the name that its sender gave it."""
        return kind_of(received.head, received.tail, safe_name(filename))

    async def keep(
        self, received: Received, principal: str, filename: str, *, purpose: str, expires_after_s: float | None = None
    ) -> StoredFile:
        """Its content and its row are on the disk when this returns; neither is when this raises.

        Raises BlobsAway, StoreAway.
        """
        now, name, file_id = clock.wall_s(), safe_name(filename), new_id("file-")
        file = StoredFile(
            id=file_id,
            principal=principal,
            filename=name,
            bytes=received.size,
            content_type=self.kind(received, name),
            sha256=received.sha256.hexdigest(),
            purpose=purpose,
            blob=file_id,
            created_s=now,
            expires_s=None if expires_after_s is None else now + expires_after_s,
        )
        await self._blobs.put(file.blob, received.path)
        try:
            await self._files.add(file)
        except BaseException:
            await self._blobs.delete(file.blob)
            raise
        return file

    async def _receive(self, received: Received, pieces: AsyncIterator[bytes]) -> None:
        waiting: list[bytes] = []
        size = unwritten = 0
        async for piece in pieces:
            size += len(piece)
            unwritten += len(piece)
            if size > self.max_bytes:
                raise too_large(self.max_bytes)
            waiting.append(piece)
            if unwritten >= _WRITTEN_BYTES:
                await asyncio.to_thread(received.write, b"".join(waiting))
                waiting.clear()
                unwritten = 0
        await asyncio.to_thread(received.finish, b"".join(waiting))
        if not size:
            raise BadRequest("The file is empty", param="file")


def too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"File too large: the limit is {max_bytes} bytes (documents.max_upload_mb sets it)", param="file")


class Received:
    """A file on the disk that is not kept yet. Every method may wait for the disk."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=folder)
        except OSError as error:
            raise BlobsAway(f"There is no place for files: {error.strerror}") from error
        self._handle = handle
        self.path = Path(name)
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.head = b""
        self.tail = b""

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self.sha256.update(data)
        if len(self.head) < SNIFFED_BYTES:
            self.head += data[: SNIFFED_BYTES - len(self.head)]
        self.tail = (self.tail + data)[-SNIFFED_BYTES:]
        try:
            while data:
                data = data[os.write(self._handle, data) :]
        except OSError as error:
            raise BlobsAway(f"The file cannot be kept: {error.strerror}") from error

    def finish(self, data: bytes) -> None:
        """The last of it; it is on the disk afterwards."""
        self.write(data)
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)
        self.path.unlink(missing_ok=True)
