"""/v1/files, as OpenAI's and Anthropic's own clients use it, and as nobody should."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from openai import NotFoundError, OpenAI

from tests import wire
from wye.testing.server import WyeServer


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[WyeServer]:
    with WyeServer({"local": {"enabled": False}, "home": str(home), "documents": {"max_upload_mb": 1}}) as server:
        yield server


@pytest.fixture
def openai(server: WyeServer) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)


def test_the_whole_life_of_a_file_with_openais_client(openai: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "Bücher.csv"
    path.write_bytes("title\nDüne\n".encode())
    made = openai.files.create(file=path, purpose="assistants", expires_after={"anchor": "created_at", "seconds": 3600})
    assert (made.filename, made.bytes, made.purpose, made.object) == ("Bücher.csv", 12, "assistants", "file")
    assert made.expires_at == made.created_at + 3600
    assert openai.files.retrieve(made.id) == made
    assert openai.files.content(made.id).read() == path.read_bytes()
    assert made.id in [file.id for file in openai.files.list(purpose="assistants")]
    assert openai.files.list(purpose="vision").data == []
    assert openai.files.delete(made.id).deleted
    with pytest.raises(NotFoundError, match=f"No such File object: {made.id}"):
        openai.files.retrieve(made.id)
    with pytest.raises(NotFoundError):
        openai.files.content(made.id)
    with pytest.raises(NotFoundError):
        openai.files.delete(made.id)


def test_a_list_is_fetched_page_by_page(openai: OpenAI) -> None:
    made = [openai.files.create(file=(f"{i}.txt", b"x"), purpose="batch").id for i in range(5)]
    assert [file.id for file in openai.files.list(purpose="batch", limit=2, order="asc")] == made
    assert [file.id for file in openai.files.list(purpose="batch", limit=2)] == made[::-1]
    page = openai.files.list(purpose="batch", limit=2)
    assert (page.has_more, len(page.data)) == (True, 2)


def test_the_whole_life_of_a_file_with_anthropics_client(server: WyeServer) -> None:
    client = Anthropic(base_url=server.url, api_key="x", max_retries=0)
    made = client.beta.files.upload(file=("a.txt", b"Hi", "text/plain"))
    assert (made.filename, made.mime_type, made.size_bytes, made.type) == ("a.txt", "text/plain", 2, "file")
    assert client.beta.files.retrieve_metadata(made.id) == made
    assert made.id in [file.id for file in client.beta.files.list(limit=1)]
    assert client.beta.files.download(made.id).read() == b"Hi"
    assert client.beta.files.delete(made.id).type == "file_deleted"


def test_a_content_is_never_shown_as_a_page_of_this_server(server: WyeServer) -> None:
    form = wire.form("a.html", b"<html><script>alert(1)</script>")
    made = json.loads(wire.call(server.url, "/v1/files", form.body, headers=form.headers)[2])
    _, headers, content = wire.call(server.url, f"/v1/files/{made['id']}/content")
    assert content.startswith(b"<html>")
    assert headers["content-disposition"].startswith("attachment")
    assert headers["x-content-type-options"] == "nosniff"


def test_a_content_that_is_gone_is_said_to_be(server: WyeServer, home: Path) -> None:
    form = wire.form("a.txt", b"Hi")
    made = json.loads(wire.call(server.url, "/v1/files", form.body, headers=form.headers)[2])
    (home / "blobs" / made["id"][-2:] / made["id"]).unlink()
    status, _, said = wire.call(server.url, f"/v1/files/{made['id']}/content")
    assert (status, "is gone" in json.loads(said)["error"]["message"]) == (404, True)


BORDER = "multipart/form-data; boundary=border"
PART = b'--border\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
FILE = b'--border\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nHi\r\n'
END = b"--border--\r\n"


@pytest.mark.parametrize(
    ("media", "body", "status", "said"),
    [
        pytest.param("application/json", b"{}", 415, "multipart/form-data", id="no form"),
        pytest.param("", b"", 415, "multipart/form-data", id="nothing"),
        pytest.param("multipart/form-data", FILE + END, 400, "no boundary", id="no boundary"),
        pytest.param(BORDER, b"", 400, "cut off", id="empty"),
        pytest.param(BORDER, FILE, 400, "cut off", id="cut off"),
        pytest.param(BORDER, FILE[:40], 400, "cut off", id="cut in a head"),
        pytest.param(BORDER, b"junk" + FILE + END, 400, "cannot be understood", id="junk"),
        pytest.param(BORDER, END, 422, "no file", id="no parts"),
        pytest.param(BORDER, PART % (b"purpose", b"x") + END, 422, "no file", id="no file"),
        pytest.param(BORDER, FILE.replace(b'"file"', b'"doc"') + END, 422, "not 'doc'", id="other field"),
        pytest.param(BORDER, FILE + FILE + END, 400, "two files", id="two files"),
        pytest.param(BORDER, FILE.replace(b"Hi", b"") + END, 400, "empty", id="empty file"),
        pytest.param(BORDER, FILE + PART % (b"purpose", b"") + END, 400, "1 to 64", id="empty purpose"),
        pytest.param(BORDER, FILE + PART % (b"purpose", b"x" * 70_000) + END, 400, "longer than", id="long field"),
        pytest.param(BORDER, PART % (b"a", b"b") * 65 + FILE + END, 400, "more than 64", id="many fields"),
        pytest.param(BORDER, FILE + PART % (b"expires_after[seconds]", b"1") + END, 400, "3600", id="short life"),
        pytest.param(BORDER, FILE + PART % (b"expires_after[seconds]", b"x") + END, 400, "3600", id="no number"),
        pytest.param(
            BORDER,
            FILE + PART % (b"expires_after[seconds]", b"3600") + PART % (b"expires_after[anchor]", b"now") + END,
            400,
            "created_at",
            id="anchor",
        ),
        pytest.param(BORDER, FILE.replace(b"Hi", b"x" * (1 << 20) + b"x") + END, 413, "File too large", id="large"),
        pytest.param(BORDER, b"x" * (3 << 20), 413, "File too large", id="larger than any form"),
    ],
)
def test_what_is_no_form_with_a_file_is_refused(
    server: WyeServer, media: str, body: bytes, status: int, said: str
) -> None:
    found, _, answer = wire.call(server.url, "/v1/files", body, "POST", {"content-type": media})
    assert found == status, answer
    assert said in json.loads(answer)["error"]["message"]


def test_without_a_length_the_limit_holds_too(server: WyeServer) -> None:
    form = wire.form("a.txt", b"x" * (1 << 20))
    headers = {**form.headers, "transfer-encoding": "chunked"}

    def chunked(body: bytes) -> bytes:
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    assert wire.call(server.url, "/v1/files", chunked(form.body), "POST", headers)[0] == 200
    too_large = wire.form("a.txt", b"x" * (1 << 20) + b"x")
    assert wire.call(server.url, "/v1/files", chunked(too_large.body), "POST", headers)[0] == 413


def test_a_caller_that_leaves_leaves_nothing_behind(server: WyeServer, home: Path) -> None:
    incoming = home / "blobs" / "incoming"
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        head = f"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: {BORDER}\r\ncontent-length: 1000\r\n\r\n"
        caller.sendall(head.encode() + FILE)
        wire.until(lambda: any(incoming.iterdir()))
    wire.until(lambda: not any(incoming.iterdir()))


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=10001", "limit=99999999", "order=up"])
def test_a_list_that_cannot_be_made_is_refused(server: WyeServer, query: str) -> None:
    status, _, said = wire.call(server.url, f"/v1/files?{query}")
    assert status == 400
    assert query.partition("=")[0] in json.loads(said)["error"]["message"]


def test_without_the_optional_part_it_is_said_how_to_get_it(
    server: WyeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wye.drivers.sql.database", None)
    with WyeServer({"local": {"enabled": False}, "home": str(tmp_path)}) as bare:
        status, _, said = wire.call(bare.url, "/v1/files")
        error: Any = json.loads(said)["error"]
        assert (status, error["code"]) == (501, "missing_extra")
        assert "pip install 'wye[documents]'" in error["message"]
        assert wire.call(bare.url, "/health")[0] == 200
