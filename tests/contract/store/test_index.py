"""What every index does, whichever database keeps it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from tests.contract.store.test_store import kept
from wye.drivers.sql import index as module
from wye.drivers.sql.database import Database
from wye.drivers.sql.index import SqlIndex
from wye.drivers.sql.store import SqlStore
from wye.kernel.errors import ConfigError
from wye.ports.index import Found
from wye.ports.store import Passage

TEXTS = (
    ("The cat sat on the mats.", None),
    ("Cats run.", None),
    ('A dog\'s "day": it barks & runs', None),
    ("Zürich 2026, naïve", "Pets"),
    ("cat cat cat dog", None),
)
PASSAGES = [Passage(number=i, text=said, page=i + 1, heading=heading) for i, (said, heading) in enumerate(TEXTS)]


@pytest.fixture
async def store(database: Database) -> SqlStore:
    store = SqlStore(database)
    for name in ("a", "b"):
        await kept(store, name)
        await store.documents.keep(name, PASSAGES)
    return store


@pytest.fixture
def index(database: Database, store: SqlStore) -> SqlIndex:
    return SqlIndex(database)


def numbers(found: list[Found]) -> list[int]:
    return [one.passage.number for one in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cat", {0, 1, 4}),
        ("CATS mat", {0, 1, 4}),
        ("pets", {3}),
        ("zürich", {3}),
        ('running "day', {1, 2}),
        ("barks' OR 1=1; --", {2}),
        ("NEAR(day) * ^ text:mat -barks", {0, 2}),
        ("elephant", set()),
        ("?!", set()),
        ("", set()),
    ],
)
async def test_passages_are_found_by_any_of_their_words(index: SqlIndex, words: str, expected: set[int]) -> None:
    found = await index.by_words(["a"], words, 10)
    assert set(numbers(found)) == expected
    assert all(one == Found("a", PASSAGES[one.passage.number]) for one in found)


async def test_what_has_more_of_the_words_is_first_and_a_limit_holds(index: SqlIndex) -> None:
    assert numbers(await index.by_words(["a"], "dog barks day", 10))[0] == 2
    assert len(await index.by_words(["a"], "cat", 2)) == 2


async def test_only_the_documents_that_are_asked_are_searched(index: SqlIndex) -> None:
    await index.put("a", "m", {0: [1.0, 0.0]})
    await index.put("b", "m", {1: [1.0, 0.0]})
    assert {one.document_id for one in await index.by_words(["a", "b"], "cat", 10)} == {"a", "b"}
    assert {one.document_id for one in await index.by_words(["b"], "cat", 10)} == {"b"}
    assert [one.document_id for one in await index.by_vector(["b"], "m", [1.0, 0.0], 10)] == ["b"]
    assert await index.by_words([], "cat", 10) == []
    assert await index.by_vector([], "m", [1.0, 0.0], 10) == []
    assert await index.by_vector(["nobody's"], "m", [1.0, 0.0], 10) == []


async def test_passages_are_found_by_the_angle_of_their_vectors(index: SqlIndex) -> None:
    await index.put("a", "m", {0: [3.0, 0.0], 1: [0.1, 0.1], 2: [0.0, 1.0], 3: [-1.0, 0.0]})
    assert numbers(await index.by_vector(["a"], "m", [1.0, 0.2], 3)) == [0, 1, 2]
    assert numbers(await index.by_vector(["a"], "m", [0.1, 2.0], 1)) == [2]
    (found,) = await index.by_vector(["a"], "m", [-1.0, 0.0], 1)
    assert found == Found("a", PASSAGES[3])


async def test_many_vectors_are_read_in_parts(index: SqlIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READ_AT_ONCE", 2)
    await index.put("a", "m", {i: [1.0, float(i)] for i in range(5)})
    assert numbers(await index.by_vector(["a"], "m", [0.0, 1.0], 2)) == [4, 3]


async def test_vectors_of_two_models_are_kept_apart(index: SqlIndex) -> None:
    await index.put("a", "m", {0: [1.0, 0.0]})
    await index.put("a", "n", {1: [1.0, 0.0, 0.0]})
    assert numbers(await index.by_vector(["a"], "m", [1.0, 0.0], 9)) == [0]
    assert numbers(await index.by_vector(["a"], "n", [1.0, 0.0, 0.0], 9)) == [1]
    assert await index.missing("a", "m") == [1, 2, 3, 4]
    assert await index.missing("a", "other") == [0, 1, 2, 3, 4]


async def test_vectors_of_two_lengths_are_never_compared(index: SqlIndex) -> None:
    await index.put("a", "m", {0: [1.0, 0.0]})
    await index.put("a", "m", {})
    for again in (index.put("b", "m", {0: [1.0, 0.0, 0.0]}), index.by_vector(["a"], "m", [1.0], 9)):
        with pytest.raises(ConfigError, match=r"'m' made vectors of 2 dimensions before, and now of [13],"):
            await again
    assert numbers(await index.by_vector(["a", "b"], "m", [1.0, 0.0], 9)) == [0]


async def test_what_is_put_again_takes_the_place_of_what_was(index: SqlIndex) -> None:
    await index.put("a", "m", {0: [1.0, 0.0], 1: [0.0, 1.0]})
    await index.put("a", "m", {0: [0.0, 1.0], 1: [1.0, 0.0], 99: [1.0, 0.0]})
    assert numbers(await index.by_vector(["a"], "m", [1.0, 0.0], 9)) == [1, 0]


async def test_what_is_deleted_or_read_anew_is_found_no_more(index: SqlIndex, store: SqlStore) -> None:
    await index.put("a", "m", {0: [1.0, 0.0]})
    await index.put("b", "m", {0: [1.0, 0.0]})
    await store.documents.delete("me", "a")
    await store.documents.keep("b", [Passage(number=0, text="Only fish")])
    assert await index.by_words(["a", "b"], "cat", 9) == []
    assert numbers(await index.by_words(["a", "b"], "fish", 9)) == [0]
    assert await index.by_vector(["a", "b"], "m", [1.0, 0.0], 9) == []
    assert await index.missing("b", "m") == [0]


async def test_several_make_the_table_of_vectors_at_one_time(database: Database, store: SqlStore) -> None:
    await asyncio.gather(*(SqlIndex(database).put("a", "m", {i: [1.0, 0.0]}) for i in range(4)))
    assert len(await SqlIndex(database).by_vector(["a"], "m", [1.0, 0.0], 9)) == 4


async def test_a_postgres_without_vectors_says_what_it_needs(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wye.drivers.sql.database import database_url
    from wye.kernel.secret import Secret

    monkeypatch.setattr(module, "_MAKE", ("CREATE EXTENSION no_such_extension",))
    database = Database(database_url(Secret(postgres_url)))
    try:
        with pytest.raises(ConfigError, match=r"need its extension pgvector: .*no_such_extension"):
            await SqlIndex(database).missing("a", "m")
        async with database.read() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    finally:
        await database.close()
