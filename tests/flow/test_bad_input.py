"""Bad input never crashes, hangs or half-works: it gets a status and a sentence, in the caller's dialect."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeUpstream
from wye.testing.fake_provider import FakeProvider

PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens")
CHATS = PATHS[:2]
DEEP = b'{"model": "m", "max_tokens": 5, "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "text": b"hello",
    "an array": b"[]",
    "null": b"null",
    "cut off": b'{"model": "m", "messages": [{"role":',
    "invalid UTF-8": b'{"model": "\xff"}',
    "100,000 levels deep": DEEP,
    "binary": bytes(range(256)),
}
WRONG: dict[str, tuple[Any, int, str]] = {
    "no model": ({"messages": []}, 400, "model"),
    "model is a number": (wire.ask(model=5), 400, "model"),  # type: ignore[arg-type]
    "unknown model": (wire.ask(model="nope"), 404, "nope"),
    "stream is a string": ({**wire.ask(), "stream": "yes"}, 400, "stream"),
}
WRONG_WHEN_DECODED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no messages": ({"model": "m", "max_tokens": 5}, 422, "messages"),
    "empty messages": (wire.ask(messages=[]), 422, "messages"),
    "messages is a string": (wire.ask(messages="hi"), 400, "messages"),
    "a message is a number": (wire.ask(messages=[1]), 400, "messages[0]"),
    "role is missing": (wire.ask(messages=[{"content": "x"}]), 400, "messages[0].role"),
    "role is odd": (wire.ask(messages=[{"role": "king", "content": "x"}]), 400, "messages[0].role"),
    "content is a number": (wire.ask(messages=[{"role": "user", "content": 5}]), 400, "messages[0].content"),
    "temperature is a string": (wire.ask(temperature="hot"), 400, "temperature"),
    "tools is an object": (wire.ask(tools={}), 400, "tools"),
}


def check(body: bytes, path: str, text: str = "") -> dict[str, Any]:
    error = json.loads(body)
    assert error["error"]["message"]
    assert error["request_id"]
    if path == "/v1/chat/completions":
        assert error["detail"] == error["error"]["message"]
        assert {"type", "code", "param"} <= set(error["error"])
    else:
        assert error["type"] == "error"
        assert error["error"]["type"]
    assert text in body.decode()
    return error["error"]


@pytest.mark.parametrize("name", NO_JSON)
@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_json_object_is_a_400(name: str, path: str, start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream))
    status, _, body = wire.call(server.url, path, NO_JSON[name])
    assert status == 400
    check(body, path)
    assert upstream.requests == []
    assert wire.call(server.url, "/health")[0] == 200


@pytest.mark.parametrize(
    ("name", "path"), [(n, p) for n in WRONG for p in PATHS if not (p.endswith("count_tokens") and "stream" in n)]
)
def test_a_wrong_member_is_named(name: str, path: str, start: Start, upstream: FakeUpstream) -> None:
    asked, wanted, text = WRONG[name]
    status, _, body = wire.call(start(("openai", upstream)).url, path, asked)
    assert status == wanted
    check(body, path, text)


@pytest.mark.parametrize("name", WRONG_WHEN_DECODED)
@pytest.mark.parametrize("path", CHATS)
def test_what_a_translation_finds_wrong_is_named(name: str, path: str, start: Start, upstream: FakeUpstream) -> None:
    asked, wanted, text = WRONG_WHEN_DECODED[name]
    other = "anthropic" if path == "/v1/chat/completions" else "openai"
    status, _, body = wire.call(start((other, upstream)).url, path, asked)
    assert status == wanted, body
    check(body, path, text)
    assert upstream.requests == []


def test_a_10_mb_prompt_goes_through(start: Start, upstream: FakeProvider) -> None:
    upstream.when(say="So long!")
    big = wire.ask(messages=[{"role": "user", "content": "x" * 10_000_000}])
    server = start(("openai", upstream))
    for path in CHATS:
        assert wire.call(server.url, path, big)[0] == 200
    assert [len(r.json()["messages"][0]["content"]) for r in upstream.requests] == [10_000_000] * 2


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_a_413(chunked: bool, start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream), server={"body_limit_mb": 1})
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: 2000000"
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framing)
        if chunked:
            for _ in range(20):
                connection.sendall(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_limit_mb" in answer
    assert wire.call(server.url, "/health")[0] == 200


def test_a_body_that_is_cut_off_leaves_nothing_behind(start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{")
    assert wire.call(server.url, "/health")[0] == 200
    assert upstream.requests == []
    assert server.app.pipeline.settlement.running == 0


def test_a_compressed_body_is_a_415(start: Start, upstream: FakeUpstream) -> None:
    status, _, body = wire.call(
        start(("openai", upstream)).url, CHATS[0], b"\x1f\x8b", headers={"content-encoding": "gzip"}
    )
    assert status == 415
    check(body, CHATS[0], "gzip")


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/models", 405), ("GET", "/nope", 404), ("POST", "/", 404)],
)
def test_an_unknown_route_says_so(method: str, path: str, wanted: int, start: Start) -> None:
    status, _, body = wire.call(start().url, path, method=method)
    assert status == wanted
    assert json.loads(body)["error"]["message"]
    status, _, body = wire.call(start().url, path, method=method, headers={"anthropic-version": "2023-06-01"})
    assert json.loads(body)["type"] == "error"


def test_a_provider_without_a_key_says_which_variable_to_set(start: Start) -> None:
    status, _, body = wire.call(start().url, CHATS[0], wire.ask(model="gpt-4o"))
    assert status == 503
    assert "OPENAI_API_KEY" in check(body, CHATS[0])["message"]


@pytest.mark.parametrize("path", CHATS)
def test_wyes_own_failure_is_a_500_that_tells_nothing_but_its_id(
    path: str, start: Start, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(("openai", upstream))

    def broken(_: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(server.app.pipeline.router, "route", broken)
    status, headers, body = wire.call(server.url, path, wire.ask())
    assert status == 500
    error = check(body, path)
    assert headers["x-request-id"] in error["message"]
    assert b"secret detail" not in body
    assert "secret detail" in caplog.text
