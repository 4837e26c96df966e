"""What one key's caller keeps, another's does not see: not in lists, not by its name, not in an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import wire
from tests.integration.cli.conftest import Run
from tests.integration.cli.money import configure, issue
from wye.testing.fake_provider import FakeProvider
from wye.testing.server import WyeServer

Call = Callable[..., tuple[int, Any]]
SECRET = "QX-7741"


def as_key(url: str, secret: str) -> Call:
    def call(path: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {secret}", **headers}
        status, _, said = wire.call(url, path, body, method, sent)
        return status, json.loads(said) if said.startswith((b"{", b"[")) else said

    return call


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_nobody_finds_what_another_keeps(
    database: str, here: Run, upstream: FakeProvider, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgres" else None
    configure(upstream, storage={"url": url}, documents={"answer_model": "m"})
    keys = [issue(here, name)["secret"] for name in ("ann", "bob")]
    with WyeServer("wye.yaml") as server:
        ann, bob = (as_key(server.url, secret) for secret in keys)
        form = wire.form("secret.txt", f"The access code is {SECRET}.".encode())
        content_type = form.headers["content-type"]
        document = ann("/api/v1/upload", form.body, **{"content-type": content_type})[1]
        document_id, file_id = document["document_id"], document["file_id"]
        wire.until(lambda: ann(f"/api/v1/documents/{document_id}")[1]["status"] == "ready")
        question = {"question": "What is the access code?", "document_id": document_id, "stream": False}
        assert SECRET in ann("/api/v1/ask", question)[1]["citations"][0]["quote"]
        session_id = ann("/v1/sessions", {})[1]["id"]
        said = {"messages": [{"role": "user", "content": SECRET}]}
        assert ann(f"/v1/sessions/{session_id}/messages", said)[0] == 200

        for path in ("/api/v1/documents", "/v1/files", "/v1/sessions"):
            assert len(ann(path)[1]["data"]) == 1
            assert bob(path)[1]["data"] == []
        before = len(upstream.requests)
        for method, path, body in (
            ("GET", f"/api/v1/documents/{document_id}", None),
            ("GET", f"/api/v1/documents/{document_id}/events", None),
            ("GET", f"/api/v1/documents/{document_id}/history", None),
            ("DELETE", f"/api/v1/documents/{document_id}", None),
            ("GET", f"/v1/files/{file_id}", None),
            ("GET", f"/v1/files/{file_id}/content", None),
            ("DELETE", f"/v1/files/{file_id}", None),
            ("GET", f"/v1/sessions/{session_id}", None),
            ("POST", f"/v1/sessions/{session_id}/messages", said),
            ("DELETE", f"/v1/sessions/{session_id}", None),
            ("POST", "/api/v1/ask", question),
            ("POST", "/api/v1/ask", {"question": "What?", "document_ids": [document_id]}),
            ("POST", "/v1/chat/completions", wire.ask(file_ids=[file_id])),
            ("POST", "/v1/chat/completions", wire.ask(session_id=session_id)),
        ):
            status, told = bob(path, body, method)
            assert status == 404, (method, path, told)
            assert SECRET not in json.dumps(told)
        assert len(upstream.requests) == before
        assert ann(f"/api/v1/documents/{document_id}")[0] == 200
        assert ann(f"/v1/files/{file_id}/content")[0] == 200
        assert ann(f"/v1/sessions/{session_id}")[1]["messages"][0]["content"] == SECRET
        assert len(ann(f"/api/v1/documents/{document_id}/history")[1]["data"]) == 1
