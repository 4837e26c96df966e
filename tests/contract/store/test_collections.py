"""Collections, which are OpenAI's vector stores, on every database."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.contract.store.test_store import kept
from wye.drivers.sql.database import Database
from wye.drivers.sql.store import SqlStore
from wye.kernel import clock
from wye.ports.store import Batch, Collection, Page, Passage, Source, StoredDocument, Tally


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database)


async def made(store: SqlStore, name: str = "vs-1", **values: Any) -> Collection:
    collection = Collection(**{"id": name, "principal": "me", "name": "books", "created_s": 1.0, **values})
    await store.collections.add(collection)
    return collection


async def test_collections_hold_documents(store: SqlStore) -> None:
    first, second = await kept(store, "doc-1"), await kept(store, "doc-2")
    collection = Collection(id="vs-1", principal="me", name="books", created_s=1.0, metadata={"k": "v"})
    newer = Collection(id="vs-2", principal="me", name="books", created_s=2.0)
    for made in (collection, newer):
        await store.collections.add(made)
    assert await store.collections.get("me", "vs-1") == collection
    assert await store.collections.get("me", "books") == newer
    assert await store.collections.get("you", "vs-1") is None
    assert await store.collections.list("me", Page(order="asc")) == [collection, newer]
    renamed = replace(collection, name="papers", metadata={})
    assert await store.collections.update(renamed)
    assert not await store.collections.update(replace(renamed, principal="you", name="mine"))
    assert await store.collections.get("me", "papers") == renamed

    await store.collections.put("vs-1", {"doc-1": {}})
    await store.collections.put("vs-1", {"doc-2": {"year": 2026.0}})
    await store.collections.put("vs-1", {"doc-1": {"new": True, "text": "a"}})
    assert [(m.document, m.attributes) for m in await store.collections.members("vs-1")] == [
        (first, {"new": True, "text": "a"}),
        (second, {"year": 2026.0}),
    ]
    assert await store.collections.remove("vs-1", "doc-1")
    assert not await store.collections.remove("vs-1", "doc-1")
    await store.documents.delete("me", "doc-2")
    assert await store.collections.members("vs-1") == []
    assert not await store.collections.delete("you", "vs-1")
    assert await store.collections.delete("me", "vs-1")
    assert await store.documents.get("me", "doc-1") == first


async def ready(store: SqlStore, name: str) -> StoredDocument:
    document = await kept(store, name)
    await store.documents.keep(name, [Passage(number=0, text="x")])
    await store.documents.finish(name, pages=1)
    return document


async def test_what_its_owner_says_of_a_collection_is_kept(store: SqlStore) -> None:
    collection = await made(store, description="Of rivers", expires_days=7, active_s=None)
    assert await store.collections.get("me", "vs-1") == collection
    assert collection.expires_s == 1.0 + 7 * 86_400
    changed = replace(collection, expires_days=None, description=None)
    assert await store.collections.update(changed)
    await store.collections.touch("vs-1", 5.0)
    seen = await store.collections.get("me", "vs-1")
    assert seen is not None
    assert seen == replace(changed, active_s=5.0)
    assert seen.expires_s is None
    assert replace(seen, expires_days=1).expires_s == 5.0 + 86_400


async def test_its_members_are_counted_by_how_far_they_are(store: SqlStore) -> None:
    await made(store)
    await made(store, "vs-2")
    for name in ("a", "b"):
        await ready(store, name)
    await kept(store, "c")
    await kept(store, "d")
    await store.documents.fail("d", "no")
    for name in ("a", "b", "c", "d"):
        await store.collections.put("vs-1", {name: {}})
    size = 2 * 5_000_000_000
    assert await store.collections.tallies(["vs-1", "vs-2"]) == {"vs-1": Tally(1, 2, 1, 0, size), "vs-2": Tally()}
    assert await store.collections.tallies([]) == {}
    by_status = [
        [m.document.id for m in await store.collections.page("vs-1", Page(order="asc"), status)]
        for status in (None, "in_progress", "completed", "failed", "cancelled")
    ]
    assert by_status == [["a", "b", "c", "d"], ["c"], ["a", "b"], ["d"], []]
    assert await store.collections.sources(["vs-1", "vs-2"]) == [
        Source("a", "file-of-a", "file-of-a.pdf", {}),
        Source("b", "file-of-b", "file-of-b.pdf", {}),
    ]
    await store.documents.renew("d")
    assert (await store.collections.tallies(["vs-1"]))["vs-1"].in_progress == 2
    await store.documents.renew("a")
    assert (await store.collections.tallies(["vs-1"]))["vs-1"].completed == 2


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_its_members_are_told_in_pages(store: SqlStore, order: Any) -> None:
    await made(store)
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        await kept(store, name)
        await store.collections.put("vs-1", {name: {}})
    files = [f"file-of-{name}" for name in (names if order == "asc" else names[::-1])]

    async def page(**values: Any) -> list[str]:
        found = await store.collections.page("vs-1", Page(limit=2, order=order, **values))
        return [member.document.file.id for member in found]

    assert [await page(), await page(after=files[1]), await page(after=files[3])] == [files[:2], files[2:4], files[4:]]
    assert [await page(before=files[4]), await page(before=files[1]), await page(before=files[0])] == [
        files[2:4],
        files[:1],
        [],
    ]
    assert await page(after="file-0") == await page(before="file-0") == []


async def test_a_member_is_known_by_its_file(store: SqlStore) -> None:
    await made(store)
    document = await ready(store, "a")
    await store.collections.put("vs-1", {"a": {"year": 2026.0, "new": True, "text": "a"}})
    member = await store.collections.member("vs-1", "file-of-a")
    assert member is not None
    assert (member.document.file, member.status) == (document.file, "completed")
    assert member.attributes == {"year": 2026.0, "new": True, "text": "a"}
    assert await store.collections.describe("vs-1", "a", {"year": 1.0})
    assert not await store.collections.describe("vs-1", "b", {"year": 1.0})
    changed = await store.collections.member("vs-1", "file-of-a")
    assert changed == replace(member, attributes={"year": 1.0})
    assert await store.collections.member("vs-1", "file-of-b") is None
    await store.files.delete("me", "file-of-a")
    assert await store.collections.member("vs-1", "file-of-a") is None
    assert (await store.collections.tallies(["vs-1"]))["vs-1"] == Tally()


async def test_a_batch_is_called_back(store: SqlStore) -> None:
    await made(store)
    await made(store, "vs-2")
    batch = Batch(id="b-1", collection_id="vs-1", created_s=2.0)
    await store.collections.add_batch(batch)
    await ready(store, "read")
    for name in ("alone", "shared", "other"):
        await kept(store, name)
    for name in ("read", "alone", "shared"):
        await store.collections.put("vs-1", {name: {}}, "b-1")
    await store.collections.put("vs-1", {"other": {}})
    await store.collections.put("vs-2", {"shared": {}})
    assert await store.collections.batch("vs-1", "b-1") == batch
    assert await store.collections.batch("vs-2", "b-1") is None
    assert await store.collections.tally_of_batch("b-1") == Tally(in_progress=2, completed=1, bytes=5_000_000_000)

    assert [document.id for document in await store.collections.cancel("b-1")] == ["alone"]
    assert await store.collections.batch("vs-1", "b-1") == replace(batch, cancelled=True)
    assert await store.collections.tally_of_batch("b-1") == Tally(completed=1, cancelled=2, bytes=5_000_000_000)
    listed = await store.collections.page("vs-1", Page(), "cancelled", "b-1")
    assert {member.document.id for member in listed} == {"alone", "shared"}
    await store.documents.finish("shared", pages=1)
    assert [source.document_id for source in await store.collections.sources(["vs-1"])] == ["read"]
    await store.collections.put("vs-1", {"shared": {}})
    assert {source.document_id for source in await store.collections.sources(["vs-1"])} == {"read", "shared"}
    assert await store.collections.tally_of_batch("b-1") == Tally(completed=1, cancelled=1, bytes=5_000_000_000)
    assert (await store.collections.tallies(["vs-1"]))["vs-1"].in_progress == 1
    await store.collections.delete("me", "vs-1")
    assert await store.collections.batch("vs-1", "b-1") is None


async def test_a_document_in_two_collections_is_as_each_of_them_says(store: SqlStore) -> None:
    await ready(store, "a")
    for name in ("vs-1", "vs-2"):
        await made(store, name, created_s=clock.wall_s())
        await store.collections.put(name, {"a": {"from": name}})
    sources = await store.collections.sources(["vs-1", "vs-2"])
    assert sorted((source.document_id, source.attributes["from"]) for source in sources) == [
        ("a", "vs-1"),
        ("a", "vs-2"),
    ]
