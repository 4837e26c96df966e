"""Documents: upload one, watch it being read, delete it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from wye.api.answers import asked_page, json_answer, listed
from wye.api.files import receive_file
from wye.kernel import clock
from wye.kernel.errors import NotFound
from wye.kernel.json import JsonObject, decode, encode
from wye.knowledge.on_demand import LibraryOnDemand
from wye.ports.store import Question, StoreAway, StoredDocument

_LOOKED_S = 0.25
"""How often a watcher's document is looked up: whoever reads it, here or on another machine, tells only the store."""
_SILENCE_S = 10.0
"""After so long a comment is sent: proxies close connections on which nothing is heard."""


class DocumentPages:
    def __init__(self, library: LibraryOnDemand) -> None:
        self._library = library

    async def upload(self, request: Request) -> Response:
        library = await self._library()
        file = await receive_file(request, library, as_document=True)
        return json_answer(described(await library.read(file)))

    async def list(self, request: Request) -> Response:
        library = await self._library()
        page = asked_page(request, default=20, most=1000)
        documents = await library.store.documents.list(request.state.principal, page)
        return json_answer(listed(page, [described(document) for document in documents], "document_id"))

    async def show(self, request: Request) -> Response:
        return json_answer(described(await self._document(request)))

    async def delete(self, request: Request) -> Response:
        library, document_id = await self._library(), request.path_params["document_id"]
        if await library.delete_document(request.state.principal, document_id) is None:
            raise no_document(document_id)
        return json_answer({"document_id": document_id, "object": "document", "deleted": True})

    async def events(self, request: Request) -> Response:
        document = await self._document(request)
        headers = {"cache-control": "no-cache"}
        return StreamingResponse(self._progress(document), headers=headers, media_type="text/event-stream")

    async def history(self, request: Request) -> Response:
        document, library = await self._document(request), await self._library()
        page = asked_page(request, default=20, most=1000)
        questions = await library.store.questions.of_document(document.principal, document.id, page)
        return json_answer(listed(page, [_asked(question) for question in questions]))

    async def _document(self, request: Request) -> StoredDocument:
        library, document_id = await self._library(), request.path_params["document_id"]
        document = await library.store.documents.get(request.state.principal, document_id)
        if document is None:
            raise no_document(document_id)
        return document

    async def _progress(self, document: StoredDocument) -> AsyncIterator[bytes]:
        """Each change as an event named by the status; the last is `ready`, `failed` or `deleted`."""
        library = await self._library()
        told: StoredDocument | None = None
        spoken_s = clock.monotonic_s()
        while True:
            if document != told:
                told, spoken_s = document, clock.monotonic_s()
                yield _event(document.status, described(document))
                if document.status in ("ready", "failed"):
                    return
            elif clock.monotonic_s() - spoken_s > _SILENCE_S:
                spoken_s = clock.monotonic_s()
                yield b": still there\n\n"
            await asyncio.sleep(_LOOKED_S)
            try:
                found = await library.store.documents.get(document.principal, document.id)
            except StoreAway:  # it may come back, and the reading with it
                continue
            if found is None:
                yield _event("deleted", {"document_id": document.id})
                return
            document = found


def no_document(document_id: str) -> NotFound:
    return NotFound(f"Document '{document_id[:100]}' not found", param="document_id", code="document_not_found")


def described(document: StoredDocument) -> JsonObject:
    file = document.file
    return {
        "document_id": document.id,
        "object": "document",
        "file_id": file.id,
        "filename": file.filename,
        "bytes": file.bytes,
        "content_type": file.content_type,
        "sha256": file.sha256,
        "status": document.status,
        "progress": document.progress,
        "error": document.error,
        "pages": document.pages,
        "notes": document.notes,
        "embedding_model": document.embedding_model,
        "created_at": int(document.created_s),
        "updated_at": int(document.updated_s),
    }


def _asked(question: Question) -> JsonObject:
    return {
        "id": question.id,
        "object": "question",
        "document_ids": question.document_ids,
        "question": question.question,
        "answer": question.answer,
        "citations": decode(question.citations),
        "model": question.model,
        "created_at": int(question.created_s),
    }


def _event(name: str, data: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(data))
