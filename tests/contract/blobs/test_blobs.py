"""What every place of contents does."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from wye.drivers.disk.blobs import DiskBlobs
from wye.ports.blobs import Blobs, BlobsAway


@pytest.fixture(params=["disk"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return DiskBlobs(tmp_path / "blobs")


def a_file(folder: Path, content: bytes) -> Path:
    path = folder / "incoming"
    path.write_bytes(content)
    return path


async def content_of(blobs: Blobs, key: str) -> bytes:
    return b"".join([piece async for piece in blobs.read(key)])


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 3000], ids=["empty", "one", "large"])
async def test_what_is_put_is_read(blobs: Blobs, tmp_path: Path, content: bytes) -> None:
    source = a_file(tmp_path, content)
    await blobs.put("file-1", source)
    assert not source.exists()
    assert await content_of(blobs, "file-1") == content
    folder = tmp_path / "folder"
    folder.mkdir()
    assert (await blobs.fetch("file-1", folder)).read_bytes() == content


async def test_what_is_put_again_takes_the_place_of_the_first(blobs: Blobs, tmp_path: Path) -> None:
    await blobs.put("a", a_file(tmp_path, b"old"))
    await blobs.put("a", a_file(tmp_path, b"new"))
    assert await content_of(blobs, "a") == b"new"


async def test_what_is_not_there_is_told_before_the_first_piece(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await content_of(blobs, "none")
    with pytest.raises(FileNotFoundError):
        await blobs.fetch("none", tmp_path)


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(blobs: Blobs, tmp_path: Path) -> None:
    await blobs.put("a", a_file(tmp_path, b"x"))
    await blobs.delete("a")
    await blobs.delete("a")
    with pytest.raises(FileNotFoundError):
        await content_of(blobs, "a")


async def test_from_another_disk_it_comes_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, source = Path.replace, a_file(tmp_path, b"whole")

    def refuse_the_first(self: Path, target: Path) -> Path:
        if self == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse_the_first)
    blobs = DiskBlobs(tmp_path / "blobs")
    await blobs.put("a", source)
    assert await content_of(blobs, "a") == b"whole"
    assert not source.exists()
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1


async def test_a_disk_that_does_not_take_it_says_why(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder belongs")
    with pytest.raises(BlobsAway, match="cannot be kept: "):
        await DiskBlobs(tmp_path / "blobs").put("a", a_file(tmp_path, b"x"))
