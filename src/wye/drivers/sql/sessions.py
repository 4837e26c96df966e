"""Implements `ports.store.Sessions`. Whoever adds one clears away those whose time is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from wye.drivers.sql.database import Database
from wye.drivers.sql.paging import fetch_page
from wye.drivers.sql.tables import messages as rows_of_messages
from wye.drivers.sql.tables import sessions
from wye.kernel import clock
from wye.kernel.json import decode, encode_text
from wye.ports.store import Message, Page, Session


class SqlSessions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, session: Session) -> None:
        row = {
            "id": session.id,
            "principal": session.principal,
            "metadata": encode_text(session.metadata),
            "created_s": session.created_s,
            "expires_s": session.expires_s,
        }
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(~_is_valid()))
            await connection.execute(insert(sessions).values(row))

    async def get(self, principal: str, session_id: str) -> Session | None:
        query = select(sessions).where(sessions.c.id == session_id, sessions.c.principal == principal, _is_valid())
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return _session_of(row) if row else None

    async def list(self, principal: str, page: Page) -> list[Session]:
        query, row = select(sessions).where(sessions.c.principal == principal, _is_valid()), sessions.c
        async with self._database.read() as connection:
            return [_session_of(found) for found in await fetch_page(connection, query, page, row.created_s, row.id)]

    async def delete(self, principal: str, session_id: str) -> bool:
        this = (sessions.c.id == session_id, sessions.c.principal == principal, _is_valid())
        async with self._database.write() as connection:
            return bool((await connection.execute(delete(sessions).where(*this))).rowcount)

    async def say(self, session_id: str, messages: Sequence[Message], *, expires_s: float) -> None:
        rows = [
            {"session_id": session_id, "role": m.role, "content": m.content, "created_s": m.created_s} for m in messages
        ]
        this = sessions.c.id == session_id
        async with self._database.write() as connection:
            known = await connection.execute(update(sessions).where(this).values(expires_s=expires_s))
            if known.rowcount and rows:
                await connection.execute(insert(rows_of_messages), rows)

    async def messages(self, session_id: str) -> list[Message]:
        row = rows_of_messages.c
        query = select(row.role, row.content, row.created_s).where(row.session_id == session_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(row.id))
            return [Message(**row) for row in rows.mappings()]


def _is_valid() -> Any:
    return sessions.c.expires_s > clock.wall_s()


def _session_of(row: RowMapping) -> Session:
    return Session(
        id=row["id"],
        principal=row["principal"],
        created_s=row["created_s"],
        expires_s=row["expires_s"],
        metadata=decode(row["metadata"]),
    )
