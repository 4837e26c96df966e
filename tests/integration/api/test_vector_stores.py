"""/v1/vector_stores, as OpenAI's own client uses it, and as nobody should."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests import wire
from wye.testing.server import WyeServer

RIVERS = {
    "wye.md": b"# Wye\n\nThe Wye rises on Plynlimon and flows to Chepstow.",
    "severn.md": b"# Severn\n\nThe Severn is the longest river of Britain.",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[WyeServer]:
    with WyeServer({"local": {"enabled": False}, "home": str(home)}) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.app.pipeline.auth, "principal", lambda headers: headers[b"authorization"].decode())
        yield server


def client(server: WyeServer, key: str = "me") -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


@pytest.fixture
def openai(server: WyeServer) -> OpenAI:
    return client(server)


@pytest.fixture(scope="module")
def files(server: WyeServer) -> dict[str, str]:
    """The ids of the rivers' files."""
    return {name: kept(client(server), name, content) for name, content in RIVERS.items()}


def kept(openai: OpenAI, name: str, content: bytes) -> str:
    return openai.files.create(file=(name, content), purpose="assistants").id


def until_read(openai: OpenAI, store_id: str) -> None:
    wire.until(lambda: openai.vector_stores.retrieve(store_id).status == "completed")


def test_the_whole_life_of_a_store(openai: OpenAI, files: dict[str, str]) -> None:
    made = openai.vector_stores.create(
        name="Rivers",
        description="Of Britain",
        file_ids=list(files.values()),
        metadata={"of": "me"},
        expires_after={"anchor": "last_active_at", "days": 7},
        chunking_strategy={"type": "auto"},
    )
    assert (made.object, made.name, made.metadata, made.file_counts.total) == (
        "vector_store",
        "Rivers",
        {"of": "me"},
        2,
    )
    assert made.id.startswith("vs_")
    assert made.expires_at is not None
    assert made.last_active_at is not None
    assert made.expires_at - made.last_active_at == 7 * 86_400
    until_read(openai, made.id)
    seen = openai.vector_stores.retrieve(made.id)
    assert (seen.file_counts.completed, seen.file_counts.in_progress) == (2, 0)
    assert seen.usage_bytes == sum(map(len, RIVERS.values()))
    changed = openai.vector_stores.update(made.id, name="Water", metadata={}, expires_after=None)
    assert (changed.name, changed.metadata, changed.expires_after, changed.expires_at) == ("Water", {}, None, None)
    assert openai.vector_stores.update(made.id, name="W").expires_after is None
    assert made.id in [store.id for store in openai.vector_stores.list()]
    assert openai.vector_stores.delete(made.id).deleted
    with pytest.raises(NotFoundError, match=f"Vector store '{made.id}' not found"):
        openai.vector_stores.retrieve(made.id)
    assert openai.files.retrieve(files["wye.md"]).status == "processed"


def test_stores_are_listed_in_pages(openai: OpenAI) -> None:
    for store in openai.vector_stores.list():
        openai.vector_stores.delete(store.id)
    made = [openai.vector_stores.create(name=str(i)).id for i in range(4)]
    assert [store.id for store in openai.vector_stores.list(limit=3, order="asc")] == made
    assert [store.id for store in openai.vector_stores.list(limit=2)] == made[::-1]
    page = openai.vector_stores.list(before=made[3], limit=2, order="asc")
    assert ([store.id for store in page.data], page.has_more) == (made[1:3], True)
    page = openai.vector_stores.list(before=made[1], limit=2, order="asc")
    assert ([store.id for store in page.data], page.has_more) == (made[:1], False)


def test_a_search_finds_passages(openai: OpenAI, files: dict[str, str]) -> None:
    store = openai.vector_stores.create().id
    for name, file_id in files.items():
        openai.vector_stores.files.create_and_poll(
            file_id,
            vector_store_id=store,
            attributes={"river": name.removesuffix(".md"), "length": len(name)},
            poll_interval_ms=20,
        )
    page = openai.vector_stores.search(store, query="Which is the longest?", rewrite_query=True)
    found = page.data[0]
    assert (found.file_id, found.filename) == (files["severn.md"], "severn.md")
    assert found.attributes == {"river": "severn", "length": 9}
    assert "longest river" in found.content[0].text
    assert 0 < found.score <= 1
    both = openai.vector_stores.search(store, query=["longest", "Plynlimon"])
    assert {hit.file_id for hit in both.data} == set(files.values())
    assert len(openai.vector_stores.search(store, query=["longest", "Plynlimon"], max_num_results=1).data) == 1
    only = openai.vector_stores.search(
        store, query="river Wye Severn", filters={"type": "eq", "key": "river", "value": "wye"}
    )
    assert {hit.filename for hit in only.data} == {"wye.md"}
    none = openai.vector_stores.search(store, query="river", filters={"type": "gt", "key": "length", "value": 99})
    assert none.data == []
    strict: Any = {"score_threshold": 1.0, "ranker": "none", "hybrid_search": {"embedding_weight": 1, "text_weight": 0}}
    assert openai.vector_stores.search(store, query="river", ranking_options=strict).data == []


def test_a_store_is_asked_as_a_collection(server: WyeServer, openai: OpenAI, files: dict[str, str]) -> None:
    store = openai.vector_stores.create(name="asked").id
    assert asked(server, store)[0] == 409, "nothing in it is read"
    for file_id in files.values():
        openai.vector_stores.files.create_and_poll(file_id, vector_store_id=store, poll_interval_ms=20)
    for name in (store, "asked"):
        status, answer = asked(server, name)
        assert (status, answer["citations"][0]["filename"]) == (200, "severn.md")


def asked(server: WyeServer, collection: str) -> tuple[int, Any]:
    body = {"question": "Which is the longest river?", "collection": collection, "stream": False}
    status, _, said = wire.call(server.url, "/api/v1/ask", body, headers={"authorization": "Bearer me"})
    return status, json.loads(said)


def test_a_file_goes_into_a_store_and_out(openai: OpenAI, files: dict[str, str]) -> None:
    store, file_id = openai.vector_stores.create().id, files["wye.md"]
    added = openai.vector_stores.files.create_and_poll(
        file_id, vector_store_id=store, attributes={"a": 1}, poll_interval_ms=20
    )
    assert (added.id, added.status, added.vector_store_id, added.attributes) == (file_id, "completed", store, {"a": 1})
    assert added.last_error is None
    assert openai.vector_stores.files.retrieve(file_id, vector_store_id=store) == added
    changed = openai.vector_stores.files.update(file_id, vector_store_id=store, attributes={"b": True})
    assert changed.attributes == {"b": True}
    content = list(openai.vector_stores.files.content(file_id, vector_store_id=store))
    assert "The Wye rises on Plynlimon" in "".join(part.text or "" for part in content)
    assert [file.id for file in openai.vector_stores.files.list(store, filter="completed")] == [file_id]
    assert openai.vector_stores.files.list(store, filter="failed").data == []
    assert openai.vector_stores.files.delete(file_id, vector_store_id=store).deleted
    with pytest.raises(NotFoundError, match="No file"):
        openai.vector_stores.files.retrieve(file_id, vector_store_id=store)
    assert openai.files.retrieve(file_id).id == file_id


def test_a_file_that_comes_several_times_at_once_is_read_once(openai: OpenAI) -> None:
    stores = [openai.vector_stores.create().id for _ in range(2)]
    file_id = kept(openai, "usk.md", b"The Usk flows to Newport.")
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda i: openai.vector_stores.files.create(stores[i % 2], file_id=file_id), range(4)))
    for store in stores:
        until_read(openai, store)
        assert [file.id for file in openai.vector_stores.files.list(store)] == [file_id]


def test_what_cannot_be_read_fails_with_a_reason(openai: OpenAI) -> None:
    store = openai.vector_stores.create().id
    for name, content, code in (
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0", "unsupported_file"),
        ("a.txt", b" ", "invalid_file"),
    ):
        file_id = kept(openai, name, content)
        failed = openai.vector_stores.files.create_and_poll(file_id, vector_store_id=store, poll_interval_ms=20)
        assert failed.status == "failed"
        assert failed.last_error is not None
        assert failed.last_error.code == code
        assert (
            openai.vector_stores.files.create_and_poll(file_id, vector_store_id=store, poll_interval_ms=20).status
            == "failed"
        )
    counts = openai.vector_stores.retrieve(store).file_counts
    assert (counts.failed, counts.total) == (2, 2)


def test_a_file_that_is_deleted_leaves_its_stores(openai: OpenAI) -> None:
    file_id = kept(openai, "a.txt", b"Rivers")
    store = openai.vector_stores.create(file_ids=[file_id]).id
    until_read(openai, store)
    openai.files.delete(file_id)
    assert openai.vector_stores.retrieve(store).file_counts.total == 0
    assert openai.vector_stores.files.list(store).data == []
    assert openai.vector_stores.search(store, query="Rivers").data == []


def test_files_come_in_batches(openai: OpenAI, files: dict[str, str]) -> None:
    store = openai.vector_stores.create().id
    batch = openai.vector_stores.file_batches.create_and_poll(
        store,
        files=[{"file_id": file_id, "attributes": {"name": name}} for name, file_id in files.items()],
        poll_interval_ms=20,
    )
    assert (batch.object, batch.status) == ("vector_store.files_batch", "completed")
    assert (batch.file_counts.completed, batch.file_counts.total) == (2, 2)
    listed = openai.vector_stores.file_batches.list_files(batch.id, vector_store_id=store, order="asc")
    assert {file.id: file.attributes for file in listed} == {id: {"name": name} for name, id in files.items()}
    same = openai.vector_stores.file_batches.create(store, file_ids=list(files.values()), attributes={"x": 1})
    cancelled = openai.vector_stores.file_batches.cancel(same.id, vector_store_id=store)
    assert (cancelled.status, cancelled.file_counts.completed) == ("cancelled", 2)
    with pytest.raises(NotFoundError, match="No file batch"):
        openai.vector_stores.file_batches.retrieve("vsfb_0", vector_store_id=store)


def test_a_batch_is_called_back_before_it_is_read(tmp_path: Path) -> None:
    with WyeServer({"local": {"enabled": False}, "home": str(tmp_path), "documents": {"readers": 0}}) as server:
        openai = client(server)
        form = wire.form("own.txt", b"x")
        own = json.loads(wire.call(server.url, "/api/v1/upload", form.body, headers=form.headers)[2])["file_id"]
        ids = [kept(openai, "a.txt", b"x"), own]
        store = openai.vector_stores.create().id
        batch = openai.vector_stores.file_batches.create(store, file_ids=ids)
        assert (batch.status, batch.file_counts.in_progress) == ("in_progress", 2)
        assert openai.vector_stores.retrieve(store).status == "in_progress"
        path = f"/vector_stores/{store}/file_batches/{batch.id}"
        called_back = json.loads(wire.call(server.url, f"{path}/cancel", b"", "POST")[2])
        assert (called_back["status"], called_back["file_counts"]["cancelled"]) == ("cancelled", 2)
        listed = json.loads(wire.call(server.url, f"{path}/files?filter=cancelled")[2])["data"]
        assert {file["id"] for file in listed} == set(ids)
        documents = json.loads(wire.call(server.url, "/api/v1/documents")[2])["data"]
        assert {document["file_id"]: document["status"] for document in documents} == {
            own: "uploaded",
            ids[0]: "failed",
        }
        again = openai.vector_stores.files.create(store, file_id=ids[0])
        assert (again.status, again.last_error) == ("in_progress", None)


def test_nothing_of_a_store_is_anybody_elses(server: WyeServer, openai: OpenAI, files: dict[str, str]) -> None:
    store = openai.vector_stores.create(name="mine", file_ids=[files["wye.md"]]).id
    batch = openai.vector_stores.file_batches.create(store, file_ids=[files["wye.md"]]).id
    you = client(server, "you")
    own = you.vector_stores.create().id
    for asked in (
        lambda: you.vector_stores.retrieve(store),
        lambda: you.vector_stores.update(store, name="mine now"),
        lambda: you.vector_stores.delete(store),
        lambda: you.vector_stores.search(store, query="Wye"),
        lambda: you.vector_stores.files.list(store),
        lambda: you.vector_stores.files.create(store, file_id=files["wye.md"]),
        lambda: you.vector_stores.files.create(own, file_id=files["wye.md"]),
        lambda: you.vector_stores.files.content(files["wye.md"], vector_store_id=store),
        lambda: you.vector_stores.file_batches.retrieve(batch, vector_store_id=store),
        lambda: you.vector_stores.file_batches.retrieve(batch, vector_store_id=own),
        lambda: you.vector_stores.file_batches.create(own, file_ids=[files["wye.md"]]),
        lambda: you.vector_stores.create(file_ids=[files["wye.md"]]),
        lambda: openai.vector_stores.retrieve("mine"),
    ):
        with pytest.raises(NotFoundError):
            asked()
    assert [store.id for store in you.vector_stores.list()] == [own]
    assert you.vector_stores.retrieve(own).file_counts.total == 0
    assert openai.vector_stores.retrieve(store).name == "mine"


DEEP = b'{"type":"and","filters":['


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("", {"name": "x" * 256}, 400, "name has 256 characters"),
        ("", {"name": 1}, 400, "name must be a string"),
        ("", {"metadata": {"a": 1}}, 400, "metadata must be"),
        ("", {"metadata": {"a": "x" * 513}}, 400, "metadata must be"),
        ("", {"metadata": {str(i): "" for i in range(17)}}, 400, "metadata must be"),
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, 400, "last_active_at"),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, 400, "expires_after.days"),
        ("", {"chunking_strategy": {"type": "static"}}, 400, "chunking_strategy can only be"),
        ("", {"file_ids": "file-1"}, 400, "file_ids must be an array"),
        ("", {"file_ids": [1]}, 400, "file_ids must be an array"),
        ("", {"file_ids": ["file-0"]}, 404, "No such File object"),
        ("/files", {"attributes": {}}, 400, "file_id is required"),
        ("/files", {"file_id": "file-0", "attributes": {"a": {}}}, 400, "attributes.a must be"),
        ("/files", {"file_id": "file-0", "attributes": {"a": "x" * 513}}, 400, "attributes.a must be"),
        ("/files", {"file_id": "file-0", "attributes": {str(i): 1 for i in range(17)}}, 400, "at most 16"),
        ("/file_batches", {}, 400, "either file_ids or files"),
        ("/file_batches", {"file_ids": ["a"], "files": [{"file_id": "a"}]}, 400, "either file_ids or files"),
        ("/file_batches", {"file_ids": ["file-0"] * 2001}, 400, "at most 2000"),
        ("/file_batches", {"files": [{}]}, 400, "files[0].file_id is required"),
        ("/search", {}, 400, "query must be a text"),
        ("/search", {"query": " "}, 400, "query must be a text"),
        ("/search", {"query": ["x"] * 9}, 400, "1 to 8 texts"),
        ("/search", {"query": "x" * 8001}, 400, "at most 8000 characters"),
        ("/search", {"query": "x" * 1024 * 1024}, 413, "1048576"),
        ("/search", {"query": "x", "max_num_results": 51}, 400, "max_num_results"),
        ("/search", {"query": "x", "filters": {"type": "near"}}, 400, "filters.key is required"),
        ("/search", b'{"query":"x","filters":%b1%b}' % (DEEP * 200, b"]}" * 200), 400, "8 levels"),
        ("/search", b'{"query":"x","filters":%b1%b}' % (DEEP * 10_000, b"]}" * 10_000), 400, "nested too deeply"),
        ("/search", {"query": "x", "ranking_options": {"score_threshold": 2}}, 400, "score_threshold"),
        ("/search", {"query": "x", "ranking_options": {"hybrid_search": {"text_weight": 0}}}, 400, "weights"),
        ("/files?filter=done", None, 400, "filter must be one of"),
        ("/files?limit=0", None, 400, "limit must be"),
    ],
)
def test_what_cannot_be_done_is_refused(
    server: WyeServer, openai: OpenAI, path: str, body: Any, status: int, said: str
) -> None:
    before = [store.id for store in openai.vector_stores.list()]
    at = f"/v1/vector_stores/{openai.vector_stores.create().id}{path}" if path else "/v1/vector_stores"
    found, _, answer = wire.call(server.url, at, body, headers={"authorization": "Bearer me"})
    assert (found, said in json.loads(answer)["error"]["message"]) == (status, True), answer
    assert path or [store.id for store in openai.vector_stores.list()] == before


def test_a_store_that_nobody_uses_expires(server: WyeServer, home: Path, openai: OpenAI, files: dict[str, str]) -> None:
    store = openai.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1}).id
    openai.vector_stores.search(store, query="x")
    with closing(sqlite3.connect(home / "wye.db")) as database, database:
        database.execute("UPDATE collections SET active_s = active_s - 86401 WHERE id = ?", (store,))
    assert openai.vector_stores.retrieve(store).status == "expired"
    with pytest.raises(BadRequestError, match="has expired"):
        openai.vector_stores.search(store, query="x")
    with pytest.raises(BadRequestError, match="has expired"):
        openai.vector_stores.files.create(store, file_id=files["wye.md"])
    assert asked(server, store)[0] == 400
    openai.vector_stores.update(store, expires_after={"anchor": "last_active_at", "days": 9})
    assert openai.vector_stores.search(store, query="x").data == []
