"""Questions about documents.

In a stream, events without a name are the answer's text and nothing else; those with names tell the rest: `citations`,
`answer` (who has answered, and what it took), `error`. It ends with `data: [DONE]`, unless it broke off.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from wye.api.answers import json_answer
from wye.api.documents import no_document
from wye.api.edge import as_wye_error, request_id_of
from wye.dialects.dialect import Dialect
from wye.gateway.exchange import Exchange
from wye.gateway.pipeline import Pipeline
from wye.kernel import clock
from wye.kernel.errors import BadRequest, Conflict, NotFound, TooLarge, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list, decode_body, encode
from wye.knowledge.answer import Answer, Answerer
from wye.knowledge.library import Library
from wye.knowledge.on_demand import LibraryOnDemand
from wye.knowledge.vector_stores import demand_open
from wye.ports.store import StoredDocument

_MAX_BODY = 1024 * 1024
_MAX_QUESTION = 8_000
_MAX_DOCUMENTS = 1_000
_DONE = b"data: [DONE]\n\n"


class AskPages:
    def __init__(self, library: LibraryOnDemand, pipeline: Pipeline, dialect: Dialect, model: str | None) -> None:
        """Nothing of `dialect` is seen. `model` answers where a request names none."""
        self._library = library
        self._pipeline = pipeline
        self._dialect = dialect
        self._model = model

    async def ask(self, request: Request) -> Response:
        fields = Fields(decode_body(await _body(request)))
        question = fields.required_str("question").strip()
        if not question:
            raise Unprocessable("question is required: what you want to know", param="question")
        if len(question) > _MAX_QUESTION:
            raise TooLarge(
                f"question has {len(question)} characters, and at most {_MAX_QUESTION} may be", param="question"
            )
        model, stream = fields.str("model") or self._model, fields.bool("stream")
        library = await self._library()
        documents = await self._documents(library, request.state.principal, fields)
        told = self._answer(library, documents, question, model, request)
        first = await anext(told)  # what is refused is refused with a status
        if stream is False:
            return json_answer(await _whole(first, told))
        said = _events(first, told, request_id_of(dict(request.headers.raw)))
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(said, headers=headers, media_type="text/event-stream")

    async def _answer(
        self, library: Library, documents: list[StoredDocument], question: str, model: str | None, request: Request
    ) -> AsyncIterator[str | Answer]:
        headers = dict(request.headers.raw)
        exchange = Exchange(
            request_id_of(headers), self._dialect, b"{}", headers, request.state.principal, clock.monotonic_s()
        )
        exchange.model = model or ""
        answerer = Answerer(library.store.questions, library.retriever)
        async with self._pipeline.asking(exchange) as inference:
            async for told in answerer.answer(documents, question, inference, model):
                yield told

    async def _documents(self, library: Library, principal: str, fields: Fields) -> list[StoredDocument]:
        """Those that are asked, all of them there and read. Raises NotFound, Conflict."""
        one, many, collection = fields.str("document_id"), fields.any("document_ids"), fields.str("collection")
        if [one, many, collection].count(None) != 2:
            raise Unprocessable(
                "Say what is asked: one of document_id, document_ids and collection", param="document_id"
            )
        if collection is not None:
            found = await library.store.collections.get(principal, collection)
            if found is None:
                raise NotFound(f"Collection '{collection[:100]}' not found", param="collection")
            demand_open(found)
            members = await library.store.collections.members(found.id)
            documents = [member.document for member in members if member.status == "completed"]
            if not documents:
                raise Conflict(f"No document of collection '{collection[:100]}' is ready", param="collection")
            return documents[:_MAX_DOCUMENTS]
        ids = [one] if one is not None else _ids(many)
        documents = [await self._ready(library, principal, document_id) for document_id in dict.fromkeys(ids)]
        return documents

    async def _ready(self, library: Library, principal: str, document_id: str) -> StoredDocument:
        document = await library.store.documents.get(principal, document_id)
        if document is None:
            raise no_document(document_id)
        if document.status == "failed":
            raise Conflict(f"Document '{document_id}' could not be read: {document.error}", code="document_failed")
        if document.status != "ready":
            raise Conflict(
                f"Document '{document_id}' is still being read ({document.progress} %)",
                code="document_not_ready",
                retry_after_s=1,
            )
        return document


def _ids(value: object) -> list[str]:
    ids = as_list(value)
    if not ids or not all(isinstance(one, str) for one in ids) or len(ids) > _MAX_DOCUMENTS:
        raise BadRequest(f"document_ids must be an array of 1 to {_MAX_DOCUMENTS} ids", param="document_ids")
    return [str(one) for one in ids]


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            raise TooLarge(f"The request has more than {_MAX_BODY} bytes")
    return body


async def _whole(first: str | Answer, told: AsyncIterator[str | Answer]) -> JsonObject:
    made = [first, *[piece async for piece in told]][-1]
    assert isinstance(made, Answer), "it comes last"
    return {**_described(made), "answer": made.text, "citations": made.citations}


async def _events(first: str | Answer, told: AsyncIterator[str | Answer], request_id: str) -> AsyncIterator[bytes]:
    try:
        yield _event(first)
        async for piece in told:
            yield _event(piece)
    except Exception as error:  # the edge: after the stream's head, an event is all that can still be said
        known = as_wye_error(error, request_id)
        yield b"event: error\ndata: %b\n\n" % encode({"code": known.code, "message": known.message})
        return
    yield _DONE


def _event(told: str | Answer) -> bytes:
    if isinstance(told, str):
        return b"".join(_data(piece) for piece in _texts(told))
    return b"event: citations\ndata: %b\n\nevent: answer\ndata: %b\n\n" % (
        encode(told.citations),
        encode(_described(told)),
    )


def _texts(text: str) -> list[str]:
    """An answer may hold the very word that ends the stream."""
    return [text[:3], text[3:]] if text == "[DONE]" else [text]


def _data(text: str) -> bytes:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html: a line of the text is a line of the event."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {line}\n" for line in lines).encode("utf-8", "replace") + b"\n"


def _described(made: Answer) -> JsonObject:
    return {
        "id": made.id,
        "object": "answer",
        "model": made.model,
        "extractive": made.extractive,
        "reason": made.reason,
        "usage": {"input_tokens": made.input_tokens, "output_tokens": made.output_tokens},
    }
