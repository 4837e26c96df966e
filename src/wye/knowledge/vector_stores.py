"""Vector stores: collections under the names of OpenAI's API. Files come in, are read once for all stores that hold
them, and are searched together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from wye.kernel import clock
from wye.kernel.errors import BadRequest, NotFound
from wye.kernel.ids import new_id
from wye.knowledge.filters import Filter
from wye.knowledge.library import UPLOADED, Library
from wye.knowledge.retrieve import USUAL, Ranking
from wye.ports.store import Attributes, Batch, Collection, Member, Passage, Source, StoredDocument, StoredFile

MAX_FILES = 10_000
"""Of one store."""
_TOUCHED_S = 60.0
"""That a store is in use is written down no more often."""
_NOTHING: Attributes = {}


class Wish(msgspec.Struct, frozen=True):
    """A file that is to come into a store."""

    file_id: str
    attributes: Attributes = _NOTHING


class Hit(msgspec.Struct, frozen=True):
    """A passage that a search has found."""

    source: Source
    passage: Passage
    score: float
    """0 to 1."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for, and how much of it is wanted."""

    queries: Sequence[str]
    limit: int = 10
    filter: Filter | None = None
    threshold: float = 0.0
    ranking: Ranking = USUAL


class VectorStores:
    def __init__(self, library: Library) -> None:
        self._library = library
        self._collections = library.store.collections

    async def get(self, principal: str, store_id: str) -> Collection:
        """Raises NotFound."""
        found = await self._collections.get(principal, store_id)
        if found is None or found.id != store_id:
            raise no_store(store_id)
        return found

    async def member(self, collection: Collection, file_id: str) -> Member:
        """Raises NotFound."""
        member = await self._collections.member(collection.id, file_id)
        if member is None:
            raise NotFound(
                f"No file '{file_id[:100]}' found in vector store '{collection.id}'",
                param="file_id",
                code="file_not_found",
            )
        return member

    async def attach(self, collection: Collection, wishes: Sequence[Wish], batch_id: str | None = None) -> None:
        """Have files in a store, all of them or none: those that nobody has read yet are read now.

        Raises NotFound for a file that is not there; BadRequest for a store that has expired, or is full.
        """
        if not wishes:
            return
        demand_open(collection)
        wished = {wish.file_id: wish.attributes for wish in wishes}
        files = await self._library.store.files.find(collection.principal, list(wished))
        missing = next((file_id for file_id in wished if file_id not in files), None)
        if missing is not None:
            raise NotFound(f"No such File object: {missing[:100]}", param="file_id", code="file_not_found")
        tally = (await self._collections.tallies([collection.id]))[collection.id]
        if tally.in_progress + tally.completed + tally.failed + tally.cancelled + len(files) > MAX_FILES:
            raise BadRequest(f"A vector store holds at most {MAX_FILES} files", param="file_id")
        documents = await self._documents(collection.principal, files)
        told = {documents[file_id].id: attributes for file_id, attributes in wished.items()}
        await self._collections.put(collection.id, told, batch_id)
        await self._touch(collection)

    async def attach_together(self, collection: Collection, wishes: Sequence[Wish]) -> Batch:
        """Raises as `attach` does."""
        batch = Batch(id=new_id("vsfb_"), collection_id=collection.id, created_s=clock.wall_s())
        await self.attach(collection, wishes, batch.id)
        await self._collections.add_batch(batch)
        return batch

    async def call_back(self, batch: Batch) -> None:
        """What is not read yet of a batch is not read for it any longer."""
        for document in await self._collections.cancel(batch.id):
            if document.file.purpose != UPLOADED:  # what came as a document is read for its own sake
                await self._library.give_up(document, "Its reading was cancelled.")

    async def search(self, collections: Sequence[Collection], search: Search) -> list[Hit]:
        """The best passages first. Raises BadRequest for a store that has expired."""
        for collection in collections:
            demand_open(collection)
            await self._touch(collection)
        sources = {
            source.document_id: source
            for source in await self._collections.sources([collection.id for collection in collections])
            if search.filter is None or search.filter.fits(source.attributes)
        }
        best: dict[tuple[str, int], Hit] = {}
        for query in search.queries:
            found = await self._library.retriever.find(list(sources), query, search.limit, search.ranking)
            for one, score in found:
                key = (one.document_id, one.passage.number)
                if score >= search.threshold and (key not in best or best[key].score < score):
                    best[key] = Hit(sources[one.document_id], one.passage, score)
        return sorted(best.values(), key=lambda hit: -hit.score)[: search.limit]

    async def _documents(self, principal: str, files: Mapping[str, StoredFile]) -> dict[str, StoredDocument]:
        """What is read of files: each once for all who want it, and again where that failed."""
        found = await self._library.store.documents.of_files(principal, list(files))
        for file_id, file in files.items():
            document = found.get(file_id)
            if document is None:
                found[file_id] = await self._library.read(file)
            elif document.status == "failed":
                await self._library.read_again(document)
        return found

    async def _touch(self, collection: Collection) -> None:
        now = clock.wall_s()
        if now - (collection.active_s or 0.0) > _TOUCHED_S:
            await self._collections.touch(collection.id, now)


def demand_open(collection: Collection) -> None:
    if has_expired(collection):
        raise BadRequest(
            f"Vector store '{collection.id}' has expired: nobody used it for {collection.expires_days} days",
            param="vector_store_id",
            code="vector_store_expired",
        )


def has_expired(collection: Collection) -> bool:
    return collection.expires_s is not None and collection.expires_s <= clock.wall_s()


def no_store(store_id: str) -> NotFound:
    return NotFound(
        f"Vector store '{store_id[:100]}' not found", param="vector_store_id", code="vector_store_not_found"
    )
