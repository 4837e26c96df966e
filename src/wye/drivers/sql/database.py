"""A connection to SQLite or Postgres: the tables are made at first use, and a server that is away is said to be.

https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from weakref import WeakSet

from sqlalchemy import Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from wye.drivers.sql.migrate import NewerTables, migrate
from wye.kernel import clock
from wye.kernel.secret import Secret
from wye.ports.store import StoreAway

_CONNECT_S = 3
_BUSY_S = 10.0
"""How long a writer waits for another one. SQLite has one at a time; each of ours takes milliseconds."""
_PROBED_S = 0.5
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
log = logging.getLogger("wye")


def database_url(url: Secret) -> URL:
    """As SQLAlchemy takes it. Raises ValueError, without the URL in it: it may hold a password."""
    try:
        found = make_url(url.reveal())
    except (ArgumentError, ValueError):  # their text may hold parts of the URL: nothing of them goes on
        raise ValueError("it is no URL of a database: sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    driver = _DRIVERS.get(found.drivername)
    if driver is None:
        raise ValueError(f"no database is known as {found.drivername!r}: sqlite and postgresql are")
    if driver.startswith("sqlite") and found.database in (None, "", ":memory:"):
        raise ValueError("SQLite needs a file: sqlite:///FILE")
    return found.set(drivername=driver)


Insert = postgresql.Insert | sqlite.Insert


class Database:
    """Nothing is opened before the first use. `away` says why it cannot be reached."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.postgres = url.get_backend_name() == "postgresql"
        self.away: str | None = None
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()
        self._probe: asyncio.Task[None] | None = None
        self._workers: WeakSet[Thread] = WeakSet()
        """Of connections to SQLite. One whose caller is cancelled still ends its statement, and then tells the event
        loop, which must not be closed by then."""

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """One moment's view of everything. Raises StoreAway."""
        async with self._begun(writes=False) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction: all of it, or nothing where the block raises. Raises StoreAway."""
        async with self._begun(writes=True) as connection:
            yield connection

    def insert(self, table: Table) -> Insert:
        """One that can say what happens where the row is there already, which each database says in its own way."""
        return postgresql.insert(table) if self.postgres else sqlite.insert(table)

    async def close(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None
        if any(worker.is_alive() for worker in self._workers):
            await asyncio.to_thread(_wait_for, [*self._workers])

    @asynccontextmanager
    async def _begun(self, *, writes: bool) -> AsyncGenerator[AsyncConnection]:
        try:
            engine = self._engine or await self._opened()
            async with engine.connect() as connection:
                await connection.execution_options(writes=writes)
                async with connection.begin():
                    yield connection
        except (OperationalError, InterfaceError, PoolTimeout, OSError, NewerTables) as error:
            raise self._lost(error) from None
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise self._lost(error) from None

    async def _opened(self) -> AsyncEngine:
        async with self._opening:
            if self._engine is None:
                engine = _postgres(self.url) if self.postgres else _sqlite(self.url, self._workers)
                try:
                    await migrate(engine)
                except BaseException:
                    await engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _lost(self, error: Exception) -> StoreAway:
        reason = _reason(error)
        if self.away is None:
            self.away = f"The database cannot be used: {reason}"
            log.warning("%s", self.away)
            self._probe = asyncio.create_task(self._wait_for_it())
        return StoreAway(self.away, retry_after_s=1)

    async def _wait_for_it(self) -> None:
        while True:
            await asyncio.sleep(_PROBED_S)
            try:
                engine = self._engine or await self._opened()
                async with engine.connect() as connection:
                    await connection.exec_driver_sql("SELECT 1")
            except (DBAPIError, PoolTimeout, OSError, NewerTables):
                continue
            self.away = None
            log.warning("The database is back")
            return


def _reason(error: Exception) -> str:
    """One line, without addresses and passwords."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(cause, sqlite3.Error | NewerTables):
        return str(cause)
    return type(cause).__name__


def _wait_for(workers: list[Thread]) -> None:
    until_s = clock.monotonic_s() + _BUSY_S
    for worker in workers:
        worker.join(max(0.0, until_s - clock.monotonic_s()))


def _sqlite(url: URL, workers: WeakSet[Thread]) -> AsyncEngine:
    assert url.database is not None
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_async_engine(url, connect_args={"timeout": _BUSY_S}, pool_size=4, max_overflow=4, pool_timeout=10)

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        driver = connection.driver_connection
        workers.add(getattr(driver, "_thread", driver))  # before aiosqlite 0.22 it was a thread itself
        connection.isolation_level = None  # BEGIN is said below: sqlite3 would say it too late, and never before DDL
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        path.chmod(0o600)

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Any) -> None:
        # A transaction that reads first and then writes cannot be waited for: it must be a writer from its beginning.
        writes = connection.get_execution_options().get("writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    assert connected is not None
    assert begun is not None
    return engine


def _postgres(url: URL) -> AsyncEngine:
    arguments = {"connect_timeout": _CONNECT_S, **_KEEPALIVE}
    return create_async_engine(
        url, connect_args=arguments, pool_size=8, max_overflow=8, pool_timeout=10, pool_pre_ping=True, pool_recycle=1800
    )


_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 15_000}
"""A server that vanished without a word is noticed. https://www.postgresql.org/docs/current/libpq-connect.html"""
