"""Files and documents whose contents are objects of a bucket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.bucket import KEYS, Bucket
from wye.knowledge import library
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream
from wye.testing.server import WyeServer


def config(home: Path, bucket: Bucket, **storage: Any) -> dict[str, Any]:
    place = {"blobs": f"s3://{bucket.name}/{home.name}", "blobs_endpoint_url": bucket.endpoint_url, **storage}
    return {"local": {"enabled": False}, "home": str(home), "storage": place}


def upload(url: str, content: bytes) -> tuple[int, Any]:
    form = wire.form("a.txt", content)
    status, _, said = wire.call(url, "/api/v1/upload", form.body, headers=form.headers)
    return status, json.loads(said)


def test_a_document_is_kept_read_given_back_and_deleted(bucket: Bucket, tmp_path: Path) -> None:
    content = b"The Wye flows to Chepstow. " * 40_000
    with WyeServer(config(tmp_path, bucket)) as server:
        _, made = upload(server.url, content)
        path = f"/api/v1/documents/{made['document_id']}"
        wire.until(lambda: json.loads(wire.call(server.url, path)[2])["status"] == "ready")
        key = f"{tmp_path.name}/{made['file_id']}"
        assert key in bucket.contents()
        assert wire.call(server.url, f"/v1/files/{made['file_id']}/content")[2] == content
        assert wire.call(server.url, path, None, "DELETE")[0] == 200
        assert key not in bucket.contents()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "wye.db" not in path.name] == []


def test_a_bucket_that_is_not_there_is_said_without_any_key(bucket: Bucket, tmp_path: Path) -> None:
    with WyeServer(config(tmp_path, bucket, blobs="s3://no-such-bucket")) as server:
        status, said = upload(server.url, b"x")
        assert (status, said["error"]["code"]) == (503, "blobs_away")
        assert said["error"]["message"] == "The bucket 'no-such-bucket' cannot be used: it is not there"
        assert not any(key in json.dumps(said) for key in KEYS.values())
        assert json.loads(wire.call(server.url, "/v1/files")[2])["data"] == []


def test_without_the_optional_part_it_is_said_how_to_get_it(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wye.drivers.s3.blobs", None)
    with WyeServer(config(tmp_path, bucket)) as server:
        status, said = upload(server.url, b"x")
    assert (status, said["error"]["code"]) == (501, "missing_extra")
    assert "pip install 'wye[s3]'" in said["error"]["message"]


def test_a_document_waits_for_a_bucket_that_is_away(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_TIDIED_S", 0.2)
    refused: list[str] = []

    def answer(request: FakeRequest) -> FakeAnswer:
        if request.method == "PUT":
            return FakeAnswer([])
        if len(refused) < 5:
            refused.append(request.path)
            return FakeAnswer([b"<Error><Code>AccessDenied</Code></Error>"], 403)
        return FakeAnswer([b"The Wye flows to Chepstow."], length=26)

    with (
        FakeUpstream(answer) as fake,
        WyeServer(config(tmp_path, bucket, blobs_endpoint_url=fake.url)) as server,
    ):
        path = f"/api/v1/documents/{upload(server.url, b'The Wye flows to Chepstow.')[1]['document_id']}"
        wire.until(lambda: json.loads(wire.call(server.url, path)[2])["status"] == "ready")
        assert len(refused) == 5


@pytest.mark.parametrize("what", ["file", "document"])
def test_what_cannot_be_deleted_now_can_be_later(what: str, bucket: Bucket, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: FakeRequest) -> FakeAnswer:
        asked.append(request.method)
        if asked.count("DELETE") == 1:
            return FakeAnswer([b"<Error><Code>AccessDenied</Code></Error>"], 403)
        return FakeAnswer([])

    with (
        FakeUpstream(answer) as fake,
        WyeServer(config(tmp_path, bucket, blobs_endpoint_url=fake.url)) as server,
    ):
        made = upload(server.url, b"The Wye flows to Chepstow.")[1]
        path = {"file": f"/v1/files/{made['file_id']}", "document": f"/api/v1/documents/{made['document_id']}"}[what]
        statuses = [wire.call(server.url, path, None, method)[0] for method in ("DELETE", "GET", "DELETE", "GET")]
        assert (statuses, asked.count("DELETE")) == ([503, 200, 200, 404], 2)
        assert json.loads(wire.call(server.url, "/v1/files")[2])["data"] == []
