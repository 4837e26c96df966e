"""What is kept in the database: files, the documents made of them, their passages, and what was asked.

Everything belongs to a principal, and nobody else finds it. Times are seconds since 1970. Any operation may raise
StoreAway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from wye.kernel.errors import CapacityError

Order = Literal["asc", "desc"]
Status = Literal["uploaded", "processing", "ready", "failed"]


class StoreAway(CapacityError):
    """The database cannot be reached at this moment. What needs none goes on."""

    code = "store_away"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list: those behind the element `after`, or the last before `before`; at most `limit`, by the time
    they were made."""

    limit: int = 20
    after: str | None = None
    before: str | None = None
    """Goes before `after`."""
    order: Order = "desc"


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    principal: str
    filename: str
    bytes: int
    content_type: str
    """As found by looking at the content."""
    sha256: str
    purpose: str
    blob: str
    """Where its content is: a key of `ports.blobs`."""
    created_s: float
    expires_s: float | None = None


class Files(Protocol):
    async def add(self, file: StoredFile) -> None: ...

    async def get(self, principal: str, file_id: str) -> StoredFile | None:
        """None also for one that has expired."""
        ...

    async def find(self, principal: str, file_ids: Sequence[str]) -> dict[str, StoredFile]:
        """Those that are there, by their ids."""
        ...

    async def list(self, principal: str, page: Page, purpose: str | None = None) -> list[StoredFile]: ...

    async def delete(self, principal: str, file_id: str) -> StoredFile | None:
        """Delete it with the documents made of it. What it was, so that its content can be deleted, too."""
        ...

    async def expired(self, now_s: float, limit: int) -> list[StoredFile]:
        """Anybody's files whose time is over, for the one that deletes them."""
        ...


class StoredDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is read, or is to be read, so that it can be asked."""

    id: str
    principal: str
    file: StoredFile
    status: Status
    created_s: float
    updated_s: float
    progress: int = 0
    """0 to 100."""
    error: str | None = None
    """Why it failed, for people."""
    pages: int | None = None
    """None for what has no pages, or is not read yet."""
    notes: tuple[str, ...] = ()
    """What a reader should know of a document that is ready: `Page 3 is a scan without text`."""
    embedding_model: str | None = None
    """Who made the vectors of all its passages; None while they are found by their words alone."""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document's text."""

    number: int
    """Its place in the document, from 0."""
    text: str
    page: int | None = None
    """From 1; None for what has no pages."""
    heading: str | None = None


class Documents(Protocol):
    async def add(self, document: StoredDocument) -> None:
        """Its file must be there. Of two with the same id the first stays as it is."""
        ...

    async def get(self, principal: str, document_id: str) -> StoredDocument | None: ...

    async def of_files(self, principal: str, file_ids: Sequence[str]) -> dict[str, StoredDocument]:
        """By the ids of files the documents that were made of them, the latest where there are several."""
        ...

    async def list(self, principal: str, page: Page) -> list[StoredDocument]: ...

    async def delete(self, principal: str, document_id: str) -> StoredDocument | None:
        """Delete it with its passages and with what was asked of it. What it was."""
        ...

    async def load(self, document_id: str) -> StoredDocument | None:
        """Anybody's: for the work on documents, never for an answer to a caller."""
        ...

    async def unfinished(self, limit: int) -> list[str]:
        """The ids of anybody's documents that are neither ready nor failed, the oldest first."""
        ...

    async def renew(self, document_id: str) -> None:
        """One that failed is to be read again. Nothing happens to any other."""
        ...

    async def progress(self, document_id: str, percent: int) -> None:
        """It is being read, and so much is done. Nothing happens to one that is ready, failed or gone."""
        ...

    async def fail(self, document_id: str, error: str) -> None: ...

    async def keep(self, document_id: str, passages: Sequence[Passage]) -> bool:
        """Its passages, in place of any before: all or none. False when it is gone."""
        ...

    async def finish(
        self, document_id: str, *, pages: int | None, notes: Sequence[str] = (), embedding_model: str | None = None
    ) -> None:
        """It is ready."""
        ...

    async def unindexed(self, embedding_model: str, limit: int) -> list[str]:
        """Anybody's documents that are ready, but whose vectors are another model's, or are none; in
        no order, so that one that cannot be indexed does not stand before the others."""
        ...

    async def indexed(self, document_id: str, embedding_model: str) -> None:
        """All its passages have vectors of that model."""
        ...

    async def passages(self, document_id: str) -> list[Passage]:
        """In their order."""
        ...


Attributes = Mapping[str, str | float | bool]
"""What a caller says of a document in a collection, to search by."""

MemberStatus = Literal["in_progress", "completed", "failed", "cancelled"]
_MEMBER_STATUS: dict[Status, MemberStatus] = {
    "uploaded": "in_progress",
    "processing": "in_progress",
    "ready": "completed",
    "failed": "failed",
}


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """Documents that are asked together: OpenAI's vector store."""

    id: str
    principal: str
    name: str
    created_s: float
    metadata: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    description: str | None = None
    expires_days: int | None = None
    """After so many days in which nobody used it, it is asked no longer."""
    active_s: float | None = None
    """When it was used last; None for never."""

    @property
    def expires_s(self) -> float | None:
        if self.expires_days is None:
            return None
        return (self.active_s or self.created_s) + self.expires_days * 86_400


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A document in a collection."""

    document: StoredDocument
    added_s: float
    attributes: Attributes = msgspec.field(default_factory=dict[str, str | float | bool])
    cancelled: bool = False
    """Whether it was called back while it was being read: it stays listed, and is not asked."""

    @property
    def status(self) -> MemberStatus:
        return "cancelled" if self.cancelled else _MEMBER_STATUS[self.document.status]


class Tally(msgspec.Struct):
    """How many documents of a collection are how far, and the size of those that can be asked."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    bytes: int = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Documents that came into a collection together. One that comes again is of its latest batch alone."""

    id: str
    collection_id: str
    created_s: float
    cancelled: bool = False


class Source(msgspec.Struct, frozen=True):
    """A document that can be asked, as a search needs it."""

    document_id: str
    file_id: str
    filename: str
    attributes: Attributes


class Collections(Protocol):
    async def add(self, collection: Collection) -> None: ...

    async def get(self, principal: str, name: str) -> Collection | None:
        """By its id, or the latest one of that name."""
        ...

    async def list(self, principal: str, page: Page) -> list[Collection]: ...

    async def update(self, collection: Collection) -> bool:
        """What its owner says of it. False when it is gone."""
        ...

    async def touch(self, collection_id: str, at_s: float) -> None:
        """It was used."""
        ...

    async def delete(self, principal: str, collection_id: str) -> bool:
        """Its documents stay."""
        ...

    async def put(self, collection_id: str, documents: Mapping[str, Attributes], batch_id: str | None = None) -> None:
        """Add documents, by their ids; one that is in it gets the new attributes, and is as if it had just come."""
        ...

    async def describe(self, collection_id: str, document_id: str, attributes: Attributes) -> bool:
        """Give a document new attributes. False when it is not in the collection."""
        ...

    async def remove(self, collection_id: str, document_id: str) -> bool: ...

    async def members(self, collection_id: str) -> list[Member]:
        """In the order they were added."""
        ...

    async def page(
        self, collection_id: str, page: Page, status: MemberStatus | None = None, batch_id: str | None = None
    ) -> list[Member]:
        """A part of its members, known to `page` by the ids of their files."""
        ...

    async def member(self, collection_id: str, file_id: str) -> Member | None: ...

    async def tallies(self, collection_ids: Sequence[str]) -> dict[str, Tally]:
        """Of every one of these collections."""
        ...

    async def sources(self, collection_ids: Sequence[str]) -> list[Source]:
        """What can be asked in these collections: a document once for each that holds it, as that one describes it."""
        ...

    async def add_batch(self, batch: Batch) -> None: ...

    async def batch(self, collection_id: str, batch_id: str) -> Batch | None: ...

    async def tally_of_batch(self, batch_id: str) -> Tally: ...

    async def cancel(self, batch_id: str) -> list[StoredDocument]:
        """Call back those of a batch that are not read yet. Tells which of them nobody else waits for: they are in no
        other collection."""
        ...


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of documents, and the answer."""

    id: str
    principal: str
    document_ids: tuple[str, ...]
    question: str
    answer: str
    citations: str
    """JSON: a list, as the caller was told them."""
    model: str | None
    """None for an answer that is made of passages alone."""
    created_s: float


class Questions(Protocol):
    async def add(self, question: Question) -> None:
        """Documents that are gone by now are left out."""
        ...

    async def of_document(self, principal: str, document_id: str, page: Page) -> list[Question]: ...


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that Wye keeps for its caller."""

    id: str
    principal: str
    created_s: float
    expires_s: float
    ttl_s: float
    """How long it lives after what was said last."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict[str, str])

    def prolonged_s(self, now_s: float) -> float:
        """When it expires once something is said in it now: it lives as long again as it was made for."""
        return now_s + self.ttl_s


MAX_MESSAGE = 100_000
"""Characters of one message in a session."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["system", "user", "assistant"]
    content: str
    created_s: float


class Sessions(Protocol):
    """One that has expired is as if it were gone."""

    async def add(self, session: Session) -> None: ...

    async def get(self, principal: str, session_id: str) -> Session | None: ...

    async def list(self, principal: str, page: Page) -> list[Session]: ...

    async def delete(self, principal: str, session_id: str) -> bool: ...

    async def say(self, session_id: str, messages: Sequence[Message], *, expires_s: float) -> None:
        """Add to the end of what was said; the session now lives until then. Of very many messages the oldest are
        forgotten, instructions (`system`) last."""
        ...

    async def messages(self, session_id: str, characters: int | None = None) -> list[Message]:
        """In their order; where so many characters together are the most, the instructions and the latest of the
        others."""
        ...


class Store(Protocol):
    """A database, with a room for each kind of thing."""

    files: Files
    documents: Documents
    collections: Collections
    questions: Questions
    sessions: Sessions

    @property
    def away(self) -> str | None:
        """Why it cannot be reached; None while it can."""
        ...

    async def close(self) -> None: ...
