"""Vector stores, in OpenAI's form: files that are searched together.

https://platform.openai.com/docs/api-reference/vector-stores
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from wye.api.answers import asked_page, json_answer, listed, read_object
from wye.api.vector_store_files import counts, demand_auto, file_ids_of
from wye.kernel import clock
from wye.kernel.errors import BadRequest, NotFound
from wye.kernel.fields import Fields
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list
from wye.knowledge.on_demand import LibraryOnDemand
from wye.knowledge.search_options import decode_search
from wye.knowledge.vector_stores import Hit, VectorStores, Wish, has_expired
from wye.ports.store import Collection, Tally

_MAX_NAME = 255
_MAX_DESCRIPTION = 4000
_MAX_QUERY = 8_000
_MAX_QUERIES = 8
_MAX_METADATA = 16
_MAX_DAYS = 365


class VectorStorePages:
    def __init__(self, library: LibraryOnDemand) -> None:
        self._library = library

    async def create(self, request: Request) -> Response:
        body = await read_object(request)
        fields = Fields(body)
        demand_auto(fields)
        wishes = [Wish(file_id) for file_id in file_ids_of(fields)]
        collection = Collection(
            id=new_id("vs_"),
            principal=request.state.principal,
            name=_text(fields, "name", _MAX_NAME) or "",
            created_s=clock.wall_s(),
            metadata=_metadata(fields),
            description=_text(fields, "description", _MAX_DESCRIPTION),
            expires_days=_days(fields),
        )
        library = await self._library()
        await library.store.collections.add(collection)
        try:
            await VectorStores(library).attach(collection, wishes)
        except (BadRequest, NotFound):
            await library.store.collections.delete(collection.principal, collection.id)
            raise
        return json_answer(await self._described(collection))

    async def list(self, request: Request) -> Response:
        library = await self._library()
        page = asked_page(request, default=20, most=100)
        found = await library.store.collections.list(request.state.principal, page)
        tallies = await library.store.collections.tallies([collection.id for collection in found])
        return json_answer(listed(page, [_described(collection, tallies[collection.id]) for collection in found]))

    async def show(self, request: Request) -> Response:
        return json_answer(await self._described(await self._store(request)))

    async def update(self, request: Request) -> Response:
        collection = await self._store(request)
        body = await read_object(request)
        fields = Fields(body)
        name, days = _text(fields, "name", _MAX_NAME), _days(fields)
        changed = replace(
            collection,
            name=collection.name if name is None else name,
            metadata=_metadata(fields) if body.get("metadata") is not None else collection.metadata,
            expires_days=days if "expires_after" in body else collection.expires_days,
        )
        await (await self._library()).store.collections.update(changed)
        return json_answer(await self._described(changed))

    async def delete(self, request: Request) -> Response:
        collection = await self._store(request)
        await (await self._library()).store.collections.delete(collection.principal, collection.id)
        return json_answer({"id": collection.id, "object": "vector_store.deleted", "deleted": True})

    async def search(self, request: Request) -> Response:
        collection = await self._store(request)
        fields = Fields(await read_object(request))
        fields.bool("rewrite_query")  # a search by words and by meaning needs no other words
        search = decode_search(fields, _queries(fields))
        hits = await VectorStores(await self._library()).search([collection], search)
        answer = {"object": "vector_store.search_results.page", "search_query": search.queries}
        return json_answer({**answer, "data": [_found(hit) for hit in hits], "has_more": False, "next_page": None})

    async def _store(self, request: Request) -> Collection:
        stores = VectorStores(await self._library())
        return await stores.get(request.state.principal, request.path_params["vector_store_id"])

    async def _described(self, collection: Collection) -> JsonObject:
        tallies = await (await self._library()).store.collections.tallies([collection.id])
        return _described(collection, tallies[collection.id])


def _described(collection: Collection, tally: Tally) -> JsonObject:
    days, expires_s = collection.expires_days, collection.expires_s
    status = "in_progress" if tally.in_progress else "completed"
    return {
        "id": collection.id,
        "object": "vector_store",
        "created_at": int(collection.created_s),
        "name": collection.name,
        "description": collection.description,
        "usage_bytes": tally.bytes,
        "file_counts": counts(tally),
        "status": "expired" if has_expired(collection) else status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": None if expires_s is None else int(expires_s),
        "last_active_at": int(collection.active_s or collection.created_s),
        "metadata": collection.metadata,
    }


def _found(hit: Hit) -> JsonObject:
    return {
        "file_id": hit.source.file_id,
        "filename": hit.source.filename,
        "score": hit.score,
        "attributes": hit.source.attributes,
        "content": [{"type": "text", "text": hit.passage.text}],
    }


def _text(fields: Fields, name: str, most: int) -> str | None:
    value = fields.str(name)
    if value is not None and len(value) > most:
        raise BadRequest(f"{name} has {len(value)} characters, and at most {most} may be", param=name)
    return value


def _metadata(fields: Fields) -> dict[str, str]:
    given = fields.dict("metadata") or {}
    sound = all(len(key) <= 64 and isinstance(value, str) and len(value) <= 512 for key, value in given.items())
    if len(given) > _MAX_METADATA or not sound:
        raise BadRequest(
            f"metadata must be at most {_MAX_METADATA} strings, of 512 characters each, under keys of 64",
            param="metadata",
        )
    return given


def _days(fields: Fields) -> int | None:
    policy = fields.fields("expires_after")
    if policy is None:
        return None
    policy.one_of("anchor", ("last_active_at",))
    days = policy.int("days")
    if days is None or not 1 <= days <= _MAX_DAYS:
        raise BadRequest(f"expires_after.days must be a number from 1 to {_MAX_DAYS}", param="expires_after.days")
    return days


def _queries(fields: Fields) -> list[str]:
    given: Any = fields.any("query")
    queries = [given] if isinstance(given, str) else as_list(given)
    if not queries or len(queries) > _MAX_QUERIES or not all(isinstance(one, str) and one.strip() for one in queries):
        raise BadRequest(f"query must be a text, or an array of 1 to {_MAX_QUERIES} texts", param="query")
    if any(len(one) > _MAX_QUERY for one in queries):
        raise BadRequest(f"query may have at most {_MAX_QUERY} characters", param="query")
    return queries
