"""The tables: made once, whoever comes first, and never those of a newer version."""

from __future__ import annotations

import asyncio
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text

from wye.drivers.sql.database import Database, database_url
from wye.drivers.sql.tables import jobs, metadata
from wye.kernel.secret import Secret
from wye.ports.store import StoreAway


async def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    def is_table(thing: Any, name: str | None, kind: str, reflected: bool, of: Any) -> bool:
        """Not what only the index knows, which is another on each database."""
        return not (reflected and str(name).startswith(("passage_words", "passage_vectors", "words")))

    def differences(connection: Any) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection, opts={"include_object": is_table}), metadata)

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_who_comes_first_makes_the_tables_and_the_others_wait(database: Database) -> None:
    others = [Database(database.url) for _ in range(4)]

    async def count(database: Database) -> int:
        async with database.read() as connection:
            return len((await connection.execute(select(jobs))).all())

    assert await asyncio.gather(*(count(other) for other in (*others, database))) == [0] * 5
    for other in others:
        await other.close()


async def test_the_tables_of_a_newer_version_are_left_alone(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(StoreAway, match=r"newer version of Wye .* 9999"):
        async with database.read():
            pass


async def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    job = {"subject": "a", "attempts": 0, "due_s": 0.0}

    async def fail() -> None:
        async with database.write() as connection:
            await connection.execute(insert(jobs).values(job))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.read() as connection:
        assert (await connection.execute(select(jobs))).all() == []


async def test_a_statement_whose_caller_left_is_over_when_the_database_is_closed(database: Database) -> None:
    """Its thread tells the event loop, which may be closed then."""
    if database.postgres:
        return  # it has none
    database = Database(database.url)
    before = {*threading.enumerate()}
    begun = asyncio.Event()

    async def count() -> None:
        async with database.read() as connection:
            begun.set()
            numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "
            await connection.execute(text(numbers + "SELECT max(i) FROM n"))

    counting = asyncio.create_task(count())
    await begun.wait()
    await asyncio.sleep(0.01)
    counting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await counting
    await database.close()
    assert not [one for one in {*threading.enumerate()} - before if not one.name.startswith("asyncio_")]


async def test_writers_wait_for_each_other(database: Database) -> None:
    async def add(number: int) -> None:
        async with database.write() as connection:
            await connection.execute(insert(jobs).values(subject=str(number), attempts=0, due_s=0.0))

    await asyncio.gather(*(add(number) for number in range(40)))
    async with database.read() as connection:
        assert len((await connection.execute(select(jobs))).all()) == 40


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("what:secret", "no URL"),
        ("mysql://me:secret@host/x", "'mysql'"),
        ("postgresql://me:pw@host:secret/x", "URL of a database"),
        ("sqlite://", "file"),
        ("sqlite:///:memory:", "file"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        database_url(Secret(url))
    assert "secret" not in "".join(traceback.format_exception(raised.value)), "nor is it in what a log would show"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_the_address_of_postgres_is_understood(scheme: str) -> None:
    assert database_url(Secret(f"{scheme}://me:pw@host/x")).drivername == "postgresql+psycopg"


async def test_nobody_else_on_the_machine_reads_the_file(tmp_path: Path) -> None:
    database = Database(database_url(Secret(f"sqlite:///{tmp_path}/new/wye.db")))
    async with database.read():
        pass
    await database.close()
    assert (tmp_path / "new" / "wye.db").stat().st_mode & 0o777 == 0o600
