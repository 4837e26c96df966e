"""Implements `ports.store.Store`."""

from __future__ import annotations

from wye.drivers.sql.collections import SqlCollections
from wye.drivers.sql.database import Database
from wye.drivers.sql.documents import SqlDocuments
from wye.drivers.sql.files import SqlFiles
from wye.drivers.sql.questions import SqlQuestions
from wye.drivers.sql.sessions import SqlSessions


class SqlStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.files = SqlFiles(database)
        self.documents = SqlDocuments(database)
        self.collections = SqlCollections(database)
        self.questions = SqlQuestions(database)
        self.sessions = SqlSessions(database)

    @property
    def away(self) -> str | None:
        return self._database.away

    async def close(self) -> None:
        await self._database.close()
