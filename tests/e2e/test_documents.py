"""A document with one line that nobody could guess: found, cited with its page, and said by a real model."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from openai import OpenAI
from reportlab.pdfgen import canvas

from tests import wire
from tests.e2e.conftest import QWEN as MODEL
from tests.integration.api.test_ask import events
from wye.testing.server import WyeServer

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

_PATIENCE_S = 240
NONCE = "QX-7741-ZULU"
PARTS = ("pump", "valve", "motor", "belt", "fan", "gear", "lamp", "hose", "chain", "brake")


def manual() -> bytes:
    """Twenty pages; on the seventh stands the nonce."""
    out = io.BytesIO()
    drawing = canvas.Canvas(out)
    for page in range(1, 21):
        drawing.drawString(72, 700, f"Chapter {page} describes the {PARTS[page % 10]} and how to mend it.")
        if page == 7:
            drawing.drawString(72, 680, f"The access code of the archive room is {NONCE}.")
        drawing.showPage()
    drawing.save()
    return out.getvalue()


def patiently(url: str, body: dict[str, Any]) -> bytes:
    """Ask, however slow the machine is at this moment."""
    asked = Request(f"{url}/api/v1/ask", json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(asked, timeout=_PATIENCE_S) as answer:
        return answer.read()


@pytest.mark.timeout(2 * _PATIENCE_S)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_line_of_page_7_is_found_cited_and_said(
    database: str, two_models: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = {
        "home": str(tmp_path),
        "local": {"preload": [], "models_dir": str(two_models), "context_length": 4096, "max_concurrent": 1},
        "storage": {"url": request.getfixturevalue("postgres_url") if database == "postgres" else None},
    }
    with WyeServer(config) as server:
        form = wire.form("manual.pdf", manual())
        document = json.loads(wire.call(server.url, "/api/v1/upload", form.body, headers=form.headers)[2])
        path = f"/api/v1/documents/{document['document_id']}"
        deadline = time.monotonic() + _PATIENCE_S
        while (known := json.loads(wire.call(server.url, path)[2]))["status"] not in ("ready", "failed"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (known["status"], known["pages"]) == ("ready", 20)
        asked = {
            "question": "What is the access code of the archive room?",
            "document_id": document["document_id"],
            "model": MODEL,
        }
        told = events(patiently(server.url, asked))
        history = json.loads(wire.call(server.url, f"{path}/history")[2])["data"]
        if database == "sqlite":  # to the model it makes no difference, and an answer takes it seconds
            check_file_search(server.url, document["file_id"], asked["question"])
    text = "".join(data for name, data in told[:-1] if name == "message")
    named = {name: json.loads(data) for name, data in told if name != "message"}
    assert NONCE in text
    assert named["answer"]["model"] == f"local/{MODEL}"
    cited = named["citations"][0]
    assert (cited["document_id"], cited["filename"], cited["page"]) == (document["document_id"], "manual.pdf", 7)
    assert NONCE in cited["quote"]
    assert [kept["answer"] for kept in history] == [text]


def check_file_search(url: str, file_id: str, question: str) -> None:
    """The same through OpenAI's client, and the tool `file_search`."""
    client = OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, timeout=_PATIENCE_S)
    store = client.vector_stores.create(name="manuals", file_ids=[file_id])
    assert store.file_counts.completed == 1, "it is read once"
    tool: Any = {"type": "file_search", "vector_store_ids": [store.id], "max_num_results": 3}
    response: Any = client.responses.create(
        model=MODEL, input=question, tools=[tool], temperature=0, max_output_tokens=60
    )
    assert NONCE in response.output_text
    annotation = response.output[1].content[0].annotations[0]
    assert (annotation.file_id, annotation.filename, annotation.start) == (file_id, "manual.pdf", 7)
