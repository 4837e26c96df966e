"""Postgres goes away and comes back: documents wait for it, everything else goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import wire
from wye.testing.fake_provider import FakeProvider
from wye.testing.server import WyeServer

if TYPE_CHECKING:
    from tests.postgres import Postgres


def test_postgres_goes_away_and_comes_back(postgres: Postgres, tmp_path: Path) -> None:
    with FakeProvider() as upstream:
        config: dict[str, Any] = {
            "home": str(tmp_path),
            "local": {"enabled": False},
            "storage": {"url": postgres.url},
            "providers": {"up": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}},
            "routes": {"m": {"deployments": [{"provider": "up", "model": "up", "api": "chat"}]}},
        }
        with WyeServer(config) as server:

            def call(path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, str], Any]:
                status, headers, said = wire.call(server.url, path, body, **more)
                return status, headers, json.loads(said)

            def upload() -> tuple[int, dict[str, str], Any]:
                form = wire.form("a.txt", b"The Wye flows to Chepstow.")
                return call("/api/v1/upload", form.body, headers=form.headers)

            def is_ready(document_id: str) -> bool:
                return call(f"/api/v1/documents/{document_id}")[2].get("status") == "ready"

            first = upload()[2]["document_id"]
            wire.until(lambda: is_ready(first))
            postgres.stop()
            for path in ("/api/v1/documents", f"/api/v1/documents/{first}", "/v1/files", "/v1/sessions"):
                status, headers, said = call(path)
                assert (status, said["error"]["code"]) == (503, "store_away")
                assert int(headers["retry-after"]) >= 1
            status, headers, said = upload()
            assert (status, said["error"]["code"], "retry-after" in headers) == (503, "store_away", True)
            ask = {"question": "Where?", "document_id": first}
            assert call("/api/v1/ask", ask)[0] == 503
            assert call("/v1/chat/completions", wire.ask())[0] == 200
            assert call("/health")[2]["checks"]["storage"] == "The database cannot be used: OperationalError"
            assert call("/health/ready")[0] == 200
            postgres.restart()
            wire.until(lambda: call(f"/api/v1/documents/{first}")[0] == 200)
            wire.until(lambda: "storage" not in call("/health")[2]["checks"])
            second = upload()[2]["document_id"]
            wire.until(lambda: is_ready(second))  # who reads has come back, too
            assert {found["document_id"] for found in call("/api/v1/documents")[2]["data"]} == {first, second}
            postgres.stop()
            wire.until(lambda: call("/v1/files")[0] == 503)
            left_s = time.monotonic()
        assert time.monotonic() - left_s < 15  # nor does a database that is away hold up its end
    assert len([path for path in (tmp_path / "blobs").rglob("file-*") if path.is_file()]) == 2
