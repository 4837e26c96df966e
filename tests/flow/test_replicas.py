"""Two replicas with one Valkey: what one knows the other knows, and neither needs it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests import wire
from tests.conftest import Later
from tests.flow.streams import Held, held
from tests.flow.test_cache import DIALECTS, UPSTREAMS, ask, body_of, listening, text_of
from tests.valkey import Valkey
from wye.kernel.json import encode
from wye.testing.fake import FakeUpstream, event_stream, json_body
from wye.testing.fake_provider import FakeProvider
from wye.testing.server import WyeServer

Replicas = Callable[..., tuple[WyeServer, WyeServer]]
REFUSAL = {"error": {"message": "the reason", "type": "invalid_request_error"}}


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    with ExitStack() as stack:

        def start(url: str, *upstreams: tuple[str, FakeUpstream], **route: Any) -> tuple[WyeServer, WyeServer]:
            providers: dict[str, Any] = {}
            deployments: list[dict[str, Any]] = []
            for i, (kind, fake) in enumerate(upstreams):
                base = f"{fake.url}/v1" if kind == "openai" else fake.url
                providers[f"up{i}"] = {"kind": kind, "base_url": base, "api_key": "sk-up"}
                api = "chat" if kind == "openai" else "anthropic"
                deployments.append({"provider": f"up{i}", "model": "x", "api": api, "weight": 0 if i else 1})
            config = {
                "local": {"enabled": False},
                "providers": providers,
                "routes": {"m": {"deployments": deployments, **route}},
                "redis": {"url": url},
            }
            return stack.enter_context(WyeServer(config)), stack.enter_context(WyeServer(config))

        yield start


def health(server: WyeServer) -> dict[str, str]:
    return json.loads(wire.call(server.url, "/health")[2])["checks"]


def until(happened: Callable[[], bool], within_s: float = 60.0) -> float:
    """How long it took."""
    begun = time.monotonic()
    while not happened():
        assert time.monotonic() - begun < within_s, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_what_one_has_asked_the_other_tells(
    kind: str, replicas: Replicas, redis_url: str, upstream: FakeUpstream
) -> None:
    upstream.script = lambda request: event_stream(UPSTREAMS[kind])
    one, other = replicas(redis_url, (kind, upstream), cache={})
    assert ask(one, "chat", stream=True)[0] == "miss"
    for dialect in DIALECTS:
        word, told = ask(other, dialect, stream=True)
        assert (word, text_of(dialect, told)) == ("hit", "Hello there")
        assert ask(other, dialect, stream=False)[0] == "hit"
    assert len(upstream.requests) == 1
    assert json.loads(wire.call(other.url, "/cache", method="DELETE")[2]) == {"deleted_entries": 1}
    assert ask(one, "chat", stream=True)[0] == "miss"


@pytest.mark.parametrize("dialect", ["chat", "messages", "converse"])
@pytest.mark.parametrize("kind", UPSTREAMS)
def test_fifty_at_once_at_both_make_one_call(
    kind: str, dialect: str, replicas: Replicas, redis_url: str, upstream: FakeUpstream
) -> None:
    pair = replicas(redis_url, (kind, upstream), cache={})
    upstream.script = lambda request: held(UPSTREAMS[kind], lambda: listening(*pair) == {"miss": 25, "join": 25})
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda i: ask(pair[i % 2], dialect, stream=True), range(50)))
    assert len(upstream.requests) == 1
    assert Counter(word for word, _ in answers) == {"miss": 1, "join": 49}
    assert len({answer for _, answer in answers}) == 1
    assert text_of(dialect, answers[0][1]) == "Hello there"


def test_what_breaks_off_breaks_off_for_both(replicas: Replicas, redis_url: str, upstream: FakeUpstream) -> None:
    pair = replicas(redis_url, ("openai", upstream), cache={})
    upstream.queue.append(held(wire.OPENAI_STREAM[:3], lambda: listening(*pair) == {"miss": 1, "join": 1}, "cut"))
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda server: ask(server, "chat", stream=True)[1], pair))
    assert all(b'"error"' in answer and b"[DONE]" not in answer for answer in answers)
    assert len(upstream.requests) == 1


def test_a_refusal_is_both_replicas_refusal(replicas: Replicas, redis_url: str, upstream: FakeUpstream) -> None:
    refusal = json_body(REFUSAL, 400)
    pair = replicas(redis_url, ("openai", upstream), cache={})
    refusal.pieces = Held([], lambda: listening(*pair) == {"miss": 1, "join": 1}, [encode(REFUSAL)])
    upstream.queue.append(refusal)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda server: wire.call(server.url, *body_of("chat", stream=False)), pair))
    assert [(status, b"the reason" in body) for status, _, body in answers] == [(400, True)] * 2
    assert len(upstream.requests) == 1


def test_who_fails_at_one_is_left_alone_by_the_other_and_back_for_both(
    replicas: Replicas, redis_url: str, upstream: FakeProvider, second: FakeProvider, later: Later
) -> None:
    upstream.fault = "503"
    one, other = replicas(redis_url, ("openai", upstream), ("openai", second), retries=0, allowed_fails=2)
    for _ in range(2):
        wire.call(one.url, "/v1/chat/completions", wire.ask())
    until(lambda: health(other) == {"up0/x": "degraded: cooling down"})
    asked = len(upstream.requests)
    assert wire.call(other.url, "/v1/chat/completions", wire.ask())[1]["x-wye-deployment"] == "up1/x"
    assert len(upstream.requests) == asked
    upstream.fault = None
    later(31)
    assert wire.call(one.url, "/v1/chat/completions", wire.ask())[1]["x-wye-deployment"] == "up0/x"
    until(lambda: health(other) == {})
    assert wire.call(other.url, "/v1/chat/completions", wire.ask())[1]["x-wye-deployment"] == "up0/x"


def test_a_replica_that_begins_later_asks_what_the_others_know(
    replicas: Replicas, redis_url: str, upstream: FakeProvider, second: FakeProvider
) -> None:
    upstream.fault = "429=300"
    one, _ = replicas(redis_url, ("openai", upstream), ("openai", second), retries=0)
    wire.call(one.url, "/v1/chat/completions", wire.ask())
    assert health(one) == {"up0/x": "degraded: limited"}
    late, _ = replicas(redis_url, ("openai", upstream), ("openai", second), retries=0)
    until(lambda: health(late) == {"up0/x": "degraded: limited"})


def test_valkey_killed_and_restarted_under_load(replicas: Replicas, valkey: Valkey, upstream: FakeUpstream) -> None:
    """No call fails; /health says so meanwhile; soon after, one tells what the other has asked."""
    slowly = [part for piece in wire.OPENAI_STREAM for part in (piece, 0.05)]
    upstream.script = lambda request: event_stream(slowly)
    pair = replicas(valkey.url, ("openai", upstream), cache={"ttl_s": 60})
    stop, wrong, done = threading.Event(), list[Any](), Counter[str]()

    def load(number: int) -> None:
        while not stop.is_set():
            # Half of the calls are the same at both replicas at the same moment: some are under way when it dies.
            seed = int(time.monotonic() * 2) if number % 2 else time.monotonic_ns()
            path, body = body_of("chat", stream=True, seed=seed)
            status, headers, answer = wire.call(pair[(number // 2) % 2].url, path, body)
            if status != 200 or text_of("chat", answer) != "Hello there" or not answer.endswith(wire.DONE):
                wrong.append((status, answer))
            done[headers.get("x-wye-cache", "?")] += 1

    with ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(load, number)
        until(lambda: done["join"] > 3 and done["miss"] > 10)
        valkey.kill()
        until(lambda: all("state" in health(server) for server in pair))
        before = done["miss"]
        until(lambda: done["miss"] > before + 10)
        valkey.restart()
        took_s = until(lambda: not any("state" in health(server) for server in pair))
        joined = done["join"]
        until(lambda: done["join"] > joined)
        stop.set()
    assert wrong == []
    assert took_s < 30
    ask(pair[0], "chat", stream=True, seed=-1)
    assert ask(pair[1], "chat", stream=True, seed=-1)[0] == "hit"


def test_without_a_server_from_the_start_it_serves_all_the_same(
    replicas: Replicas, valkey: Valkey, upstream: FakeUpstream
) -> None:
    valkey.kill()
    one, other = replicas(valkey.url, ("openai", upstream), cache={})
    assert ask(one, "chat", stream=False)[0] == "miss"
    assert health(one)["state"].startswith("degraded: ")
    status, _, body = wire.call(one.url, "/cache", method="DELETE")
    assert status == 503, body
    valkey.restart()
    until(lambda: health(one) == health(other) == {})
    ask(one, "chat", stream=False)
    assert ask(other, "chat", stream=False)[0] == "hit"


def test_limits_are_counted_once_and_each_replica_alone_while_the_server_is_away(
    valkey: Valkey, upstream: FakeUpstream
) -> None:
    config = {
        "local": {"enabled": False},
        "providers": {"up": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-up"}},
        "routes": {"m": {"deployments": [{"provider": "up", "model": "x"}]}},
        "limits": {"requests_per_minute": 4, "concurrent": 50},
        "redis": {"url": valkey.url},
    }

    def statuses(calls: int) -> Counter[int]:
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(wire.call, pair[i % 2].url, "/v1/chat/completions", wire.ask()) for i in range(calls)]
        return Counter(one.result()[0] for one in asked)

    with WyeServer(config) as one, WyeServer(config) as other:
        pair = (one, other)
        assert statuses(30) == {200: 4, 429: 26}
        valkey.kill()
        until(lambda: all("state" in health(server) for server in pair))
        assert health(one)["limits"] == "degraded: each replica counts the calls of a key for itself"
        assert statuses(40) == {200: 8, 429: 32}
        valkey.restart()
        until(lambda: health(one) == health(other) == {})
        assert statuses(30) == {200: 4, 429: 26}


def test_a_conversation_goes_on_at_any_replica(replicas: Replicas, redis_url: str, upstream: FakeUpstream) -> None:
    one, other = replicas(redis_url, ("openai", upstream))

    def ask(server: WyeServer, **more: Any) -> dict[str, Any]:
        status, _, body = wire.call(server.url, "/v1/responses", json.dumps({"model": "m", **more}).encode())
        assert status == 200, body
        return json.loads(body)

    first = ask(one, input="Hi")
    second = ask(other, input="And?", previous_response_id=first["id"])
    ask(one, input="More", previous_response_id=second["id"])
    told = [message["content"] for message in upstream.requests[-1].json()["messages"]]
    assert told == ["Hi", "Hi", "And?", "And?", "More"]
    path = f"/v1/responses/{first['id']}"
    assert json.loads(wire.call(other.url, path)[2]) == first
    assert wire.call(other.url, path, method="DELETE")[0] == 200
    assert wire.call(one.url, path)[0] == 404
    slow = json_body(wire.OPENAI_BODY)
    slow.pieces.insert(0, 60)
    upstream.queue.append(slow)
    queued = ask(one, input="Hi", background=True)
    path = f"/v1/responses/{queued['id']}"
    assert json.loads(wire.call(other.url, path)[2])["status"] == "queued"
    assert json.loads(wire.call(other.url, f"{path}/cancel", b"")[2])["status"] == "cancelled"
    assert json.loads(wire.call(one.url, path)[2])["status"] == "cancelled"
