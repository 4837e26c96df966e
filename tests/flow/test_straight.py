"""A whole answer that is passed on without a task, and all that goes on in one: a caller sees no difference."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.api.app import App
from wye.gateway.straight import Straight
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body
from wye.testing.server import WyeServer

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
BODIES = {"openai": wire.OPENAI_BODY, "anthropic": wire.ANTHROPIC_BODY}
JSON = {"content-type": "application/json"}
PATIENT = {"connect_s": 60, "headers_s": 60, "first_token_s": 60, "gap_s": 60}


def said(body: bytes, pieces: Callable[[bytes], list[bytes | float]], **more: Any) -> FakeAnswer:
    return FakeAnswer(pieces(body), headers={**JSON, **more.pop("headers", {})}, length=len(body), **more)


ANSWERS: dict[str, Callable[[bytes], FakeAnswer]] = {
    "whole": lambda body: said(body, lambda b: [b]),
    "its head first": lambda body: said(body, lambda b: [0.05, b]),
    "its body in pieces": lambda body: said(body, lambda b: [0.02, b[:20], 0.02, b[20:40], 0.02, b[40:]]),
    "slowly and long": lambda body: said(body + b" " * 300_000, lambda b: [b[:200_000], 0.05, b[200_000:]]),
    "in chunks": lambda body: FakeAnswer([body[:9], body[9:]], headers=JSON),
    "in chunks, one by one": lambda body: FakeAnswer([body[:9], 0.03, body[9:], 0.03], headers=JSON),
    "compressed": lambda body: said(gzip.compress(body), lambda b: [b], headers={"content-encoding": "gzip"}),
    "with its limits": lambda body: said(body, lambda b: [b], headers={"x-ratelimit-remaining-requests": "7"}),
    "a refusal in the words of an answer": lambda body: said(body, lambda b: [b], status=400),
    "a refusal": lambda _: json_body({"error": {"message": "no", "type": "invalid_request_error"}}, 400),
    "a refusal of the key": lambda _: json_body({"error": {"message": "no key"}}, 401),
    "an error": lambda _: json_body({"error": {"message": "down"}}, 503),
    "too much": lambda _: json_body({"error": {"message": "slow down"}}, 429, **{"retry-after": "0"}),
    "not UTF-8": lambda _: said(b'{"a": "\xff\xfe"}', lambda b: [b]),
    "not JSON": lambda _: said(b"<html>", lambda b: [b]),
    "nothing": lambda _: said(b"", lambda _: []),
    "cut within": lambda body: said(body, lambda b: [b[:30]], end="cut"),
    "cut after its head": lambda body: said(body, lambda _: [0.05], end="cut"),
    "reset before its head": lambda body: said(body, lambda b: [b], head=False, end="reset"),
}


@pytest.fixture
def straight(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was sent on at once, and whether its answer was given at once."""
    seen: list[str] = []
    ask, answer = Straight.ask, Straight.answer

    def counted_ask(self: Straight, exchange: Any) -> Any:
        underway = ask(self, exchange)
        if exchange.sent is not None:
            seen.append("sent")
        return underway

    def counted_answer(self: Straight, exchange: Any, sent: Any) -> Any:
        whole = answer(self, exchange, sent)
        if whole is not None:
            seen.append("answered")
        return whole

    monkeypatch.setattr(Straight, "ask", counted_ask)
    monkeypatch.setattr(Straight, "answer", counted_answer)
    return seen


def send(server: WyeServer, body: Any = None, path: str = "/v1/chat/completions", lines: str = "") -> socket.socket:
    """A request in one piece, as it comes on a connection that is kept."""
    data = json.dumps(body or wire.ask()).encode()
    caller = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    lines += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n"
    head = f"POST {path} HTTP/1.1\r\nhost: wye\r\n{lines}\r\n"
    caller.sendall(head.encode() + data)
    return caller


def call(
    server: WyeServer, body: Any = None, path: str = "/v1/chat/completions", lines: str = ""
) -> tuple[int, dict[str, str], bytes]:
    with send(server, body, path, lines) as caller, HTTPResponse(caller) as response:
        response.begin()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def asked(server: WyeServer, path: str) -> tuple[int, dict[str, str], bytes]:
    """The answer without what differs from call to call."""
    status, headers, answer = call(server, path=path)
    for name in ("x-request-id", "request-id", "date", "content-length"):
        headers.pop(name, None)
    return status, headers, re.sub(rb"req_[0-9a-f]+", b"req_", answer)


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("case", ANSWERS)
def test_a_caller_sees_no_difference(
    case: str,
    kind: str,
    start: Start,
    upstream: FakeUpstream,
    straight: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = ANSWERS[case](json.dumps(BODIES[kind]).encode())
    server = start((kind, upstream), clocks=PATIENT, route={"retries": 1, "cooldown_s": 0, "allowed_fails": 1000})
    whole = json_body(BODIES[kind])
    upstream.script = lambda _: whole
    call(server, path=PATHS[kind])  # a connection is kept
    upstream.queue.append(answer)
    by_itself = asked(server, PATHS[kind])
    assert straight[:1] == ["sent"]
    settled = server.app.pipeline.settlement
    call(server, path=PATHS[kind])  # another one is, where that one was lost
    monkeypatch.setattr(App, "_exchange_at_once", lambda *_: None)
    straight.clear()
    upstream.queue.append(answer)
    assert asked(server, PATHS[kind]) == by_itself
    assert straight == []
    assert settled.running == 0
    (deployment,) = server.app.pipeline.router.deployments()
    assert deployment.health.running == 0


@pytest.mark.parametrize("case", ["whole", "its head first", "its body in pieces", "in chunks, one by one"])
def test_a_whole_answer_takes_no_task(case: str, start: Start, upstream: FakeUpstream, straight: list[str]) -> None:
    server = start(("openai", upstream), clocks=PATIENT)
    upstream.script = lambda _: ANSWERS[case](json.dumps(wire.OPENAI_BODY).encode())
    for _ in range(3):
        assert call(server)[0] == 200
    assert straight == ["sent", "answered"] * 2
    assert upstream.connections == 1


@pytest.mark.parametrize(
    "more",
    [{"stream": True}, {"cache": {"ttl_s": 1}}, {"orchestration_mode": "critique"}, {"model": "nobody"}, {"model": 7}],
    ids=lambda more: next(iter(more)),
)
def test_what_takes_more_is_not_begun(
    more: dict[str, Any], start: Start, upstream: FakeUpstream, straight: list[str]
) -> None:
    server = start(("openai", upstream), clocks=PATIENT)
    upstream.script = lambda _: json_body(wire.OPENAI_BODY)
    call(server)
    call(server, {**wire.ask(), **more})
    assert straight == []


def test_a_fallback_answers_for_one_that_was_asked_at_once(
    start: Start, upstream: FakeUpstream, second: FakeUpstream, straight: list[str]
) -> None:
    route = {"strategy": "priority", "retries": 0, "allowed_fails": 1, "cooldown_s": 600}
    server = start(("openai", upstream), ("openai", second), clocks=PATIENT, route=route)
    upstream.script = second.script = lambda _: json_body(wire.OPENAI_BODY)
    call(server)
    upstream.queue.append(json_body({"error": {"message": "down"}}, 500))
    status, headers, _ = call(server)
    assert (status, headers["x-wye-attempts"], headers["x-wye-deployment"]) == (200, "2", "openai1/up-openai")
    assert straight == ["sent"]
    # Who is left out of the plan is to be told of.
    assert call(server)[0] == 200
    assert straight == ["sent"]
    assert len(server.app.pipeline.settlement.traces) == 2


def test_whoever_asks_how_it_came_about_is_told(start: Start, upstream: FakeUpstream, straight: list[str]) -> None:
    server = start(("openai", upstream), clocks=PATIENT)
    upstream.script = lambda _: json_body(wire.OPENAI_BODY)
    for _ in range(2):
        _, headers, _ = call(server, lines="x-wye-trace: 1\r\n")
        assert "openai0/up-openai began to answer after" in headers["x-wye-trace"]
    assert straight == []


def test_a_limit_is_kept(start: Start, upstream: FakeUpstream, straight: list[str]) -> None:
    server = start(("openai", upstream), clocks=PATIENT, limits={"requests_per_minute": 3})
    upstream.script = lambda _: json_body(wire.OPENAI_BODY)
    told = []
    for _ in range(4):
        status, headers, _ = call(server)
        told.append((status, headers.get("x-ratelimit-remaining-requests")))
    assert told == [(200, "2"), (200, "1"), (200, "0"), (429, None)]
    assert straight == ["sent", "answered"] * 2


@pytest.mark.parametrize("pieces", [[], [b"{"]], ids=["before the answer", "within the answer"])
def test_a_caller_who_leaves_ends_the_call(
    pieces: list[bytes | float], start: Start, upstream: FakeUpstream, straight: list[str]
) -> None:
    server = start(("openai", upstream), clocks=PATIENT)
    upstream.script = lambda _: json_body(wire.OPENAI_BODY)
    call(server)
    upstream.queue.append(FakeAnswer(pieces, headers=JSON, head=bool(pieces), end="hang"))
    caller = send(server)
    wire.until(lambda: len(upstream.requests) == 2)
    caller.close()
    wire.until(lambda: upstream.left == 1)
    wire.until(lambda: server.app.pipeline.settlement.running == 0)
    (deployment,) = server.app.pipeline.router.deployments()
    assert deployment.health.running == 0
    assert straight == ["sent"]
    assert call(server)[0] == 200


def test_a_server_that_stops_says_so(start: Start, upstream: FakeUpstream, straight: list[str]) -> None:
    server = start(("openai", upstream), clocks=PATIENT)
    upstream.script = lambda _: json_body(wire.OPENAI_BODY)
    call(server)
    upstream.queue.append(FakeAnswer([], end="hang", head=False))
    caller = send(server)
    wire.until(lambda: straight == ["sent"])
    server._server.config.timeout_graceful_shutdown = 0
    server._server.should_exit = True
    heard = b""
    while piece := caller.recv(65_536):
        heard += piece
    assert heard.startswith(b"HTTP/1.1 503 ")
    assert b"The server is being stopped" in heard


@pytest.mark.parametrize(
    "where",
    ["wye.gateway.deployment.Route.plan", "wye.gateway.relay.passthrough.demand_utf8", "wye.api.app._whole"],
)
def test_a_mistake_of_our_own_is_a_500(
    where: str,
    start: Start,
    upstream: FakeUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start(("openai", upstream), clocks=PATIENT)
    upstream.script = lambda _: json_body(wire.OPENAI_BODY)
    call(server)

    def wrong(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(where, wrong)
    assert call(server)[0] == 500
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)
    assert server.app.pipeline.settlement.running == 0
