"""All that is kept of files and documents, and the work on them."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from wye.kernel import clock
from wye.knowledge.ingest import Ingest
from wye.knowledge.intake import Intake
from wye.knowledge.retrieve import Retriever
from wye.ports.blobs import Blobs, BlobsAway
from wye.ports.jobs import Jobs
from wye.ports.reading import Reader
from wye.ports.store import Store, StoreAway, StoredDocument, StoredFile

UPLOADED = "document"
"""The purpose of a file that came as a document: it goes with it."""
_TIDIED_S = 60.0
_TIDIED_AT_ONCE = 1000
_INDEXED_AT_ONCE = 200
"""What is read for the first time waits no longer than for these."""
_AFTER_ERROR_S = 5.0
_LEFT_OVER_S = 24 * 3600.0
log = logging.getLogger("wye")


class Library:
    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        jobs: Jobs,
        reader: Reader,
        retriever: Retriever,
        folder: Path,
        *,
        max_bytes: int,
        readers: int,
    ) -> None:
        """`folder` is for files under way. `readers` documents are read at one time in this process; with 0 other
        processes read them."""
        self.store = store
        self.retriever = retriever
        self.blobs = blobs
        self.intake = Intake(store.files, blobs, folder, max_bytes)
        self.ingest = Ingest(store.documents, blobs, reader, folder)
        self._jobs = jobs
        self._folder = folder
        self._readers = readers
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._tidy())]
        if self._readers:
            self._tasks.append(asyncio.create_task(self._read()))

    async def work(self, readers: int) -> None:
        """Read documents until cancelled."""
        await self._jobs.run(self.ingest.read, self.store.documents.fail, concurrency=readers)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._jobs.close()
        await self.blobs.close()
        await self.store.close()

    async def read(self, file: StoredFile) -> StoredDocument:
        """Have a file read: once, whoever else asks for it at the same time. The document's row is there when this
        returns, and its reading is a job."""
        now = clock.wall_s()
        document = StoredDocument(
            id=f"doc-{file.id.removeprefix('file-')}",
            principal=file.principal,
            file=file,
            status="uploaded",
            created_s=now,
            updated_s=now,
        )
        await self.store.documents.add(document)
        await self._jobs.add(document.id)
        return document

    async def read_again(self, document: StoredDocument) -> None:
        """Have a document read that failed; what made it fail may be over."""
        await self.store.documents.renew(document.id)
        await self._jobs.add(document.id)

    async def give_up(self, document: StoredDocument, reason: str) -> None:
        """Have a document read no further."""
        await self.store.documents.fail(document.id, reason)
        await self._jobs.remove(document.id)

    async def delete_file(self, principal: str, file_id: str) -> StoredFile | None:
        """With its content and the documents made of it. Raises BlobsAway, and then nothing is deleted."""
        file = await self.store.files.get(principal, file_id)
        return await self._delete(file) if file is not None else None

    async def delete_document(self, principal: str, document_id: str) -> StoredDocument | None:
        """With its file, where that came as a document. Raises BlobsAway, and then nothing is deleted."""
        document = await self.store.documents.get(principal, document_id)
        if document is None:
            return None
        await self._jobs.remove(document_id)
        if document.file.purpose == UPLOADED:
            await self._delete(document.file)
        else:
            await self.store.documents.delete(principal, document_id)
        return document

    async def _delete(self, file: StoredFile) -> StoredFile | None:
        # The content first: of one that nothing names any longer nobody would know.
        await self.blobs.delete(file.blob)
        return await self.store.files.delete(file.principal, file.id)

    async def _read(self) -> None:
        while True:
            try:
                await self.work(self._readers)
            except Exception:  # the edge of a task that nobody awaits: an error must not end the reading for good
                log.exception("Documents are not read for a moment")
                await asyncio.sleep(_AFTER_ERROR_S)

    async def _tidy(self) -> None:
        """What nobody asks for, but must be done: at the start, and now and then."""
        while True:
            try:
                # Their process died between the row and the job.
                for document_id in await self.store.documents.unfinished(_TIDIED_AT_ONCE):
                    await self._jobs.add(document_id)
                await self._index_anew()
                for file in await self.store.files.expired(clock.wall_s(), _TIDIED_AT_ONCE):
                    await self._delete(file)
                await asyncio.to_thread(self._sweep)
            except (StoreAway, BlobsAway, OSError) as error:
                log.debug("not tidied: %s", error)
            await asyncio.sleep(_TIDIED_S)

    async def _index_anew(self) -> None:
        """What another model than today's has indexed, or none, because it was away."""
        reader = self.ingest.reader
        if reader.embedding_model is not None:
            several = _INDEXED_AT_ONCE if reader.away is None else 1
            for document_id in await self.store.documents.unindexed(reader.embedding_model, several):
                await self._jobs.add(document_id)

    def _sweep(self) -> None:
        """Files that were under way when their process died."""
        for path in self._folder.glob("*"):
            if path.is_file() and clock.wall_s() - path.stat().st_mtime > _LEFT_OVER_S:
                path.unlink(missing_ok=True)
