"""Brings a database to the form that this version of Wye needs; safe where several processes start at one time.

https://alembic.sqlalchemy.org/en/latest/cookbook.html#programmatic-api-use-connection-sharing-with-asyncio
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK = 0x57_79_65
"""Of Postgres's advisory locks, the one for Wye's tables."""


class NewerTables(Exception):
    """A newer version of Wye has changed the tables."""


async def migrate(engine: AsyncEngine) -> None:
    """Raises NewerTables."""
    async with engine.connect() as connection, connection.begin():  # on SQLite BEGIN IMMEDIATE: one process at a time
        if engine.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    if present == known.get_current_head():
        return
    if present is not None and present not in {revision.revision for revision in known.walk_revisions()}:
        raise NewerTables(
            f"The database was made by a newer version of Wye (its tables are of revision {present}): "
            "install that version, or give storage.url another database"
        )
    command.upgrade(config, "head")
