"""From a file to a document that can be asked: extract -> split -> keep -> index. Done again it leaves the same."""

from __future__ import annotations

import logging
import tempfile
from functools import partial
from pathlib import Path

from wye.kernel import clock
from wye.ports.blobs import Blobs, BlobsAway
from wye.ports.jobs import GiveUp
from wye.ports.reading import Progress, Reader
from wye.ports.store import Documents, StoredDocument

_EXTRACTED, _INDEXED = 40, 99
"""Percent, when a step is done. Ready is 100."""
_TOLD_EVERY_S = 0.2
log = logging.getLogger("wye")


class Ingest:
    def __init__(self, documents: Documents, blobs: Blobs, reader: Reader, folder: Path) -> None:
        """`folder` is for contents that must be files while they are read."""
        self._documents = documents
        self._blobs = blobs
        self.reader = reader
        self._folder = folder

    async def read(self, document_id: str) -> None:
        """The work of one job; nothing is done while contents are away. Raises GiveUp where trying again would not
        help."""
        document = await self._documents.load(document_id)
        if document is None or document.status == "failed":
            return  # deleted meanwhile; or done, by a process that died before it could say so
        if document.status == "ready":
            await self._index(document)
            return
        await self._documents.progress(document_id, 0)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            try:
                path = await self._blobs.fetch(document.file.blob, Path(folder))
            except FileNotFoundError:
                raise GiveUp("The content of the file is gone") from None
            except BlobsAway as error:  # nobody's failure: it stays unfinished, and that is looked for each minute
                log.warning("%s waits: %s", document_id, error.message)
                return
            await self._read(document, path)

    async def _read(self, document: StoredDocument, path: Path) -> None:
        extracted = await self.reader.extract(path, document.file.content_type, self._part(document, 0, _EXTRACTED))
        passages = self.reader.split(extracted)
        if not passages:
            raise GiveUp(" ".join(("There is no text in it.", *extracted.notes)))
        if not await self._documents.keep(document.id, passages):
            return  # deleted meanwhile
        model = await self.reader.index(document.id, passages, self._part(document, _EXTRACTED, _INDEXED))
        await self._documents.finish(document.id, pages=extracted.pages, notes=extracted.notes, embedding_model=model)
        log.info("%s: %s is ready, %d passages", document.id, document.file.filename, len(passages))

    async def _index(self, document: StoredDocument) -> None:
        """Make vectors of a document that is ready: by another model than before, or because that was away."""
        passages = await self._documents.passages(document.id)
        model = await self.reader.index(document.id, passages, _nobody)
        if model is not None:
            await self._documents.indexed(document.id, model)
            log.info("%s: %s is indexed by %s", document.id, document.file.filename, model)

    def _part(self, document: StoredDocument, start: int, end: int) -> Progress:
        """Tells a step's progress as the document's, not more often than anybody wants to see it."""
        told = _Told(start)
        return partial(self._tell, document.id, start, end, told)

    async def _tell(self, document_id: str, start: int, end: int, told: _Told, share: float) -> None:
        percent = start + int((end - start) * min(max(share, 0.0), 1.0))
        now = clock.monotonic_s()
        if percent > told.percent and now - told.at_s >= _TOLD_EVERY_S:
            told.percent, told.at_s = percent, now
            await self._documents.progress(document_id, percent)


class _Told:
    def __init__(self, percent: int) -> None:
        self.percent = percent
        self.at_s = 0.0


async def _nobody(_: float) -> None:
    """Who can ask a document already is not told how it goes on."""
