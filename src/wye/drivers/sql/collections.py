"""Implements `ports.store.Collections`."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import RowMapping, delete, insert, or_, select, update

from wye.drivers.sql.database import Database
from wye.drivers.sql.documents import document_of, select_documents
from wye.drivers.sql.paging import paged
from wye.drivers.sql.tables import collections, documents, members
from wye.kernel import clock
from wye.kernel.json import decode, encode_text
from wye.ports.store import Collection, Member, Page


class SqlCollections:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, collection: Collection) -> None:
        row = {
            "id": collection.id,
            "principal": collection.principal,
            "name": collection.name,
            "metadata": encode_text(collection.metadata),
            "created_s": collection.created_s,
        }
        async with self._database.write() as connection:
            await connection.execute(insert(collections).values(row))

    async def get(self, principal: str, name: str) -> Collection | None:
        called = or_(collections.c.id == name, collections.c.name == name)
        query = select(collections).where(collections.c.principal == principal, called)
        latest = query.order_by((collections.c.id == name).desc(), collections.c.created_s.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(latest)).mappings().one_or_none()
        return _collection_of(row) if row else None

    async def list(self, principal: str, page: Page) -> list[Collection]:
        async with self._database.read() as connection:
            rows = await connection.execute(paged(select(collections), collections, page, principal))
            return [_collection_of(row) for row in rows.mappings()]

    async def update(self, collection: Collection) -> bool:
        this = (collections.c.id == collection.id, collections.c.principal == collection.principal)
        values = {"name": collection.name, "metadata": encode_text(collection.metadata)}
        async with self._database.write() as connection:
            return bool((await connection.execute(update(collections).where(*this).values(values))).rowcount)

    async def delete(self, principal: str, collection_id: str) -> bool:
        this = (collections.c.id == collection_id, collections.c.principal == principal)
        async with self._database.write() as connection:
            return bool((await connection.execute(delete(collections).where(*this))).rowcount)

    async def put(
        self, collection_id: str, document_id: str, attributes: Mapping[str, str | float | bool] | None = None
    ) -> None:
        told = {"attributes": encode_text(attributes or {})}
        row = {"collection_id": collection_id, "document_id": document_id, "added_s": clock.wall_s(), **told}
        added = self._database.insert(members).values(row)
        async with self._database.write() as connection:
            await connection.execute(added.on_conflict_do_update(index_elements=list(members.primary_key), set_=told))

    async def remove(self, collection_id: str, document_id: str) -> bool:
        this = (members.c.collection_id == collection_id, members.c.document_id == document_id)
        async with self._database.write() as connection:
            return bool((await connection.execute(delete(members).where(*this))).rowcount)

    async def members(self, collection_id: str) -> list[Member]:
        query = select_documents().add_columns(members.c.attributes, members.c.added_s)
        query = query.join(members, members.c.document_id == documents.c.id)
        query = query.where(members.c.collection_id == collection_id).order_by(members.c.added_s, documents.c.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            Member(document=document_of(row), added_s=row["added_s"], attributes=decode(row["attributes"]))
            for row in rows
        ]


def _collection_of(row: RowMapping) -> Collection:
    return Collection(
        id=row["id"],
        principal=row["principal"],
        name=row["name"],
        created_s=row["created_s"],
        metadata=decode(row["metadata"]),
    )
