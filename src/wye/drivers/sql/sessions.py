"""Implements `ports.store.Sessions`. Whoever adds one clears away those whose time is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update

from wye.drivers.sql.database import Database
from wye.drivers.sql.paging import fetch_page
from wye.drivers.sql.tables import messages as rows_of_messages
from wye.drivers.sql.tables import sessions
from wye.kernel import clock
from wye.kernel.json import decode, encode_text
from wye.ports.store import Message, Page, Session

_KEPT, _KEPT_CHARACTERS = 1000, 1_000_000
"""Messages of a session, and what they hold together."""
_WORTH = ((rows_of_messages.c.role == "system").desc(), rows_of_messages.c.id.desc())
"""Instructions first, then what was said last."""


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
            "ttl_s": session.ttl_s,
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
                said, row = _measured(session_id), rows_of_messages.c
                kept = select(said.c.id).where(said.c.so_far <= _KEPT_CHARACTERS, said.c.place <= _KEPT)
                old = (row.session_id == session_id, row.id.not_in(kept))
                await connection.execute(delete(rows_of_messages).where(*old))

    async def messages(self, session_id: str, characters: int | None = None) -> list[Message]:
        said = _measured(session_id)
        query = select(said.c.role, said.c.content, said.c.created_s).order_by(said.c.id)
        if characters is not None:
            query = query.where(said.c.so_far <= characters)
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return [Message(**row) for row in rows.mappings()]


def _measured(session_id: str) -> Any:
    """The messages of a session, each with its place by worth, and how many characters it and those before it have."""
    row = rows_of_messages.c
    so_far = func.sum(func.length(row.content)).over(order_by=_WORTH).label("so_far")
    place = func.row_number().over(order_by=_WORTH).label("place")
    query = select(row.id, row.role, row.content, row.created_s, so_far, place)
    return query.where(row.session_id == session_id).subquery()


def _is_valid() -> Any:
    return sessions.c.expires_s > clock.wall_s()


def _session_of(row: RowMapping) -> Session:
    return Session(
        id=row["id"],
        principal=row["principal"],
        created_s=row["created_s"],
        expires_s=row["expires_s"],
        ttl_s=row["ttl_s"],
        metadata=decode(row["metadata"]),
    )
