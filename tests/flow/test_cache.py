"""Kept answers, and those under way: the upstream's own count tells what was asked."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest

from tests import wire
from tests.conftest import Later
from tests.flow.conftest import Start
from tests.flow.streams import held
from wye.kernel.eventstream import EventStreamDecoder
from wye.testing.fake import FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer

CACHED: dict[str, Any] = {"cache": {"ttl_s": 60}}
THINKING = [
    wire.ANTHROPIC_START,
    wire.anthropic_event(
        "content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}
    ),
    wire.anthropic_event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Let me "}),
    wire.anthropic_event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "see"}),
    wire.anthropic_event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "c2lnbmVk"}),
    wire.anthropic_event("content_block_stop", index=0),
    wire.anthropic_event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    *[
        wire.anthropic_event("content_block_delta", index=1, delta={"type": "text_delta", "text": piece})
        for piece in ("Hel", "lo", " there")
    ],
    wire.anthropic_event("content_block_stop", index=1),
    wire.anthropic_event(
        "content_block_start", index=2, content_block={"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    ),
    wire.anthropic_event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"at":'}),
    wire.anthropic_event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '"door"}'}),
    wire.anthropic_event("content_block_stop", index=2),
    wire.anthropic_event(
        "message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 3}
    ),
    wire.anthropic_event("message_stop"),
]
API = {"openai": {"api": "chat"}, "anthropic": {"api": "anthropic"}}
UPSTREAMS: dict[str, list[bytes]] = {"openai": wire.OPENAI_STREAM, "anthropic": THINKING}


def body_of(dialect: str, *, stream: bool, **more: Any) -> tuple[str, dict[str, Any]]:
    """The same question in each dialect: path and body."""
    said = {"role": "user", "content": "Hi"}
    match dialect:
        case "chat":
            return "/v1/chat/completions", {
                "model": "m",
                "max_tokens": 50,
                "messages": [said],
                "stream": stream,
                **more,
            }
        case "messages":
            return "/v1/messages", {"model": "m", "max_tokens": 50, "messages": [said], "stream": stream, **more}
        case "responses":
            return "/v1/responses", {"model": "m", "max_output_tokens": 50, "input": "Hi", "stream": stream, **more}
        case _:
            verb = "converse-stream" if stream else "converse"
            message = {"role": "user", "content": [{"text": "Hi"}]}
            return f"/model/m/{verb}", {"messages": [message], "inferenceConfig": {"maxTokens": 50}, **more}


DIALECTS = ("chat", "messages", "responses", "converse")


def ask(server: WyeServer, dialect: str, *, stream: bool, **more: Any) -> tuple[str, bytes]:
    """The cache's word and the answer."""
    path, body = body_of(dialect, stream=stream, **more)
    status, headers, answer = wire.call(server.url, path, body)
    assert status == 200, answer
    return headers["x-wye-cache"], answer


def cached(start: Start, kind: str, upstream: FakeUpstream, **config: Any) -> WyeServer:
    return start((kind, upstream), route={**CACHED, **config.pop("route", {})}, deployment=API[kind], **config)


def text_of(dialect: str, answer: bytes) -> str:
    """The text of a streamed answer, by hand."""
    if dialect == "converse":
        messages = list(EventStreamDecoder().feed(answer))
        deltas = [json.loads(m.payload)["delta"] for m in messages if m.headers[":event-type"] == "contentBlockDelta"]
        return "".join(delta.get("text", "") for delta in deltas)
    pieces = list[str]()
    for frame in wire.data_frames(answer):
        if frame == "[DONE]":
            continue
        if dialect == "chat":
            pieces += [choice["delta"].get("content") or "" for choice in frame["choices"]]
        elif dialect == "messages":
            pieces.append(frame.get("delta", {}).get("text", ""))
        elif frame["type"] == "response.output_text.delta":
            pieces.append(frame["delta"])
    return "".join(pieces)


@pytest.mark.parametrize("kind", UPSTREAMS)
@pytest.mark.parametrize("first", DIALECTS)
def test_an_answer_kept_by_one_dialect_is_told_to_every_other(
    first: str, kind: str, start: Start, upstream: FakeUpstream
) -> None:
    """What the second caller hears is what it would have heard from the upstream itself."""
    upstream.script = lambda request: event_stream(UPSTREAMS[kind])
    server, uncached = cached(start, kind, upstream), start((kind, upstream), deployment=API[kind])
    assert ask(server, first, stream=True)[0] == "miss"
    for dialect in DIALECTS:
        path, body = body_of(dialect, stream=True)
        _, _, fresh = wire.call(uncached.url, path, body)
        asked = len(upstream.requests)
        word, told = ask(server, dialect, stream=True)
        assert (word, len(upstream.requests)) == ("hit", asked)
        assert text_of(dialect, told) == "Hello there"
        assert told.count(b"look") == fresh.count(b"look")
        assert told.count(b"c2lnbmVk") == fresh.count(b"c2lnbmVk")
        if (dialect, kind) in (("chat", "anthropic"), ("messages", "openai")):
            same = [frame for frame in wire.data_frames(fresh) if frame == "[DONE]" or frame.get("type") != "ping"]
            assert [_timeless(f) for f in wire.data_frames(told)] == [_timeless(f) for f in same]
        assert ask(server, dialect, stream=False)[0] == "hit"
        assert len(upstream.requests) == asked


def _timeless(frame: Any) -> Any:
    return {**frame, "created": 0} if isinstance(frame, dict) and "created" in frame else frame


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("first", DIALECTS)
def test_a_whole_answer_is_told_as_a_body_and_as_a_stream(
    first: str, kind: str, start: Start, upstream: FakeUpstream
) -> None:
    whole = wire.OPENAI_BODY if kind == "openai" else wire.ANTHROPIC_BODY
    upstream.script = lambda request: json_body(whole)
    server = cached(start, kind, upstream)
    assert ask(server, first, stream=False)[0] == "miss"
    for dialect in DIALECTS:
        word, told = ask(server, dialect, stream=False)
        assert word == "hit"
        assert b"Hello there" in told
        assert text_of(dialect, ask(server, dialect, stream=True)[1]) == "Hello there"
    assert len(upstream.requests) == 1


def listening(*servers: WyeServer) -> Counter[str]:
    """How many callers hear what is under way, by what the first of them is told."""
    lives = [live for server in servers for live in [*server.app.pipeline.cache._lives.values()]]
    return sum((Counter({live.status: live.listeners}) for live in lives), Counter[str]())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", UPSTREAMS)
def test_fifty_at_once_make_one_call_and_all_hear_the_same(
    kind: str, dialect: str, start: Start, upstream: FakeUpstream
) -> None:
    server = cached(start, kind, upstream, clocks={"gap_s": 30})
    upstream.script = lambda request: held(UPSTREAMS[kind], lambda: listening(server).total() == 50)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: ask(server, dialect, stream=True), range(50)))
    assert len(upstream.requests) == 1
    assert [word for word, _ in answers].count("miss") == 1
    assert [word for word, _ in answers].count("join") == 49
    if dialect != "responses":  # its items have ids of their own in each stream
        assert len({answer for _, answer in answers}) == 1
    assert {text_of(dialect, answer) for _, answer in answers} == {"Hello there"}


def listen(server: WyeServer, **more: Any) -> HTTPConnection:
    path, body = body_of("chat", stream=True, **more)
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    return connection


def test_who_comes_late_hears_the_beginning_and_who_began_may_leave(start: Start, upstream: FakeUpstream) -> None:
    joined = threading.Event()
    upstream.queue.append(held(wire.OPENAI_STREAM, joined.is_set))
    server = cached(start, "openai", upstream)
    first = listen(server)
    response = first.getresponse()
    assert response.headers["x-wye-cache"] == "miss"
    second = listen(server)
    late = second.getresponse()
    assert late.headers["x-wye-cache"] == "join"
    response.read(10)
    response.close()
    first.close()
    joined.set()
    assert text_of("chat", late.read()) == "Hello there"
    second.close()
    assert (len(upstream.requests), upstream.left) == (1, 0)
    assert ask(server, "chat", stream=True)[0] == "hit"


def test_when_nobody_listens_any_longer_the_upstream_is_let_go(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(event_stream([*wire.OPENAI_STREAM[:3], 60.0]))
    server = cached(start, "openai", upstream, clocks={"gap_s": 60})
    connections = [listen(server) for _ in range(3)]
    responses = [connection.getresponse() for connection in connections]
    for response, connection in zip(responses, connections, strict=True):
        response.close()
        connection.close()
    deadline = time.monotonic() + 60
    while not upstream.left and time.monotonic() < deadline:
        time.sleep(0.02)
    assert upstream.left == 1
    word, answer = ask(server, "chat", stream=True)
    assert (word, text_of("chat", answer)) == ("miss", "Hi")


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_what_breaks_off_is_an_error_to_all_and_is_not_kept(end: Any, start: Start, upstream: FakeUpstream) -> None:
    server = cached(start, "openai", upstream)
    upstream.queue.append(held(wire.OPENAI_STREAM[:3], lambda: listening(server).total() == 5, end))
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: ask(server, "chat", stream=True)[1], range(5)))
    assert all(b'"error"' in answer and b"[DONE]" not in answer for answer in answers)
    assert ask(server, "chat", stream=True)[0] == "miss"
    assert len(upstream.requests) == 2


def test_a_failure_before_the_answer_is_everybodys_and_is_not_kept(start: Start, upstream: FakeUpstream) -> None:
    refusal = json_body({"error": {"message": "the reason", "type": "invalid_request_error"}}, 400)
    upstream.queue.append(refusal)
    server = cached(start, "openai", upstream)
    status, headers, body = wire.call(server.url, *body_of("messages", stream=False))
    assert (status, json.loads(body)["type"]) == (400, "error")
    assert b"the reason" in body
    assert "x-wye-cache" not in headers
    assert ask(server, "chat", stream=False)[0] == "miss"


def test_other_questions_are_other_entries(start: Start, upstream: FakeUpstream) -> None:
    server = cached(start, "openai", upstream)
    ask(server, "chat", stream=False)
    for more in ({"temperature": 0.5}, {"max_tokens": 51}, {"seed": 7}, {"top_k_of_my_own": 1}, {"stop": ["x"]}):
        assert ask(server, "chat", stream=False, **more)[0] == "miss", more
    for more in ({"user": "me"}, {"metadata": {"run": "2"}}):
        assert ask(server, "chat", stream=False, **more)[0] == "hit", more


def test_two_principals_share_nothing_unless_their_route_says_so(
    start: Start, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:

    def words(server: WyeServer) -> list[str]:
        monkeypatch.setattr(server.app.pipeline.auth, "principal", lambda headers: headers[b"x-who"].decode())
        said = [
            wire.call(server.url, *body_of("chat", stream=False), headers={"x-who": who})[1]
            for who in ("one", "two", "one")
        ]
        return [headers["x-wye-cache"] for headers in said]

    assert words(cached(start, "openai", upstream)) == ["miss", "miss", "hit"]
    assert words(cached(start, "openai", upstream, route={"cache": {"shared": True}})) == ["miss", "hit", "hit"]


@pytest.mark.parametrize("where", ["top", "extra_body"])
def test_a_caller_has_its_say_and_the_upstream_never_hears_it(
    where: str, start: Start, upstream: FakeUpstream, later: Later
) -> None:
    server = cached(start, "openai", upstream)

    def word(**control: Any) -> str:
        said = {"cache": control} if where == "top" else {"extra_body": {"cache": control}}
        return ask(server, "chat", stream=False, **said)[0]

    assert word(**{"no-store": True}) == "miss"
    assert word(ttl=60) == "miss"
    assert word() == "hit"
    later(61)
    assert word() == "miss"
    assert word(**{"no-cache": True}) == "bypass"
    assert word(**{"no-cache": True, "no-store": True}) == "bypass"
    assert word(**{"no-cache": False}) == "hit"
    for request in upstream.requests:
        assert b"cache" not in request.body
        assert b"extra_body" not in request.body


def test_the_rest_of_extra_body_goes_on(start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream))
    wire.call(server.url, *body_of("chat", stream=False, extra_body={"cache": {}, "mine": 1}))
    assert upstream.requests[0].json()["extra_body"] == {"mine": 1}


@pytest.mark.parametrize(
    ("control", "param"),
    [
        (True, "cache"),
        ({"no-cache": 1}, "cache.no-cache"),
        ({"ttl": 0}, "cache.ttl"),
        ({"ttl": True}, "cache.ttl"),
        ({"mode": "x"}, "cache.mode"),
    ],
)
def test_a_mistake_in_it_is_named(control: Any, param: str, start: Start, upstream: FakeUpstream) -> None:
    server = cached(start, "openai", upstream)
    status, _, body = wire.call(server.url, *body_of("chat", stream=False, cache=control))
    assert (status, json.loads(body)["error"]["param"]) == (400, param)
    assert upstream.requests == []


def test_everything_kept_can_be_forgotten(start: Start, upstream: FakeUpstream) -> None:
    server = cached(start, "openai", upstream)
    ask(server, "chat", stream=False)
    ask(server, "chat", stream=False, seed=1)
    assert json.loads(wire.call(server.url, "/cache", method="DELETE")[2]) == {"deleted_entries": 2}
    assert ask(server, "chat", stream=False)[0] == "miss"


def test_without_a_cache_nothing_is_kept_and_nothing_said(start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream))
    for _ in range(2):
        _, headers, _ = wire.call(server.url, *body_of("chat", stream=False))
        assert "x-wye-cache" not in headers
    assert len(upstream.requests) == 2


def test_memory_is_bounded(start: Start, upstream: FakeUpstream) -> None:
    long = {
        **wire.OPENAI_BODY,
        "choices": [{**wire.OPENAI_BODY["choices"][0], "message": {"role": "assistant", "content": "x" * 400_000}}],
    }
    upstream.script = lambda request: json_body(long)
    server = cached(start, "openai", upstream, cache={"max_mb": 1})
    for seed in range(4):
        ask(server, "chat", stream=False, seed=seed)
    assert ask(server, "chat", stream=False, seed=3)[0] == "hit"
    assert ask(server, "chat", stream=False, seed=0)[0] == "miss"


def test_a_call_that_crashes_the_gateway_reaches_all_who_listen(
    start: Start, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever, and the next call begins anew."""
    server = cached(start, "openai", upstream)
    reached = threading.Event()

    async def crash(*_: Any) -> Any:
        reached.set()
        raise ZeroDivisionError("a mistake of ours")

    with monkeypatch.context() as patched:
        patched.setattr(server.app.pipeline.cache, "_ask", crash)
        status, _, body = wire.call(server.url, *body_of("chat", stream=False))
    assert reached.is_set()
    assert status == 500
    assert b"a mistake of ours" not in body
    assert ask(server, "chat", stream=False)[0] == "miss"


def test_a_call_is_told_with_those_who_were_asked_for_it(
    start: Start, upstream: FakeUpstream, second: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """A miss and a failure count as what they are; a kept answer was made by nobody."""
    down = json_body({"error": {"message": "on fire"}}, 503)
    upstream.script = lambda request: down
    route = {"cache": {}, "retries": 0, "strategy": "priority", "allowed_fails": 99}
    server = start(("openai", upstream), ("openai", second), route=route, server={"log_calls": 1.0})
    with caplog.at_level("INFO", "wye.calls"):
        for _ in range(2):
            ask(server, "chat", stream=False)
        second.script = upstream.script
        path, body = body_of("chat", stream=False, seed=2)
        assert wire.call(server.url, path, body)[0] == 503
    calls = [record.__dict__["call"] for record in caplog.records if record.name == "wye.calls"]
    assert [(call["cache"], call["deployment"], call["attempts"], call["error"]) for call in calls] == [
        ("miss", "openai1/up-openai", 2, None),
        ("hit", "nobody", 0, None),
        (None, "openai1/up-openai", 2, "upstream_error"),
    ]
    stats = json.loads(wire.call(server.url, "/stats")[2])
    assert stats["refused"] == 0
    assert stats["recent"][0]["outcome"] == "failed"


def test_what_is_kept_costs_no_tokens(start: Start, upstream: FakeUpstream) -> None:
    server = cached(start, "openai", upstream, limits={"tokens_per_minute": 6_000})
    path, body = body_of("chat", stream=False)
    answers = [wire.call(server.url, path, body)[1] for _ in range(6)]
    assert [headers["x-wye-cache"] for headers in answers] == ["miss", *["hit"] * 5]
    left = [int(headers["x-ratelimit-remaining-tokens"]) for headers in answers]
    assert left[-1] >= left[1], "what a call may use is reserved, and given back"
