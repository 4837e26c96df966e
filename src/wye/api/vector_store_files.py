"""Files of vector stores, one by one and in batches.

https://platform.openai.com/docs/api-reference/vector-stores-files
https://platform.openai.com/docs/api-reference/vector-stores-file-batches
"""

from __future__ import annotations

from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from wye.api.answers import asked_page, json_answer, listed, read_object
from wye.kernel.errors import BadRequest, NotFound, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject
from wye.knowledge.kinds import KINDS
from wye.knowledge.on_demand import LibraryOnDemand
from wye.knowledge.vector_stores import VectorStores, Wish
from wye.ports.store import Attributes, Batch, Collection, Member, MemberStatus, Tally

_MAX_BATCH = 2_000
_MAX_ATTRIBUTES = 16
_STATUSES = get_args(MemberStatus)


class VectorStoreFilePages:
    def __init__(self, library: LibraryOnDemand) -> None:
        self._library = library

    async def create(self, request: Request) -> Response:
        stores, collection = await self._store(request)
        wish = _wish(Fields(await read_object(request)))
        await stores.attach(collection, [wish])
        return json_answer(_described(collection, await stores.member(collection, wish.file_id)))

    async def list(self, request: Request) -> Response:
        _, collection = await self._store(request)
        return await self._listed(request, collection)

    async def show(self, request: Request) -> Response:
        collection, member = await self._member(request)
        return json_answer(_described(collection, member))

    async def update(self, request: Request) -> Response:
        collection, member = await self._member(request)
        fields = Fields(await read_object(request))
        if not fields.has("attributes"):
            raise Unprocessable("attributes is required: what searches may ask for", param="attributes")
        attributes = _attributes(fields)
        await (await self._library()).store.collections.describe(collection.id, member.document.id, attributes)
        return await self.show(request)

    async def delete(self, request: Request) -> Response:
        collection, member = await self._member(request)
        await (await self._library()).store.collections.remove(collection.id, member.document.id)
        file_id = member.document.file.id
        return json_answer({"id": file_id, "object": "vector_store.file.deleted", "deleted": True})

    async def content(self, request: Request) -> Response:
        _, member = await self._member(request)
        passages = await (await self._library()).store.documents.passages(member.document.id)
        data = [{"type": "text", "text": passage.text} for passage in passages]
        answer = {"object": "vector_store.file_content.page", "data": data}
        return json_answer({**answer, "has_more": False, "next_page": None})

    async def create_batch(self, request: Request) -> Response:
        stores, collection = await self._store(request)
        batch = await stores.attach_together(collection, _wishes(Fields(await read_object(request))))
        return json_answer(await self._described(batch))

    async def show_batch(self, request: Request) -> Response:
        _, batch = await self._batch(request)
        return json_answer(await self._described(batch))

    async def cancel_batch(self, request: Request) -> Response:
        collection, batch = await self._batch(request)
        library = await self._library()
        await VectorStores(library).call_back(batch)
        found = await library.store.collections.batch(collection.id, batch.id)
        return json_answer(await self._described(found or batch))

    async def list_batch(self, request: Request) -> Response:
        collection, batch = await self._batch(request)
        return await self._listed(request, collection, batch.id)

    async def _listed(self, request: Request, collection: Collection, batch_id: str | None = None) -> Response:
        page = asked_page(request, default=20, most=100)
        status = request.query_params.get("filter")
        if status is not None and status not in _STATUSES:
            raise BadRequest(f"filter must be one of {', '.join(_STATUSES)}", param="filter")
        members = await (await self._library()).store.collections.page(
            collection.id, page, cast("MemberStatus | None", status), batch_id
        )
        return json_answer(listed(page, [_described(collection, member) for member in members]))

    async def _store(self, request: Request) -> tuple[VectorStores, Collection]:
        stores = VectorStores(await self._library())
        return stores, await stores.get(request.state.principal, request.path_params["vector_store_id"])

    async def _member(self, request: Request) -> tuple[Collection, Member]:
        stores, collection = await self._store(request)
        return collection, await stores.member(collection, request.path_params["file_id"])

    async def _batch(self, request: Request) -> tuple[Collection, Batch]:
        _, collection = await self._store(request)
        batch_id = request.path_params["batch_id"]
        batch = await (await self._library()).store.collections.batch(collection.id, batch_id)
        if batch is None:
            raise NotFound(
                f"No file batch '{batch_id[:100]}' found in vector store '{collection.id}'", param="batch_id"
            )
        return collection, batch

    async def _described(self, batch: Batch) -> JsonObject:
        tally = await (await self._library()).store.collections.tally_of_batch(batch.id)
        over = "failed" if tally.failed and not tally.completed else "completed"
        return {
            "id": batch.id,
            "object": "vector_store.files_batch",
            "created_at": int(batch.created_s),
            "vector_store_id": batch.collection_id,
            "status": "cancelled" if batch.cancelled else "in_progress" if tally.in_progress else over,
            "file_counts": counts(tally),
        }


def counts(tally: Tally) -> JsonObject:
    told = {name: getattr(tally, name) for name in _STATUSES}
    return {**told, "total": sum(told.values())}


def demand_auto(fields: Fields) -> None:
    """Raises BadRequest for a `chunking_strategy` of the caller's own."""
    strategy = fields.fields("chunking_strategy")
    if strategy is not None and strategy.str("type") != "auto":
        raise BadRequest(
            "chunking_strategy can only be {'type': 'auto'}: a file is read once for all stores that hold it, in "
            "passages that end where its pages and paragraphs do",
            param=strategy.path,
        )


def file_ids_of(fields: Fields) -> list[str]:
    ids = fields.list("file_ids") or []
    if len(ids) > _MAX_BATCH or not all(isinstance(one, str) for one in ids):
        raise BadRequest(f"file_ids must be an array of at most {_MAX_BATCH} ids", param="file_ids")
    return ids


def _wishes(fields: Fields) -> list[Wish]:
    files = list(fields.each("files"))
    demand_auto(fields)
    attributes, ids = _attributes(fields), file_ids_of(fields)
    if bool(files) == bool(ids) or len(files) > _MAX_BATCH:
        raise BadRequest(f"Give either file_ids or files, 1 to {_MAX_BATCH} of them", param="file_ids")
    return [_wish(file) for file in files] or [Wish(file_id, attributes) for file_id in ids]


def _wish(fields: Fields) -> Wish:
    demand_auto(fields)
    return Wish(fields.required_str("file_id"), _attributes(fields))


def _attributes(fields: Fields) -> Attributes:
    given = fields.dict("attributes") or {}
    for key, value in given.items():
        sound = isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 512)
        if len(key) > 64 or not sound:
            at = f"{fields.at('attributes')}.{key[:64]}"
            raise BadRequest(f"{at} must be a string of at most 512 characters, a number or a boolean", param=at)
    if len(given) > _MAX_ATTRIBUTES:
        raise BadRequest(f"attributes may be at most {_MAX_ATTRIBUTES}", param=fields.at("attributes"))
    return given


def _described(collection: Collection, member: Member) -> JsonObject:
    file = member.document.file
    error = None
    if member.status == "failed":
        code = "invalid_file" if file.content_type in KINDS else "unsupported_file"
        error = {"code": code, "message": member.document.error or ""}
    return {
        "id": file.id,
        "object": "vector_store.file",
        "created_at": int(member.added_s),
        "vector_store_id": collection.id,
        "status": member.status,
        "usage_bytes": file.bytes if member.status == "completed" else 0,
        "last_error": error,
        "attributes": member.attributes,
        "chunking_strategy": {"type": "other"},
    }
