"""Documents: uploaded, read, watched, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from wye.testing.server import WyeServer

Said = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[WyeServer]:
    with WyeServer({"local": {"enabled": False}, "home": str(home)}) as server:
        yield server


def uploaded(server: WyeServer, name: str = "a.txt", content: bytes = b"The Wye flows to Chepstow.") -> Said:
    form = wire.form(name, content)
    status, headers, said = wire.call(server.url, "/api/v1/upload", form.body, headers=form.headers)
    assert (status, headers["content-type"]) == (200, "application/json"), said
    return json.loads(said)


def got(server: WyeServer, path: str, method: str = "GET") -> tuple[int, Any]:
    status, _, said = wire.call(server.url, path, None, method)
    return status, json.loads(said)


def until_read(server: WyeServer, document_id: str) -> Said:
    path = f"/api/v1/documents/{document_id}"
    wire.until(lambda: got(server, path)[1]["status"] in ("ready", "failed"))
    return got(server, path)[1]


def test_a_document_is_uploaded_and_read(server: WyeServer) -> None:
    made = uploaded(server)
    assert {**made, "document_id": "", "file_id": "", "sha256": "", "created_at": 0, "updated_at": 0} == {
        "document_id": "",
        "object": "document",
        "file_id": "",
        "filename": "a.txt",
        "bytes": 26,
        "content_type": "text/plain",
        "sha256": "",
        "status": "uploaded",
        "progress": 0,
        "error": None,
        "pages": None,
        "notes": [],
        "embedding_model": None,
        "created_at": 0,
        "updated_at": 0,
    }
    read = until_read(server, made["document_id"])
    assert (read["status"], read["progress"], read["error"]) == ("ready", 100, None)
    assert made["document_id"] in [d["document_id"] for d in got(server, "/api/v1/documents")[1]["data"]]
    assert got(server, f"/v1/files/{made['file_id']}")[1]["purpose"] == "document"
    assert got(server, f"/api/v1/documents/{made['document_id']}/history")[1]["data"] == []


def test_its_reading_is_told_as_it_goes(server: WyeServer) -> None:
    document_id = uploaded(server)["document_id"]
    _, headers, said = wire.call(server.url, f"/api/v1/documents/{document_id}/events")
    assert headers["content-type"].split(";")[0] == "text/event-stream"
    events = [line[7:] for line in said.decode().split("\n") if line.startswith("event: ")]
    assert events[-1] == "ready"
    assert set(events) <= {"uploaded", "processing", "ready"}
    told = [frame["progress"] for frame in wire.data_frames(said)]
    assert told == sorted(told)
    assert told[-1] == 100


def test_what_has_no_text_fails_with_a_reason(server: WyeServer) -> None:
    read = until_read(server, uploaded(server, content=b" \n \n")["document_id"])
    assert (read["status"], read["error"]) == ("failed", "There is no text in it.")


def test_what_cannot_be_read_is_refused_before_it_is_kept(server: WyeServer, home: Path) -> None:
    before = got(server, "/v1/files")[1]["data"]
    form = wire.form("a.txt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    status, _, said = wire.call(server.url, "/api/v1/upload", form.body, headers=form.headers)
    assert status == 415
    assert "image/png, which cannot be read. Supported are: pdf, docx" in json.loads(said)["error"]["message"]
    assert got(server, "/v1/files")[1]["data"] == before
    assert list((home / "blobs" / "incoming").iterdir()) == []


def test_what_is_deleted_is_gone_with_its_file(server: WyeServer, home: Path) -> None:
    made = uploaded(server)
    document_id, file_id = made["document_id"], made["file_id"]
    path = f"/api/v1/documents/{document_id}"
    assert got(server, path, "DELETE") == (
        200,
        {"document_id": document_id, "object": "document", "deleted": True},
    )
    for method, gone in (("GET", path), ("DELETE", path), ("GET", f"{path}/events"), ("GET", f"{path}/history")):
        status, said = got(server, gone, method)
        assert (status, said["error"]["code"]) == (404, "document_not_found")
        assert said["error"]["message"] == f"Document '{document_id}' not found"
    assert got(server, f"/v1/files/{file_id}")[0] == 404
    assert not (home / "blobs" / file_id[-2:] / file_id).exists()


def test_with_its_file_a_document_goes(server: WyeServer) -> None:
    made = uploaded(server)
    assert got(server, f"/v1/files/{made['file_id']}", "DELETE")[0] == 200
    assert got(server, f"/api/v1/documents/{made['document_id']}")[0] == 404


def test_a_name_is_only_a_name(server: WyeServer, home: Path) -> None:
    assert uploaded(server, name="../../../../etc/passwd")["filename"] == "passwd"
    assert {path.name for path in home.iterdir()} <= {"wye.db", "wye.db-wal", "wye.db-shm", "blobs"}


def test_what_a_server_did_not_finish_the_next_one_does(tmp_path: Path) -> None:
    config = {"local": {"enabled": False}, "home": str(tmp_path)}
    with WyeServer({**config, "documents": {"readers": 0}}) as lazy:
        names = [uploaded(lazy, name=f"{i}.txt")["document_id"] for i in range(5)]
        assert {got(lazy, f"/api/v1/documents/{name}")[1]["status"] for name in names} == {"uploaded"}
    with WyeServer(config) as server:
        assert {until_read(server, name)["status"] for name in names} == {"ready"}


def test_a_server_that_keeps_nothing_makes_no_files(tmp_path: Path) -> None:
    with WyeServer({"local": {"enabled": False}, "home": str(tmp_path / "home")}) as server:
        assert wire.call(server.url, "/health")[0] == 200
    assert not (tmp_path / "home").exists()
