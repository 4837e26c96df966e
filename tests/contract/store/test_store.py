"""What every store does, whichever database keeps it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from wye.drivers.sql import sessions as sessions_module
from wye.drivers.sql.database import Database
from wye.drivers.sql.store import SqlStore
from wye.kernel import clock
from wye.ports.store import (
    Message,
    Page,
    Passage,
    Question,
    Session,
    StoredDocument,
    StoredFile,
)


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database)


def a_file(name: str = "file-1", principal: str = "me", **values: Any) -> StoredFile:
    told = {
        "id": name,
        "principal": principal,
        "filename": f"{name}.pdf",
        "bytes": 5_000_000_000,
        "content_type": "application/pdf",
        "sha256": "0" * 64,
        "purpose": "assistants",
        "blob": name,
        "created_s": 1000.5,
    }
    return StoredFile(**{**told, **values})


def a_document(file: StoredFile, name: str = "doc-1", **values: Any) -> StoredDocument:
    told = {"id": name, "principal": file.principal, "file": file, "status": "uploaded", "created_s": 1.0}
    return StoredDocument(**{"updated_s": 1.0, **told, **values})


async def kept(store: SqlStore, name: str = "doc-1", principal: str = "me", **values: Any) -> StoredDocument:
    file = a_file(f"file-of-{name}", principal)
    document = a_document(file, name, **values)
    await store.files.add(file)
    await store.documents.add(document)
    return document


async def test_a_file_is_its_owners(store: SqlStore) -> None:
    file = a_file(expires_s=clock.wall_s() + 60)
    await store.files.add(file)
    assert await store.files.get("me", "file-1") == file
    assert await store.files.get("you", "file-1") is None
    assert await store.files.find("me", ["file-1", "file-2"]) == {"file-1": file}
    assert await store.files.find("you", ["file-1"]) == {}
    assert await store.files.delete("you", "file-1") is None
    assert await store.files.list("you", Page()) == []
    assert await store.files.delete("me", "file-1") == file
    assert await store.files.delete("me", "file-1") is None


async def test_a_file_whose_time_is_over_is_gone_and_found_to_be_deleted(store: SqlStore) -> None:
    old, new = a_file("old", expires_s=clock.wall_s() - 1), a_file("new", expires_s=clock.wall_s() + 60)
    for file in (old, new, a_file("forever")):
        await store.files.add(file)
    assert await store.files.get("me", "old") is None
    assert {file.id for file in await store.files.list("me", Page())} == {"new", "forever"}
    assert await store.files.expired(clock.wall_s(), 10) == [old]


@pytest.mark.parametrize(("order", "names"), [("asc", ["a", "b", "c", "d", "e"]), ("desc", ["e", "d", "c", "b", "a"])])
async def test_a_list_is_told_in_pages(store: SqlStore, order: Any, names: list[str]) -> None:
    for name, made in (("b", 1.0), ("a", 1.0), ("d", 2.0), ("c", 2.0), ("e", 3.0)):
        await store.files.add(a_file(name, created_s=made))
    await store.files.add(a_file("other", "you", created_s=2.0))
    found: list[str] = []
    after = None
    for _ in range(3):
        page = await store.files.list("me", Page(limit=2, after=after, order=order))
        found += [file.id for file in page]
        after = found[-1]
    assert found == names
    for place, page in ((4, names[2:4]), (2, names[:2]), (1, names[:1]), (0, [])):
        before = names[place]
        assert [file.id for file in await store.files.list("me", Page(limit=2, before=before, order=order))] == page
    assert await store.files.list("me", Page(after="other", order=order)) == []
    assert await store.files.list("me", Page(after=found[-1], order=order)) == []


async def test_files_are_listed_by_their_purpose(store: SqlStore) -> None:
    await store.files.add(a_file("a", purpose="vision"))
    await store.files.add(a_file("b"))
    assert [file.id for file in await store.files.list("me", Page(), "vision")] == ["a"]


async def test_a_document_is_added_once(store: SqlStore) -> None:
    document = await kept(store)
    await store.documents.progress(document.id, 10)
    await store.documents.add(document)
    seen = await store.documents.get("me", document.id)
    assert seen is not None
    assert (seen.status, seen.progress) == ("processing", 10)


async def test_a_document_is_its_owners(store: SqlStore) -> None:
    document = await kept(store, notes=("Page 3 is a scan",), pages=7, status="ready", progress=100)
    assert await store.documents.get("me", "doc-1") == document
    assert await store.documents.get("you", "doc-1") is None
    assert await store.documents.of_files("me", ["file-of-doc-1", "file-2"]) == {"file-of-doc-1": document}
    assert await store.documents.of_files("you", ["file-of-doc-1"]) == {}
    assert await store.documents.list("me", Page()) == [document]
    assert await store.documents.list("you", Page()) == []
    assert await store.documents.load("doc-1") == document
    assert await store.documents.delete("you", "doc-1") is None
    assert await store.documents.delete("me", "doc-1") == document
    assert await store.documents.load("doc-1") is None
    assert await store.files.get("me", "file-of-doc-1") == document.file


async def test_a_documents_way_to_ready(store: SqlStore) -> None:
    await kept(store)
    assert await store.documents.unfinished(10) == ["doc-1"]
    await store.documents.progress("doc-1", 40)
    seen = await store.documents.get("me", "doc-1")
    assert seen is not None
    assert (seen.status, seen.progress) == ("processing", 40)
    assert seen.updated_s > clock.wall_s() - 60
    passages = [Passage(number=i, text=f"text {i}", page=i + 1, heading="H") for i in range(3)]
    assert await store.documents.keep("doc-1", passages)
    await store.documents.finish("doc-1", pages=3, notes=["a note"])
    seen = await store.documents.get("me", "doc-1")
    assert seen is not None
    assert (seen.status, seen.progress, seen.pages, seen.notes) == ("ready", 100, 3, ("a note",))
    assert await store.documents.passages("doc-1") == passages
    assert await store.documents.unfinished(10) == []


async def test_what_is_read_again_takes_the_place_of_what_was_read_before(store: SqlStore) -> None:
    await kept(store)
    assert await store.documents.keep("doc-1", [Passage(number=i, text="old") for i in range(3)])
    assert await store.documents.keep("doc-1", [Passage(number=0, text="new")])
    assert await store.documents.passages("doc-1") == [Passage(number=0, text="new")]
    assert await store.documents.keep("doc-1", [])
    assert await store.documents.passages("doc-1") == []


async def test_a_document_that_failed_says_why_and_does_not_move_again(store: SqlStore) -> None:
    await kept(store)
    await store.documents.fail("doc-1", "It is empty")
    await store.documents.progress("doc-1", 50)
    seen = await store.documents.get("me", "doc-1")
    assert seen is not None
    assert (seen.status, seen.error, seen.progress) == ("failed", "It is empty", 0)


async def test_a_document_that_is_gone_is_not_brought_back(store: SqlStore) -> None:
    await store.documents.progress("doc-1", 50)
    await store.documents.fail("doc-1", "no")
    await store.documents.finish("doc-1", pages=1)
    assert not await store.documents.keep("doc-1", [Passage(number=0, text="x")])
    assert await store.documents.load("doc-1") is None


async def test_with_its_file_a_document_goes_and_what_was_asked_of_it(store: SqlStore) -> None:
    for name in ("doc-1", "doc-2"):
        await kept(store, name)
        await store.documents.keep(name, [Passage(number=0, text="x")])
    question = Question(
        id="q-1",
        principal="me",
        document_ids=("doc-1", "doc-2"),
        question="What?",
        answer="That.",
        citations='[{"page":1}]',
        model="m",
        created_s=5.0,
    )
    await store.questions.add(question)
    await store.questions.add(replace(question, id="q-2", document_ids=("doc-2", "gone"), created_s=6.0, model=None))
    assert await store.questions.of_document("me", "doc-1", Page()) == [question]
    assert [q.document_ids for q in await store.questions.of_document("me", "doc-2", Page())] == [
        ("doc-2",),
        ("doc-1", "doc-2"),
    ]
    assert await store.questions.of_document("you", "doc-1", Page()) == []
    await store.files.delete("you", "file-of-doc-1")
    assert await store.questions.of_document("me", "doc-1", Page()) == [question]
    await store.files.delete("me", "file-of-doc-1")
    assert await store.documents.passages("doc-1") == []
    assert [q.id for q in await store.questions.of_document("me", "doc-2", Page())] == ["q-2"]
    await store.documents.delete("me", "doc-2")
    assert await store.questions.of_document("me", "doc-2", Page()) == []


async def test_what_is_asked_of_documents_of_others_is_not_kept_with_them(store: SqlStore) -> None:
    await kept(store, "doc-1", "you")
    asked = Question(
        id="q",
        principal="me",
        document_ids=("doc-1",),
        question="?",
        answer="!",
        citations="[]",
        model=None,
        created_s=1.0,
    )
    await store.questions.add(asked)
    assert await store.questions.of_document("me", "doc-1", Page()) == []
    assert await store.questions.of_document("you", "doc-1", Page()) == []


async def test_a_session_is_its_owners_until_its_time_is_over(store: SqlStore) -> None:
    now = clock.wall_s()
    session = Session(id="s-1", principal="me", created_s=now, expires_s=now + 60, ttl_s=60, metadata={"a": "b"})
    over = Session(id="s-0", principal="me", created_s=now - 9, expires_s=now - 1, ttl_s=8)
    for made in (over, session):
        await store.sessions.add(made)
    assert await store.sessions.get("me", "s-1") == session
    assert await store.sessions.get("you", "s-1") is None
    assert await store.sessions.get("me", "s-0") is None
    assert await store.sessions.list("me", Page()) == [session]
    said = [Message(role="user", content="Hi", created_s=now), Message(role="assistant", content="Ho", created_s=now)]
    await store.sessions.say("s-1", said[:1], expires_s=now + 70)
    await store.sessions.say("s-1", said[1:], expires_s=now + 80)
    await store.sessions.say("gone", said, expires_s=now + 80)
    assert await store.sessions.messages("s-1") == said
    assert await store.sessions.get("me", "s-1") == replace(session, expires_s=now + 80)
    assert not await store.sessions.delete("you", "s-1")
    assert await store.sessions.delete("me", "s-1")
    assert await store.sessions.messages("s-1") == []


async def test_text_that_no_database_takes_is_taken(store: SqlStore) -> None:
    await kept(store)
    text = "a\0b \ud800 ü 漢 🎉"
    await store.documents.keep("doc-1", [Passage(number=0, text=text, heading="\0")])
    (passage,) = await store.documents.passages("doc-1")
    assert (passage.text, passage.heading) == ("a\ufffdb ? ü 漢 🎉", "\ufffd")
    assert await store.documents.get("me", "a\0") is None


async def test_who_has_indexed_a_document_is_known(store: SqlStore) -> None:
    for name, model in (("a", "m"), ("b", "n"), ("c", None)):
        await kept(store, name)
        await store.documents.finish(name, pages=1, embedding_model=model)
    await kept(store, "unfinished")
    assert sorted(await store.documents.unindexed("m", 9)) == ["b", "c"]
    assert len(await store.documents.unindexed("m", 1)) == 1
    await store.documents.indexed("b", "m")
    assert await store.documents.unindexed("m", 9) == ["c"]
    found = await store.documents.load("b")
    assert found is not None
    assert found.embedding_model == "m"


async def test_of_a_long_session_instructions_and_the_latest_words_are_given(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.wall_s()

    def said(role: Any, letter: str) -> Message:
        return Message(role=role, content=letter * 10, created_s=now)

    await store.sessions.add(Session(id="s", principal="me", created_s=now, expires_s=now + 9, ttl_s=9))
    all_said = [said("user", "a"), said("system", "b"), said("user", "c"), said("assistant", "d"), said("user", "e")]
    await store.sessions.say("s", all_said, expires_s=now + 9)
    for characters, expected in ((None, "abcde"), (50, "abcde"), (49, "bcde"), (20, "be"), (19, "b"), (9, "")):
        found = await store.sessions.messages("s", characters)
        assert "".join(message.content[0] for message in found) == expected
    monkeypatch.setattr(sessions_module, "_KEPT", 3)
    await store.sessions.say("s", [said("assistant", "f")], expires_s=now + 9)
    assert [message.content[0] for message in await store.sessions.messages("s")] == ["b", "e", "f"]
    monkeypatch.setattr(sessions_module, "_KEPT_CHARACTERS", 25)
    await store.sessions.say("s", [said("user", "g")], expires_s=now + 9)
    assert [message.content[0] for message in await store.sessions.messages("s")] == ["b", "g"]
