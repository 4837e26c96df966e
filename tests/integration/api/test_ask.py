"""Questions about documents, answered by a model that says what it is told to, or by none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.integration.api.test_documents import got, until_read, uploaded
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body
from wye.testing.server import WyeServer

PATH = "/api/v1/ask"
TEXT = b"The pump needs oil of the grade VG 46.\n\nThe code of the safe is QX-7741.\n\nLunch is served at noon."
SAID = ["The code", " is\r\nQX-7741 ", "[DONE]", " [1]."]
"""Pieces of an answer: one with a new line, one that looks like a stream's end."""


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(told).encode()


def streamed(*pieces: str) -> FakeAnswer:
    usage = {
        "id": "c",
        "object": "chat.completion.chunk",
        "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4},
    }
    last = [chunk({}, "stop"), b"data: %b\n\n" % json.dumps(usage).encode(), b"data: [DONE]\n\n"]
    head = {"content-type": "text/event-stream"}
    return FakeAnswer([chunk({"content": piece}) for piece in pieces] + last, headers=head)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(lambda _: streamed(*SAID)) as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def says_what_it_did(upstream: FakeUpstream) -> None:
    upstream.script = lambda _: streamed(*SAID)
    upstream.requests.clear()


def configured(home: Path, upstream: FakeUpstream) -> dict[str, Any]:
    """Documents are kept at home, and answered for by this model."""
    return {
        "home": str(home),
        "local": {"enabled": False},
        "providers": {"up": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}},
        "routes": {"m": {"retries": 0, "deployments": [{"provider": "up", "model": "up", "api": "chat"}]}},
        "documents": {"answer_model": "m"},
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[WyeServer]:
    with WyeServer(configured(tmp_path_factory.mktemp("home"), upstream)) as server:
        yield server


@pytest.fixture(scope="module")
def document(server: WyeServer) -> str:
    made = uploaded(server, "house.txt", TEXT)["document_id"]
    assert until_read(server, made)["status"] == "ready"
    return made


def ask(server: WyeServer, **body: Any) -> tuple[int, dict[str, str], bytes]:
    return wire.call(server.url, PATH, {"question": "What is the code of the safe?", **body})


def events(stream: bytes) -> list[tuple[str, str]]:
    """As a browser reads them: names and data."""
    found: list[tuple[str, str]] = []
    for block in stream.decode().split("\n\n"):
        lines = [line.partition(":")[::2] for line in block.split("\n") if line]
        data = "\n".join(value.removeprefix(" ") for name, value in lines if name == "data")
        if lines:
            found.append((next((value.strip() for name, value in lines if name == "event"), "message"), data))
    return found


def error_of(body: bytes) -> dict[str, Any]:
    return json.loads(body)["error"]


def test_an_answer_streams_as_text_then_tells_what_it_rests_on(server: WyeServer, document: str) -> None:
    status, headers, said = ask(server, document_id=document)
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    told = events(said)
    assert told[-1] == ("message", "[DONE]")
    texts = [data for name, data in told[:-1] if name == "message"]
    assert "".join(texts) == "".join(SAID).replace("\r\n", "\n")
    assert "[DONE]" not in texts
    named = {name: json.loads(data) for name, data in told if name != "message"}
    assert named["citations"] == [
        {
            "number": 1,
            "document_id": document,
            "filename": "house.txt",
            "page": None,
            "passage": 0,
            "quote": "The code of the safe is QX-7741.",
        }
    ]
    answer = named["answer"]
    assert (answer["model"], answer["extractive"], answer["reason"]) == ("up/up", False, None)
    assert answer["usage"] == {"input_tokens": 9, "output_tokens": 4}


def test_the_model_sees_the_passages_and_the_question(server: WyeServer, document: str, upstream: FakeUpstream) -> None:
    ask(server, document_id=document)
    (asked,) = [request.json() for request in upstream.requests]
    system, user = [message["content"] for message in asked["messages"]]
    assert "never instructions" in system
    assert "[1] (house.txt)\nThe pump needs oil" in str(user)
    assert str(user).endswith("Question: What is the code of the safe?")


def test_question_and_answer_are_kept_with_the_document(server: WyeServer, document: str) -> None:
    status, _, said = ask(server, document_ids=[document, document], stream=False)
    made = json.loads(said)
    assert (status, made["object"], made["answer"]) == (200, "answer", "".join(SAID))
    kept = got(server, f"/api/v1/documents/{document}/history")[1]["data"][0]
    assert {name: kept[name] for name in ("id", "model", "answer", "citations")} == {
        name: made[name] for name in ("id", "model", "answer", "citations")
    }
    assert kept["question"] == "What is the code of the safe?"


def test_a_model_that_takes_no_temperature_is_asked_without(
    server: WyeServer, document: str, upstream: FakeUpstream
) -> None:
    refused = json_body(
        {"error": {"message": "Unsupported value: 'temperature'", "type": "invalid_request_error"}}, 400
    )
    upstream.script = lambda request: refused if "temperature" in request.json() else streamed("At noon.")
    assert json.loads(ask(server, document_id=document, stream=False)[2])["answer"] == "At noon."


@pytest.mark.parametrize("stream", [True, False])
def test_without_a_model_the_passages_are_the_answer(
    server: WyeServer, document: str, upstream: FakeUpstream, stream: bool
) -> None:
    upstream.script = lambda _: json_body({"error": {"message": "Out of order"}}, 503)
    status, _, said = ask(server, document_id=document, stream=stream)
    assert status == 200
    if stream:
        told = events(said)
        made = {**json.loads(dict(told)["answer"]), "citations": json.loads(dict(told)["citations"])}
        made["answer"] = "".join(data for name, data in told[:-1] if name == "message")
    else:
        made = json.loads(said)
    assert (made["model"], made["extractive"]) == (None, True)
    assert "Out of order" in made["reason"]
    assert made["answer"].startswith("No model has answered (")
    assert "QX-7741" in made["answer"]
    assert made["citations"][0]["quote"] == "The code of the safe is QX-7741."


def test_nothing_is_invented_where_nothing_fits(server: WyeServer, document: str, upstream: FakeUpstream) -> None:
    said = json.loads(ask(server, document_id=document, question="zebra?", stream=False)[2])
    assert (said["answer"], said["citations"]) == ("The documents hold nothing that fits the question.", [])
    assert not upstream.requests


def test_an_answer_that_breaks_off_does_not_look_complete(
    server: WyeServer, document: str, upstream: FakeUpstream
) -> None:
    upstream.script = lambda _: FakeAnswer(
        [chunk({"content": "The code"})], headers={"content-type": "text/event-stream"}, end="cut"
    )
    told = events(ask(server, document_id=document)[2])
    assert told[0] == ("message", "The code")
    assert told[-1][0] == "error"
    assert json.loads(told[-1][1])["code"] == "upstream_stream_cut"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"document_id": "doc-nobody"}, 404, "Document 'doc-nobody' not found"),
        ({"document_ids": ["doc-nobody"]}, 404, "Document 'doc-nobody' not found"),
        ({"collection": "none"}, 404, "Collection 'none' not found"),
        ({}, 422, "one of document_id, document_ids and collection"),
        ({"document_id": "a", "collection": "b"}, 422, "one of document_id, document_ids and collection"),
        ({"document_ids": []}, 400, "an array of 1 to 1000 ids"),
        ({"document_ids": [7]}, 400, "an array of 1 to 1000 ids"),
        ({"document_id": 7}, 400, "document_id must be a string"),
        ({"document_id": "a", "question": "  "}, 422, "question is required"),
        ({"document_id": "a", "question": "x" * 8001}, 413, "question has 8001 characters"),
        ({"document_id": "a", "question": "x" * 1_100_000}, 413, "The request has more than"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_stream(
    server: WyeServer, body: dict[str, Any], status: int, words: str
) -> None:
    found, headers, said = ask(server, **body)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert words in error_of(said)["message"]


def test_an_unknown_model_is_refused_before_the_stream(server: WyeServer, document: str) -> None:
    status, _, said = ask(server, document_id=document, model="nobody")
    assert (status, error_of(said)["code"]) == (404, "model_not_found")


def test_a_document_that_could_not_be_read_says_so(server: WyeServer) -> None:
    made = uploaded(server, "a.pdf", b"%PDF-1.7 nothing")["document_id"]
    assert until_read(server, made)["status"] == "failed"
    status, _, said = ask(server, document_id=made)
    assert (status, error_of(said)["code"]) == (409, "document_failed")
    assert "damaged" in error_of(said)["message"]


def test_an_unread_document_is_worth_another_try(tmp_path: Path) -> None:
    with WyeServer({"home": str(tmp_path), "local": {"enabled": False}, "documents": {"readers": 0}}) as server:
        made = uploaded(server)["document_id"]
        status, headers, said = ask(server, document_id=made)
    assert (status, headers["retry-after"], error_of(said)["code"]) == (409, "1", "document_not_ready")
