"""The API as its own description has it: every route of /openapi.json, called well and badly, answers as it says.

Models are those of an upstream in another dialect, so that every body is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

from tests import vendors, wire
from tests.vendors import VENDORS
from wye.api import openapi
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.server import WyeServer

DOCUMENT = openapi.document(needs_key=False)
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
TURNS: list[Any] = [{"role": "user", "content": "Hi"}]
BLOCKS: list[Any] = [{"role": "user", "content": [{"text": "Hi"}]}]
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": TURNS}
WELL: dict[str, dict[str, Any]] = {
    "/chat/completions": {"model": "claude", "messages": TURNS},
    "/responses": {"model": "chat", "input": "Hi"},
    "/responses/input_tokens": {"model": "chat", "input": "Hi"},
    "/completions": {"model": "claude", "prompt": "Hi"},
    "/embeddings": {"model": "chat", "input": "Hi"},
    "/v1/messages": {"model": "chat", "max_tokens": 9, "messages": TURNS},
    "/v1/messages/count_tokens": {"model": "chat", "messages": TURNS},
    "/model/{model}/converse": {"messages": BLOCKS},
    "/model/{model}/converse-stream": {"messages": BLOCKS},
    "/model/{model}/invoke": CLAUDE,
    "/model/{model}/invoke-with-response-stream": CLAUDE,
    "/model/{model}/count-tokens": {"input": {"converse": {"messages": BLOCKS}}},
    "/v1/sessions/{session_id}/messages": {"messages": TURNS},
    "/v1/tools/execute": {"name": "echo", "arguments": {"text": "Hi"}},
    "/vector_stores/{vector_store_id}/search": {"query": "Hi"},
    "/vector_stores/{vector_store_id}/files": {"file_id": "{file_id}"},
    "/vector_stores/{vector_store_id}/files/{file_id}": {"attributes": {"year": 2026}},
    "/vector_stores/{vector_store_id}/file_batches": {"file_ids": ["{file_id}"]},
    "/api/v1/ask": {"question": "Who?", "document_id": "doc-0"},
}
FORM = wire.form("a.txt", b"Hi")
REFUSED = {
    "/load": (404, "a model that is not local"),
    "/unload": (404, "a model that is not local"),
    "/ask": (404, "a document that is not there"),
    "{id}/cancel": (400, "an answer that is complete"),
}
"""By the end of their path: routes that refuse what is asked of them here."""
BODIES = [
    (path, operation)
    for _, path, operation in OPERATIONS
    if "application/json" in operation.get("requestBody", {}).get("content", {})
]
by_body = pytest.mark.parametrize(("path", "operation"), BODIES, ids=[path for path, _ in BODIES])
ODD: list[Any] = [None, True, -1, 1.5, "", "x", [], {}, [None], [[]], [{}], {"type": []}]


def answer(request: FakeRequest) -> FakeAnswer:
    if request.path.endswith("/embeddings"):
        vector = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return json_body({"object": "list", "data": [vector], "model": "up", "usage": usage})
    return VENDORS["openai_chat"].answers(bool(request.json().get("stream")))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = str(tmp_path_factory.mktemp("home"))
    claude, chat = VENDORS["anthropic_messages"], VENDORS["openai_chat"]
    with ExitStack() as stack:
        messages = stack.enter_context(FakeUpstream(lambda r: claude.answers(bool(r.json().get("stream")))))
        completions = stack.enter_context(FakeUpstream(answer))
        served = {"claude": (claude, messages.url), "chat": (chat, completions.url)}
        yield stack.enter_context(WyeServer(vendors.config(served, home=home))).url


@pytest.fixture(scope="module")
def there(url: str) -> Callable[[str], str]:
    """The same path always filled alike: for calls that are refused, or change nothing that others ask for."""
    return cache(lambda path: filled(path, url))


def well(path: str) -> dict[str, Any]:
    return WELL.get(path) or WELL[path.removeprefix("/v1")]


def refused_at(path: str) -> tuple[int, str] | None:
    return next((refused for end, refused in REFUSED.items() if path.endswith(end)), None)


def filled(path: str, url: str) -> str:
    """The path, or a body's text, for a model, an answer, a file that is there."""
    if "{id}" in path:
        kept = json.loads(wire.call(url, "/v1/responses", WELL["/responses"])[2])["id"]
        return path.replace("{id}", kept)
    if "{session_id}" in path:
        return path.replace("{session_id}", json.loads(wire.call(url, "/v1/sessions", b"", "POST")[2])["id"])
    if "{vector_store_id}" in path:
        file_id = json.loads(wire.call(url, "/v1/files", FORM.body, headers=FORM.headers)[2])["id"]
        store = json.loads(wire.call(url, "/v1/vector_stores", {"file_ids": [file_id]})[2])["id"]
        batches = f"/v1/vector_stores/{store}/file_batches"
        batch = json.loads(wire.call(url, batches, {"file_ids": [file_id]})[2])["id"]
        known = {"{vector_store_id}": store, "{file_id}": file_id, "{batch_id}": batch}
        return re.sub("|".join(map(re.escape, known)), lambda found: known[found[0]], path)
    if "{file_id}" in path or "{document_id}" in path:
        known = json.loads(wire.call(url, "/api/v1/upload", FORM.body, headers=FORM.headers)[2])
        return path.replace("{file_id}", known["file_id"]).replace("{document_id}", known["document_id"])
    return path.replace("{model}", "chat")


def well_called(url: str, method: str, at: str, path: str, operation: dict[str, Any]) -> tuple[int, Any, bytes]:
    """A call as the description of `path` asks for, at a path that may be filled otherwise."""
    media = set(operation.get("requestBody", {}).get("content", {}))
    if "multipart/form-data" in media:
        return wire.call(url, at, FORM.body, method, FORM.headers)
    body = filled(json.dumps(well(path)), url).encode() if media else b""
    return wire.call(url, at, body if media else b"" if method == "POST" else None, method)


def schema(operation: dict[str, Any], status: str) -> dict[str, Any]:
    return operation["responses"][status]["content"]["application/json"]["schema"]


def follows(value: Any, schema: dict[str, Any]) -> None:
    # Without looking at the schema itself each time: another test holds the whole description to its own rules.
    jsonschema.Draft202012Validator(schema).validate(value)


def documented(operation: dict[str, Any]) -> set[str]:
    return set(operation["responses"]["200"]["content"])


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS])
def test_a_good_call_is_answered_as_described(method: str, path: str, operation: dict[str, Any], url: str) -> None:
    status, headers, said = well_called(url, method, filled(path, url), path, operation)
    refused = refused_at(path)
    assert status == (refused[0] if refused else 200), said
    media = headers["content-type"].split(";")[0]
    assert documented(operation) == {"*/*"} or media in ({"application/json"} if refused else documented(operation))
    if media == "application/json":
        follows(json.loads(said), schema(operation, "default" if refused else "200"))
    assert headers["x-request-id"]


@by_body
def test_a_stream_is_sent_as_described(path: str, operation: dict[str, Any], url: str) -> None:
    if "text/event-stream" not in documented(operation) or refused_at(path):
        return
    status, headers, said = wire.call(url, path, {**well(path), "stream": True})
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/event-stream"), said


def is_refusal(path: str, operation: dict[str, Any], status: int, said: bytes) -> bool:
    """Whether this is a client's mistake, told in the words of the route."""
    error = json.loads(said)
    follows(error, schema(operation, "default"))
    told = error["message"] if path.startswith("/model/") else error["error"]["message"]
    return 400 <= status < 500 and bool(told)


@by_body
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"1", b"\xff\xfe", b"{}", b'{"model": NaN}', b"[" * 5000, b'{"a":' * 5000],
    ids=["empty", "cut", "array", "null", "text", "number", "binary", "nothing", "nan", "deep array", "deep object"],
)
def test_what_is_no_body_is_refused(
    path: str, operation: dict[str, Any], body: bytes, url: str, there: Callable[[str], str]
) -> None:
    status, _, said = wire.call(url, there(path), body)
    assert is_refusal(path, operation, status, said), said


@by_body
def test_a_missing_member_is_refused_by_name(
    path: str, operation: dict[str, Any], url: str, there: Callable[[str], str]
) -> None:
    for member in operation["requestBody"]["content"]["application/json"]["schema"].get("required", []):
        if member == "input" and path.endswith("/embeddings"):
            continue  # all upstreams here speak this dialect, and are asked with the caller's own bytes
        left = {name: value for name, value in well(path).items() if name != member}
        status, _, said = wire.call(url, there(path), left)
        assert is_refusal(path, operation, status, said), said
        assert member in said.decode()


@by_body
def test_no_value_makes_an_error_of_the_server(
    path: str, operation: dict[str, Any], url: str, there: Callable[[str], str]
) -> None:
    for member in well(path):
        for odd in ODD:
            status, _, said = wire.call(url, there(path), {**well(path), member: odd})
            assert status == 200 or is_refusal(path, operation, status, said), (member, odd, said)


@pytest.mark.parametrize("name", ["nobody", "no/body", "..", "%00", "é", "a" * 3000])
def test_what_is_not_there_is_not_found(name: str, url: str) -> None:
    for method, path, operation in OPERATIONS:
        if "{" in path:
            at = re.sub(r"{\w+}", lambda _: quote(name, safe=""), path)
            status, _, said = well_called(url, method, at, path, operation)
            assert status == 404, (at, said)


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_other_methods_are_refused_with_those_that_are_offered(
    path: str, url: str, there: Callable[[str], str]
) -> None:
    offered = {method.upper() for method in DOCUMENT["paths"][path]}
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - offered:
        body = b"" if method in ("POST", "PUT", "PATCH") else None
        status, headers, _ = wire.call(url, there(path), body, method)
        if status == 405:
            assert offered <= set(headers["allow"].replace(" ", "").split(",")), (method, headers)
        else:
            # `/v1/models/{model}` takes any further path for a model's name, `/v1/responses/{id}` any id.
            assert (status, path.rsplit("/", 1)[-1]) in ((404, "load"), (404, "unload"), (404, "input_tokens")), method
