"""What every place of contents does."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bucket import KEYS, Bucket
from wye.drivers.disk.blobs import DiskBlobs
from wye.drivers.s3.blobs import S3Blobs
from wye.kernel.ids import new_id
from wye.ports.blobs import Blobs, BlobsAway
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream


@pytest.fixture(params=["disk", "s3"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    made: Blobs = DiskBlobs(tmp_path / "blobs")
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        made = S3Blobs(bucket.name, new_id("of-a-test-"), bucket.endpoint_url)
    yield made
    await made.close()


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


async def test_what_is_half_read_can_be_left(blobs: Blobs, tmp_path: Path) -> None:
    await blobs.put("a", a_file(tmp_path, b"x" * 1_000_000))
    pieces = blobs.read("a")
    assert 0 < len(await anext(pieces)) < 1_000_000
    await pieces.aclose()
    await blobs.delete("a")


async def test_keys_are_below_their_prefix(bucket: Bucket, tmp_path: Path) -> None:
    for prefix, expected in (("some/where", "some/where/file-1"), ("", "file-1")):
        blobs = S3Blobs(bucket.name, prefix, bucket.endpoint_url)
        await blobs.put("file-1", a_file(tmp_path, b"x"))
        assert expected in bucket.contents()
        await blobs.close()


def refusing(status: int, code: str) -> FakeUpstream:
    said = f"<Error><Code>{code}</Code><Message>for {KEYS['AWS_ACCESS_KEY_ID']}</Message></Error>"
    return FakeUpstream(lambda _: FakeAnswer([said.encode()], status, {"content-type": "application/xml"}))


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, "AccessDenied", "access is denied"),
        (403, "SignatureDoesNotMatch", "the credentials are refused"),
        (404, "NoSuchBucket", "it is not there"),
        (400, "SomethingNew", "SomethingNew"),
    ],
)
async def test_a_bucket_that_refuses_says_why(
    status: int, code: str, reason: str, bucket: Bucket, tmp_path: Path
) -> None:
    with refusing(status, code) as fake:
        blobs = S3Blobs("b-1", "", fake.url)
        for asked in (blobs.put("a", a_file(tmp_path, b"x")), anext(blobs.read("a")), blobs.fetch("a", tmp_path)):
            with pytest.raises(BlobsAway) as caught:
                await asked
            assert caught.value.message == f"The bucket 'b-1' cannot be used: {reason}"
        await blobs.close()


async def test_without_credentials_or_server_it_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    blobs = S3Blobs("b-1", "", "http://127.0.0.1:1")
    with pytest.raises(BlobsAway, match="there are no AWS credentials"):
        await blobs.delete("a")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BlobsAway, match="EndpointConnectionError"):
        await blobs.delete("a")
    await blobs.close()


async def test_an_upload_whose_caller_has_left_leaves_nothing(bucket: Bucket, tmp_path: Path) -> None:
    begun, deleted, go_on = threading.Event(), threading.Event(), threading.Event()

    def answer(request: FakeRequest) -> FakeAnswer:
        if request.method == "DELETE":
            deleted.set()
            return FakeAnswer([], 204)
        begun.set()
        go_on.wait(10)
        return FakeAnswer([], 200)

    with FakeUpstream(answer) as fake:
        blobs = S3Blobs("b-1", "", fake.url)
        putting = asyncio.create_task(blobs.put("a", a_file(tmp_path, b"x")))
        await asyncio.to_thread(begun.wait, 10)
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        go_on.set()
        assert await asyncio.to_thread(deleted.wait, 10)
        await blobs.close()
