"""Implements `ports.store.Store`."""

from __future__ import annotations

from wye.drivers.sql.collections import SqlCollections
from wye.drivers.sql.database import Database
from wye.drivers.sql.documents import SqlDocuments
from wye.drivers.sql.files import SqlFiles
from wye.drivers.sql.questions import SqlQuestions
from wye.drivers.sql.sessions import SqlSessions
from wye.ports.store import Collections, Documents, Files, Questions, Sessions


class SqlStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.files: Files = SqlFiles(database)
        self.documents: Documents = SqlDocuments(database)
        self.collections: Collections = SqlCollections(database)
        self.questions: Questions = SqlQuestions(database)
        self.sessions: Sessions = SqlSessions(database)

    @property
    def away(self) -> str | None:
        return self._database.away

    async def close(self) -> None:
        await self._database.close()
