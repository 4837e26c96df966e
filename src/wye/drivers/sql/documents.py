"""Implements `ports.store.Documents`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, delete, func, insert, or_, select, update

from wye.drivers.sql.database import Database
from wye.drivers.sql.files import FIELDS as FILE_FIELDS
from wye.drivers.sql.files import file_of
from wye.drivers.sql.paging import fetch_page
from wye.drivers.sql.questions import forget_questions
from wye.drivers.sql.tables import documents, files
from wye.drivers.sql.tables import passages as rows_of_passages
from wye.kernel import clock
from wye.kernel.json import decode, encode_text
from wye.ports.store import Page, Passage, StoredDocument

UNFINISHED = ("uploaded", "processing")


class SqlDocuments:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, document: StoredDocument) -> None:
        row = {
            "id": document.id,
            "principal": document.principal,
            "file_id": document.file.id,
            "status": document.status,
            "progress": document.progress,
            "error": document.error,
            "pages": document.pages,
            "notes": encode_text(document.notes),
            "embedding_model": document.embedding_model,
            "created_s": document.created_s,
            "updated_s": document.updated_s,
        }
        async with self._database.write() as connection:
            await connection.execute(self._database.insert(documents).values(row).on_conflict_do_nothing())

    async def get(self, principal: str, document_id: str) -> StoredDocument | None:
        return await self._one(select_documents().where(documents.c.id == document_id), principal)

    async def of_files(self, principal: str, file_ids: Sequence[str]) -> dict[str, StoredDocument]:
        theirs = (documents.c.principal == principal, documents.c.file_id.in_(file_ids))
        query = select_documents().where(*theirs).order_by(documents.c.created_s, documents.c.id.desc())
        async with self._database.read() as connection:
            return {row["file_id"]: document_of(row) for row in (await connection.execute(query)).mappings()}

    async def _one(self, query: Select[Any], principal: str) -> StoredDocument | None:
        async with self._database.read() as connection:
            row = (await connection.execute(query.where(documents.c.principal == principal))).mappings().one_or_none()
        return document_of(row) if row else None

    async def list(self, principal: str, page: Page) -> list[StoredDocument]:
        query, row = select_documents().where(documents.c.principal == principal), documents.c
        async with self._database.read() as connection:
            return [document_of(found) for found in await fetch_page(connection, query, page, row.created_s, row.id)]

    async def delete(self, principal: str, document_id: str) -> StoredDocument | None:
        this = (documents.c.id == document_id, documents.c.principal == principal)
        async with self._database.write() as connection:
            row = (await connection.execute(select_documents().where(*this))).mappings().one_or_none()
            await forget_questions(connection, select(documents.c.id).where(*this))
            await connection.execute(delete(documents).where(*this))
        return document_of(row) if row else None

    async def load(self, document_id: str) -> StoredDocument | None:
        async with self._database.read() as connection:
            row = (
                (await connection.execute(select_documents().where(documents.c.id == document_id)))
                .mappings()
                .one_or_none()
            )
        return document_of(row) if row else None

    async def unfinished(self, limit: int) -> list[str]:
        query = select(documents.c.id).where(documents.c.status.in_(UNFINISHED))
        async with self._database.read() as connection:
            return list(await connection.scalars(query.order_by(documents.c.created_s).limit(limit)))

    async def renew(self, document_id: str) -> None:
        this = (documents.c.id == document_id, documents.c.status == "failed")
        anew = {"status": "uploaded", "progress": 0, "error": None, "updated_s": clock.wall_s()}
        async with self._database.write() as connection:
            await connection.execute(update(documents).where(*this).values(anew))

    async def progress(self, document_id: str, percent: int) -> None:
        await self._update(document_id, status="processing", progress=percent)

    async def fail(self, document_id: str, error: str) -> None:
        await self._update(document_id, status="failed", error=error)

    async def _update(self, document_id: str, **values: Any) -> None:
        known = (documents.c.id == document_id, documents.c.status.in_(UNFINISHED))
        async with self._database.write() as connection:
            await connection.execute(update(documents).where(*known).values(updated_s=clock.wall_s(), **values))

    async def keep(self, document_id: str, passages: Sequence[Passage]) -> bool:
        rows = [
            {"document_id": document_id, "number": p.number, "page": p.page, "heading": p.heading, "text": p.text}
            for p in passages
        ]
        there = select(documents.c.id).where(documents.c.id == document_id).with_for_update()
        async with self._database.write() as connection:
            if not (await connection.execute(there)).one_or_none():
                return False
            await connection.execute(delete(rows_of_passages).where(rows_of_passages.c.document_id == document_id))
            if rows:
                await connection.execute(insert(rows_of_passages), rows)
        return True

    async def finish(
        self, document_id: str, *, pages: int | None, notes: Sequence[str] = (), embedding_model: str | None = None
    ) -> None:
        told = {"pages": pages, "notes": encode_text(list(notes)), "embedding_model": embedding_model}
        await self._update(document_id, status="ready", progress=100, error=None, **told)

    async def unindexed(self, embedding_model: str, limit: int) -> list[str]:
        row = documents.c
        other = or_(row.embedding_model.is_(None), row.embedding_model != embedding_model)
        query = select(row.id).where(row.status == "ready", other).order_by(func.random()).limit(limit)
        async with self._database.read() as connection:
            return list(await connection.scalars(query))

    async def indexed(self, document_id: str, embedding_model: str) -> None:
        this = update(documents).where(documents.c.id == document_id)
        async with self._database.write() as connection:
            await connection.execute(this.values(embedding_model=embedding_model))

    async def passages(self, document_id: str) -> list[Passage]:
        row = rows_of_passages.c
        query = select(row.number, row.text, row.page, row.heading).where(row.document_id == document_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(row.number))
            return [Passage(**row) for row in rows.mappings()]


def select_documents() -> Select[Any]:
    """Documents, each with its file."""
    of_file = [files.c[name].label(f"file_{name}") for name in FILE_FIELDS if name != "id"]
    return select(documents, *of_file).join_from(documents, files)


def document_of(row: RowMapping) -> StoredDocument:
    return StoredDocument(
        id=row["id"],
        principal=row["principal"],
        file=file_of(row, "file_"),
        status=row["status"],
        progress=row["progress"],
        error=row["error"],
        pages=row["pages"],
        notes=tuple(decode(row["notes"])),
        embedding_model=row["embedding_model"],
        created_s=row["created_s"],
        updated_s=row["updated_s"],
    )
