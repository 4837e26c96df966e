"""Implements `ports.store.Files`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping, delete, insert, or_, select

from wye.drivers.sql.database import Database
from wye.drivers.sql.paging import fetch_page
from wye.drivers.sql.questions import forget_questions
from wye.drivers.sql.tables import documents, files
from wye.kernel import clock
from wye.ports.store import Page, StoredFile

FIELDS = tuple(field.name for field in msgspec.structs.fields(StoredFile))


class SqlFiles:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, file: StoredFile) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(files).values(msgspec.structs.asdict(file)))

    async def get(self, principal: str, file_id: str) -> StoredFile | None:
        query = select(files).where(files.c.id == file_id, files.c.principal == principal, _is_valid())
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return file_of(row) if row else None

    async def find(self, principal: str, file_ids: Sequence[str]) -> dict[str, StoredFile]:
        query = select(files).where(files.c.id.in_(file_ids), files.c.principal == principal, _is_valid())
        async with self._database.read() as connection:
            return {row["id"]: file_of(row) for row in (await connection.execute(query)).mappings()}

    async def list(self, principal: str, page: Page, purpose: str | None = None) -> list[StoredFile]:
        query, row = select(files).where(files.c.principal == principal, _is_valid()), files.c
        only = () if purpose is None else (row.purpose == purpose,)
        async with self._database.read() as connection:
            return [file_of(found) for found in await fetch_page(connection, query, page, row.created_s, row.id, *only)]

    async def delete(self, principal: str, file_id: str) -> StoredFile | None:
        query = delete(files).where(files.c.id == file_id, files.c.principal == principal).returning(files)
        theirs = select(documents.c.id).where(documents.c.file_id == file_id, documents.c.principal == principal)
        async with self._database.write() as connection:
            await forget_questions(connection, theirs)
            row = (await connection.execute(query)).mappings().one_or_none()
        return file_of(row) if row else None

    async def expired(self, now_s: float, limit: int) -> list[StoredFile]:
        query = select(files).where(files.c.expires_s <= now_s).order_by(files.c.expires_s).limit(limit)
        async with self._database.read() as connection:
            return [file_of(row) for row in (await connection.execute(query)).mappings()]


def _is_valid() -> Any:
    return or_(files.c.expires_s.is_(None), files.c.expires_s > clock.wall_s())


def file_of(row: RowMapping, prefix: str = "") -> StoredFile:
    return StoredFile(**{name: row[f"{prefix}{name}"] for name in FIELDS})
