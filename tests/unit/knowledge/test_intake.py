from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from wye.drivers.disk.blobs import DiskBlobs
from wye.drivers.sql.database import Database, database_url
from wye.drivers.sql.store import SqlStore
from wye.kernel import clock
from wye.kernel.errors import BadRequest, TooLarge
from wye.kernel.secret import Secret
from wye.knowledge.intake import Intake
from wye.ports.blobs import BlobsAway
from wye.ports.store import Page, StoreAway, StoredFile

MiB = 1024 * 1024


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = SqlStore(Database(database_url(Secret(f"sqlite:///{tmp_path}/wye.db"))))
    yield store
    await store.close()


@pytest.fixture
def intake(store: SqlStore, tmp_path: Path) -> Intake:
    return Intake(store.files, DiskBlobs(tmp_path / "blobs"), tmp_path / "incoming", 5 * MiB)


async def pieces(content: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def take(intake: Intake, name: str, content: AsyncIterator[bytes], **about: Any) -> StoredFile:
    async with intake.receive(content) as received:
        return await intake.keep(received, "me", name, **{"purpose": "user_data", **about})


def kept_on_disk(tmp_path: Path) -> list[Path]:
    return [path for folder in ("blobs", "incoming") for path in (tmp_path / folder).rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [1000, 64 * 1024, 3 * MiB])
async def test_a_file_is_kept_as_it_came(intake: Intake, store: SqlStore, tmp_path: Path, size: int) -> None:
    content = b"%PDF-1.7\n" + bytes(range(256)) * (5 * MiB // 256 - 1)
    file = await take(intake, "../a.pdf", pieces(content, size), expires_after_s=60)
    assert file == await store.files.get("me", file.id)
    assert (file.filename, file.bytes, file.content_type) == ("a.pdf", len(content), "application/pdf")
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert file.expires_s is not None
    assert 50 < file.expires_s - clock.wall_s() < 61
    assert [path.read_bytes() for path in kept_on_disk(tmp_path)] == [content]


async def test_what_is_exactly_as_large_as_allowed_is_taken(intake: Intake) -> None:
    assert (await take(intake, "a", pieces(b"x" * 5 * MiB))).bytes == 5 * MiB


@pytest.mark.parametrize(
    ("content", "error"), [(b"x" * (5 * MiB + 1), TooLarge), (b"", BadRequest)], ids=["too large", "empty"]
)
async def test_of_what_is_refused_nothing_is_left(
    intake: Intake, store: SqlStore, tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await take(intake, "a", pieces(content))
    assert kept_on_disk(tmp_path) == []
    assert await store.files.list("me", Page()) == []


async def test_too_many_bytes_are_refused_as_soon_as_they_are_there(intake: Intake) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += MiB
            yield b"x" * MiB

    with pytest.raises(TooLarge, match="File too large"):
        await take(intake, "a", endless())
    assert taken == 6 * MiB


async def test_without_its_row_a_content_is_not_kept(
    intake: Intake, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Any) -> None:
        raise StoreAway("gone")

    monkeypatch.setattr(store.files, "add", away)
    with pytest.raises(StoreAway):
        await take(intake, "a", pieces(b"x"))
    assert kept_on_disk(tmp_path) == []


async def test_where_there_is_no_place_it_is_said(store: SqlStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    intake = Intake(store.files, DiskBlobs(tmp_path / "blobs"), tmp_path / "file" / "incoming", MiB)
    with pytest.raises(BlobsAway, match="no place for files: "):
        await take(intake, "a", pieces(b"x"))


async def test_a_full_disk_is_said(intake: Intake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(BlobsAway, match="No space left on device"):
        await take(intake, "a", pieces(b"x"))
    assert kept_on_disk(tmp_path) == []
