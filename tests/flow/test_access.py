"""Who may call, from where, and how much."""

from __future__ import annotations

import json

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeUpstream

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


@pytest.mark.parametrize(
    "headers", [{"authorization": "Bearer k-1"}, {"authorization": "bearer k-1"}, {"x-api-key": "k-1"}]
)
def test_a_key_is_taken_from_either_header(headers: dict[str, str], start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream), server={"api_key": "k-1"})
    for path in (CHAT, MESSAGES):
        assert wire.call(server.url, path, wire.ask(), headers=headers)[0] == 200
    assert wire.call(server.url, "/v1/models", headers=headers)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic k-1"}, {"x-api-key": "é"}, {"x-api-key": ""}],
)
@pytest.mark.parametrize("path", [CHAT, MESSAGES, "/v1/messages/count_tokens", "/v1/models", "/metrics"])
def test_none_or_a_wrong_key_is_401_and_the_body_is_not_read(
    headers: dict[str, str], path: str, start: Start, upstream: FakeUpstream
) -> None:
    server = start(("openai", upstream), server={"api_key": "k-1"})
    body = None if path in ("/v1/models", "/metrics") else b"not even JSON"
    status, _, answer = wire.call(server.url, path, body, headers=headers)
    assert status == 401
    assert "authentication_error" in answer.decode() or "invalid_request_error" in answer.decode()
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/docs", "/openapi.json"])
def test_some_pages_are_always_open(path: str, start: Start) -> None:
    assert wire.call(start(server={"api_key": "k-1"}).url, path)[0] == 200


def test_an_open_server_refuses_pages_of_other_sites(start: Start, upstream: FakeUpstream) -> None:
    """A page in the user's browser must not spend the user's keys through an open server on loopback."""
    server = start(("openai", upstream))
    for origin, wanted in (
        ("https://evil.example", 403),
        ("null", 403),
        (server.url, 200),
        ("http://localhost:3000", 200),
    ):
        assert wire.call(server.url, CHAT, wire.ask(), headers={"origin": origin})[0] == wanted, origin
    guarded = start(("openai", upstream), server={"api_key": "k"})
    sent = {"origin": "https://app.example", "authorization": "Bearer k"}
    assert wire.call(guarded.url, CHAT, wire.ask(), headers=sent)[0] == 200


def test_limits_are_kept_and_told(start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream), limits={"requests_per_minute": 3, "concurrent": 2})
    for stream, left in ((False, "2"), (True, "1"), (False, "0")):
        status, headers, _ = wire.call(server.url, CHAT, wire.ask(stream))
        assert status == 200
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == left
    for path in (CHAT, MESSAGES):
        status, headers, body = wire.call(server.url, path, wire.ask())
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= 20
        assert "3 requests per minute" in json.loads(body)["error"]["message"]
    assert len(upstream.requests) == 3
    assert server.app.pipeline.settlement.running == 0
