"""Implements `ports.store.Collections`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Case,
    ColumnElement,
    Row,
    RowMapping,
    Select,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from wye.drivers.sql.database import Database
from wye.drivers.sql.documents import UNFINISHED, document_of, select_documents
from wye.drivers.sql.paging import fetch_page
from wye.drivers.sql.tables import batches, collections, documents, files, members
from wye.kernel import clock
from wye.kernel.json import decode, encode_text
from wye.ports.store import Attributes, Batch, Collection, Member, MemberStatus, Page, Source, StoredDocument, Tally

_status: Case[str] = case(
    (members.c.cancelled_s.is_not(None), "cancelled"),
    (documents.c.status.in_(UNFINISHED), "in_progress"),
    (documents.c.status == "ready", "completed"),
    else_="failed",
)
"""`Member.status`, in the database."""


class SqlCollections:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, collection: Collection) -> None:
        row = {"id": collection.id, "principal": collection.principal, "created_s": collection.created_s}
        async with self._database.write() as connection:
            await connection.execute(insert(collections).values({**row, **_told(collection)}))

    async def get(self, principal: str, name: str) -> Collection | None:
        called = or_(collections.c.id == name, collections.c.name == name)
        query = select(collections).where(collections.c.principal == principal, called)
        latest = query.order_by((collections.c.id == name).desc(), collections.c.created_s.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(latest)).mappings().one_or_none()
        return _collection_of(row) if row else None

    async def list(self, principal: str, page: Page) -> list[Collection]:
        query, row = select(collections).where(collections.c.principal == principal), collections.c
        async with self._database.read() as connection:
            return [_collection_of(found) for found in await fetch_page(connection, query, page, row.created_s, row.id)]

    async def update(self, collection: Collection) -> bool:
        this = (collections.c.id == collection.id, collections.c.principal == collection.principal)
        async with self._database.write() as connection:
            changed = await connection.execute(update(collections).where(*this).values(_told(collection)))
        return bool(changed.rowcount)

    async def touch(self, collection_id: str, at_s: float) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(collections).where(collections.c.id == collection_id).values(active_s=at_s))

    async def delete(self, principal: str, collection_id: str) -> bool:
        this = (collections.c.id == collection_id, collections.c.principal == principal)
        async with self._database.write() as connection:
            return bool((await connection.execute(delete(collections).where(*this))).rowcount)

    async def put(self, collection_id: str, documents: Mapping[str, Attributes], batch_id: str | None = None) -> None:
        if not documents:
            return
        now = {"collection_id": collection_id, "added_s": clock.wall_s(), "batch_id": batch_id, "cancelled_s": None}
        rows = [{**now, "document_id": name, "attributes": encode_text(told)} for name, told in documents.items()]
        added = self._database.insert(members)
        told = {name: added.excluded[name] for name in ("attributes", "batch_id", "cancelled_s")}
        added = added.on_conflict_do_update(index_elements=list(members.primary_key), set_=told)
        async with self._database.write() as connection:
            await connection.execute(added, rows)

    async def describe(self, collection_id: str, document_id: str, attributes: Attributes) -> bool:
        changed = update(members).where(*_this(collection_id, document_id)).values(attributes=encode_text(attributes))
        async with self._database.write() as connection:
            return bool((await connection.execute(changed)).rowcount)

    async def remove(self, collection_id: str, document_id: str) -> bool:
        async with self._database.write() as connection:
            removed = await connection.execute(delete(members).where(*_this(collection_id, document_id)))
        return bool(removed.rowcount)

    async def members(self, collection_id: str) -> list[Member]:
        query = _select_members(collection_id).order_by(members.c.added_s, documents.c.id)
        async with self._database.read() as connection:
            return [_member_of(row) for row in (await connection.execute(query)).mappings()]

    async def page(
        self, collection_id: str, page: Page, status: MemberStatus | None = None, batch_id: str | None = None
    ) -> list[Member]:
        query = _select_members(collection_id)
        if batch_id is not None:
            query = query.where(members.c.batch_id == batch_id)
        only = () if status is None else (_status == status,)
        async with self._database.read() as connection:
            rows = await fetch_page(connection, query, page, members.c.added_s, documents.c.file_id, *only)
        return [_member_of(row) for row in rows]

    async def member(self, collection_id: str, file_id: str) -> Member | None:
        query = _select_members(collection_id).where(documents.c.file_id == file_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query.order_by(members.c.added_s.desc()).limit(1))).mappings().one_or_none()
        return _member_of(row) if row else None

    async def tallies(self, collection_ids: Sequence[str]) -> dict[str, Tally]:
        found = {name: Tally() for name in collection_ids}
        counted = _count(members.c.collection_id, members.c.collection_id.in_(list(found)))
        async with self._database.read() as connection:
            for row in await connection.execute(counted):
                _add(found[row[0]], row)
        return found

    async def sources(self, collection_ids: Sequence[str]) -> list[Source]:
        query = (
            select(documents.c.id, documents.c.file_id, files.c.filename, members.c.attributes)
            .join_from(members, documents)
            .join(files)
            .where(members.c.collection_id.in_(collection_ids), _status == "completed")
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [Source(row[0], row[1], row[2], decode(row[3])) for row in rows]

    async def add_batch(self, batch: Batch) -> None:
        row = {"id": batch.id, "collection_id": batch.collection_id, "created_s": batch.created_s}
        async with self._database.write() as connection:
            await connection.execute(insert(batches).values(row))

    async def batch(self, collection_id: str, batch_id: str) -> Batch | None:
        query = select(batches).where(batches.c.id == batch_id, batches.c.collection_id == collection_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        cancelled = row["cancelled_s"] is not None
        return Batch(id=batch_id, collection_id=collection_id, created_s=row["created_s"], cancelled=cancelled)

    async def tally_of_batch(self, batch_id: str) -> Tally:
        found, counted = Tally(), _count(members.c.batch_id, members.c.batch_id == batch_id)
        async with self._database.read() as connection:
            for row in await connection.execute(counted):
                _add(found, row)
        return found

    async def cancel(self, batch_id: str) -> list[StoredDocument]:
        now = {"cancelled_s": clock.wall_s()}
        of_batch = members.c.batch_id == batch_id
        unread = select(documents.c.id).where(documents.c.status.in_(UNFINISHED))
        wanted = exists().where(
            members.c.document_id == documents.c.id,
            members.c.cancelled_s.is_(None),
            members.c.batch_id.is_distinct_from(batch_id),
        )
        async with self._database.write() as connection:
            await connection.execute(update(batches).where(batches.c.id == batch_id).values(now))
            called_back = select(members.c.document_id).where(of_batch, members.c.document_id.in_(unread))
            nobodys = select_documents().where(documents.c.id.in_(called_back), ~wanted)
            rows = (await connection.execute(nobodys)).mappings().all()
            await connection.execute(update(members).where(of_batch, members.c.document_id.in_(unread)).values(now))
        return [document_of(row) for row in rows]


def _this(collection_id: str, document_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return members.c.collection_id == collection_id, members.c.document_id == document_id


def _select_members(collection_id: str) -> Select[Any]:
    query = select_documents().add_columns(members.c.attributes, members.c.added_s, members.c.cancelled_s)
    query = query.join(members, members.c.document_id == documents.c.id)
    return query.where(members.c.collection_id == collection_id)


def _count(of: ColumnElement[str], where: ColumnElement[bool]) -> Select[Any, Any, Any, Any]:
    """How many members are how far, and how large."""
    query = select(of, _status, func.count(), func.sum(files.c.bytes)).join_from(members, documents).join(files)
    return query.where(where).group_by(of, _status)


def _add(tally: Tally, row: Row[Any, Any, Any, Any]) -> None:
    _, status, count, size = row
    setattr(tally, status, count)
    if status == "completed":
        tally.bytes += int(size)


def _told(collection: Collection) -> dict[str, Any]:
    return {
        "name": collection.name,
        "metadata": encode_text(collection.metadata),
        "description": collection.description,
        "expires_days": collection.expires_days,
    }


def _collection_of(row: RowMapping) -> Collection:
    return Collection(**{**row, "metadata": decode(row["metadata"])})


def _member_of(row: RowMapping) -> Member:
    return Member(
        document=document_of(row),
        added_s=row["added_s"],
        attributes=decode(row["attributes"]),
        cancelled=row["cancelled_s"] is not None,
    )
