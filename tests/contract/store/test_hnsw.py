"""The approximate index on Postgres: made for each model, asked where it pays, and no reason to find less."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from tests.contract.store.test_index import PASSAGES, numbers
from tests.contract.store.test_store import kept
from wye.drivers.sql import hnsw
from wye.drivers.sql.database import Database, database_url
from wye.drivers.sql.index import SqlIndex
from wye.drivers.sql.store import SqlStore
from wye.kernel.json import encode_text
from wye.kernel.secret import Secret
from wye.ports.store import Passage

MANY = [Passage(number=i, text="x") for i in range(300)]
SIZE = 8
NAME = hnsw.name_of("it's 100% m")


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    made = Database(database_url(Secret(postgres_url)))
    yield made
    await made.close()


@pytest.fixture
async def index(database: Database, monkeypatch: pytest.MonkeyPatch) -> SqlIndex:
    """Of two documents, one of which has few passages."""
    monkeypatch.setattr(hnsw, "LARGE", 0)
    store, index, made = SqlStore(database), SqlIndex(database), random.Random(5)
    for name, passages in (("many", MANY), ("few", PASSAGES)):
        await kept(store, name)
        await store.documents.keep(name, passages)
        vectors = {p.number: [made.gauss(0, 1) for _ in range(SIZE)] for p in passages}
        await index.put(name, "it's 100% m", vectors)
    return index


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        found = await connection.scalars(text("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%hnsw%'"))
        return list(found)


async def test_it_finds_what_an_exact_search_finds(index: SqlIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [[random.Random(seed).gauss(0, 1) for _ in range(SIZE)] for seed in range(5)]
    about = [await index.by_vector(["many", "few"], "it's 100% m", vector, 10) for vector in asked]
    monkeypatch.setattr(hnsw, "LARGE", 1000)
    assert about == [await index.by_vector(["many", "few"], "it's 100% m", vector, 10) for vector in asked]


async def test_of_few_passages_among_many_none_is_missed(index: SqlIndex) -> None:
    for seed in range(5):
        vector = [random.Random(seed).gauss(0, 1) for _ in range(SIZE)]
        assert sorted(numbers(await index.by_vector(["few"], "it's 100% m", vector, 5))) == [0, 1, 2, 3, 4]
        assert len(await index.by_vector(["few"], "it's 100% m", vector, 9)) == 5
    assert await index.by_vector(["few"], "another", vector, 5) == []


async def test_the_database_can_use_it(index: SqlIndex, database: Database) -> None:
    values = {"ids": ["many"], "model": "it's 100% m", "vector": encode_text([1.0] * SIZE), "limit": 10}
    async with database.read() as connection:
        assert await hnsw.pays(connection, ["many"], "it's 100% m")
        for line in ("SET LOCAL enable_seqscan = off", "SET LOCAL enable_sort = off"):
            await connection.execute(text(line))
        search = hnsw.search(SIZE)
        search.text = f"EXPLAIN {search.text}"
        plan = "\n".join(await connection.scalars(search, values))
    assert f"Index Scan using {NAME}" in plan


async def test_it_is_made_once_for_each_model_whose_vectors_it_can_hold(index: SqlIndex, database: Database) -> None:
    assert await names(database) == [NAME]
    await index.put("few", "long", {0: [1.0] * 2001, 1: [0.5] * 2000 + [-1.0]})
    await index.put("few", "n", {0: [1.0, 0.0]})
    assert sorted(await names(database)) == sorted(map(hnsw.name_of, ("it's 100% m", "n")))
    assert numbers(await index.by_vector(["few"], "long", [1.0] * 2001, 5)) == [0, 1]


async def test_what_an_older_version_has_kept_gets_it(index: SqlIndex, database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text(f"DROP INDEX {NAME}"))
        assert not await hnsw.pays(connection, ["many"], "it's 100% m")
        await connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    await database.close()
    assert await names(database) == [NAME]


async def test_a_pgvector_that_is_too_old_searches_exactly(
    index: SqlIndex, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hnsw, "_SINCE", (99, 0))
    await index.put("few", "n", {0: [1.0, 0.0]})
    assert hnsw.name_of("n") not in await names(database)
    assert numbers(await index.by_vector(["few"], "n", [1.0, 0.0], 5)) == [0]
