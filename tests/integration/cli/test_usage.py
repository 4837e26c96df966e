"""`wye usage`: every call is in the ledger, and no budget is forgotten, through every end of a server."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.integration.cli.conftest import Run, Serve, says
from tests.integration.cli.money import configure, issue
from wye.testing.fake import json_body
from wye.testing.fake_provider import FakeProvider

CHAT = "/v1/chat/completions"
CALL_MICRO_USD = 3011
"""Of what the upstream answers."""


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {key['secret']}"}


def usage(here: Run, *options: str) -> list[dict[str, Any]]:
    done = here("usage", "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_usage_is_told_by_key_model_deployment_and_day(serve: Serve, here: Run, upstream: FakeProvider) -> None:
    configure(upstream)
    key = issue(here)
    server = serve()
    for model in ("m", "m", "n"):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}]}).encode()
        assert wire.call(server.url, CHAT, body, headers=bearer(key))[0] == 200
    upstream.fault = "400"
    assert wire.call(server.url, CHAT, wire.ask(), headers=bearer(key))[0] == 400
    assert server.stop()[0] == 0
    (row,) = usage(here)
    assert (row["of"], row["name"], row["calls"], row["failed"]) == (key["id"], "ann", 4, 1)
    assert (row["input_tokens"], row["output_tokens"], row["cost_micro_usd"]) == (33, 9, 3 * CALL_MICRO_USD)
    told = here("usage", "--days", "1").stdout
    assert "ann" in told
    assert "$0.009033" in told
    assert [(row["of"], row["calls"]) for row in usage(here, "--by", "model")] == [("m", 3), ("n", 1)]
    assert {row["of"] for row in usage(here, "--by", "deployment")} == {"up/x", ""}
    assert "nobody answered" in here("usage", "--by", "deployment").stdout
    assert usage(here, "--by", "day")[0]["of"].startswith("20")
    assert usage(here, "--key", "key_other") == []


def test_an_empty_ledger_is_an_empty_table(here: Run) -> None:
    assert usage(here) == []
    assert "Total" in here("usage").stdout
    Path("wye.yaml").write_text("storage: {url: 'sqlite:///'}\n")
    says(here("usage"), "storage.url", "file")


def test_no_entry_is_lost_when_a_server_is_stopped_under_load(serve: Serve, here: Run, upstream: FakeProvider) -> None:
    configure(upstream)
    key = issue(here)
    server = serve("--workers", "2")
    answered: Counter[int] = Counter()
    stop = threading.Event()

    def load(_: int) -> None:
        while not stop.is_set():
            try:
                answered[wire.call(server.url, CHAT, wire.ask(), headers=bearer(key))[0]] += 1
            except OSError:
                return  # it lets nobody in any more

    with ThreadPoolExecutor(4) as pool:
        for number in range(4):
            pool.submit(load, number)
        try:
            wire.until(lambda: answered[200] > 200)
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(timeout=30)
        finally:
            stop.set()
    assert server.process.returncode == 0
    (row,) = usage(here)
    assert row["calls"] == answered[200] + answered[503] == len(upstream.requests)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_no_answered_call_is_lost_when_a_server_is_killed(
    stream: bool, serve: Serve, here: Run, upstream: FakeProvider
) -> None:
    """kill -9 in the middle of 200 calls, 8 at a time: those answered are in the ledger, once each."""
    configure(upstream)
    key = issue(here)
    server = serve()
    answered: list[int] = []

    def ask(_: int) -> None:
        try:
            status, _, body = wire.call(server.url, CHAT, wire.ask(stream=stream), headers=bearer(key))
        except (OSError, HTTPException):
            return  # it is gone
        assert body.endswith(b"data: [DONE]\n\n") == stream
        answered.append(status)
        if len(answered) == 100:
            server.process.kill()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(200)))
    assert server.process.wait(timeout=60) == -signal.SIGKILL
    assert {*answered} == {200}
    rows = usage(here)[0]["calls"]
    assert len(answered) <= rows <= len(answered) + 8, "those that were being answered may be there, too"


def test_a_server_brings_in_what_a_killed_one_has_left(serve: Serve, here: Run, upstream: FakeProvider) -> None:
    configure(upstream)
    key = issue(here, "ann", "--budget", "0.007/total")
    server = serve()
    for _ in range(2):
        assert wire.call(server.url, CHAT, wire.ask(max_tokens=3), headers=bearer(key))[0] == 200
    server.process.kill()
    server.process.wait()
    server = serve()
    assert wire.call(server.url, CHAT, wire.ask(max_tokens=3), headers=bearer(key))[0] == 429
    assert server.stop()[0] == 0
    assert not [*Path("home/journal").iterdir()]


def test_a_budget_is_known_again_after_a_restart(serve: Serve, here: Run, upstream: FakeProvider) -> None:
    """A call costs 3,011 micro-dollars, and none is begun that could cost more than is left."""
    configure(upstream)
    key = issue(here, "ann", "--budget", "0.01/total")

    def statuses(count: int) -> list[int]:
        server = serve()
        found = [wire.call(server.url, CHAT, wire.ask(max_tokens=3), headers=bearer(key)) for _ in range(count)]
        assert server.stop()[0] == 0
        for status, _, body in found:
            if status == 429:
                assert json.loads(body)["error"]["code"] == "budget_exceeded"
        return [status for status, _, _ in found]

    assert statuses(2) == [200, 200]
    assert statuses(3) == [200, 429, 429]
    assert usage(here)[0]["cost_micro_usd"] == 3 * CALL_MICRO_USD


def test_a_route_costs_no_more_than_its_budget_whoever_calls(
    serve: Serve, here: Run, upstream: FakeProvider, redis_url: str
) -> None:
    """Without any keys, at two replicas: each call costs 3,011 micro-dollars of a budget of 10 calls."""
    priced = {"provider": "up", "model": "x", "price": {"input_usd": 1.0, "output_usd": 1_000.0}}
    routes = {
        "m": {"deployments": [priced], "budget": {"usd": 10 * CALL_MICRO_USD / 1e6 + 0.001, "per": "day"}},
        "n": {"deployments": [priced]},
    }
    configure(upstream, redis={"url": redis_url}, keys={}, routes=routes)
    pair = [serve(), serve()]

    def ask(number: int) -> int:
        return wire.call(pair[number % 2].url, CHAT, wire.ask(max_tokens=3))[0]

    with ThreadPoolExecutor(16) as pool:
        assert Counter(pool.map(ask, range(60))) == {200: 10, 429: 50}
    told = json.loads(wire.call(pair[0].url, CHAT, wire.ask(max_tokens=3))[2])["error"]
    assert told["code"] == "budget_exceeded"
    assert told["message"].startswith("'m' may cost $0.03111 each day for all callers together")
    assert wire.call(pair[0].url, CHAT, wire.ask(model="n", max_tokens=3))[0] == 200
    stats = json.loads(wire.call(pair[0].url, "/stats")[2])["routes"]
    assert stats["m"]["budget"].items() >= {"micro_usd": 31_110, "period": "day"}.items()
    assert "budget" not in stats["n"]
    for server in pair:
        assert server.stop()[0] == 0
    (row,) = usage(here, "--budgets")
    assert (row["model"], row["key"], row["spent_micro_usd"]) == ("m", None, 10 * CALL_MICRO_USD)


def test_budgets_are_shown_with_what_is_left_of_them(here: Run, upstream: FakeProvider) -> None:
    priced = {"provider": "up", "model": "x", "price": {"input_usd": 1.0}}
    configure(upstream, routes={"m": {"deployments": [priced], "budget": {"usd": 50}}})
    key = issue(here, "ann", "--budget", "10/day", "--model-budget", "m=2/total")
    issue(here, "bob")
    ended = issue(here, "eve", "--budget", "1/day")
    assert here("keys", "revoke", ended["id"]).returncode == 0
    rows = [(row["name"], row["model"], row["micro_usd"], row["period"]) for row in usage(here, "--budgets")]
    of_ann = [("ann", None, 10_000_000, "day"), ("ann", "m", 2_000_000, "total")]
    assert rows == [(None, "m", 50_000_000, "month"), *of_ann]
    assert [row["model"] for row in usage(here, "--budgets", "--key", key["id"])] == [None, "m"]
    shown = here("usage", "--budgets").stdout
    for word in ("all callers", "all models", "ann", "$50.00/month", "$2.00/total"):
        assert word in shown


def test_many_calls_at_one_time_spend_no_more_than_the_budget(
    serve: Serve, here: Run, upstream: FakeProvider, redis_url: str
) -> None:
    """Two replicas; each call costs 3,011 micro-dollars of a budget of 20 calls, and reserves a little more."""
    configure(upstream, redis={"url": redis_url})
    key = issue(here, "ann", "--budget", f"{20.9 * CALL_MICRO_USD / 1e6:.6f}/total")
    pair = [serve(), serve()]

    def ask(number: int) -> int:
        return wire.call(pair[number % 2].url, CHAT, wire.ask(max_tokens=3), headers=bearer(key))[0]

    with ThreadPoolExecutor(32) as pool:
        statuses = Counter(pool.map(ask, range(200)))
    assert statuses == {200: 20, 429: 180}
    for server in pair:
        assert server.stop()[0] == 0
    assert usage(here)[0]["cost_micro_usd"] == 20 * CALL_MICRO_USD


def test_what_a_killed_replica_had_reserved_is_free_again(
    serve: Serve, here: Run, upstream: FakeProvider, redis_url: str
) -> None:
    configure(upstream, redis={"url": redis_url})
    key = issue(here, "ann", "--concurrent", "2", "--budget", f"{2.5 * CALL_MICRO_USD / 1e6:.6f}/total")
    killed, other = serve(), serve()
    slow = json_body(wire.OPENAI_BODY)
    slow.pieces.insert(0, 60)
    upstream.queue.extend([slow, slow])

    def ask(url: str) -> int:
        try:
            return wire.call(url, CHAT, wire.ask(max_tokens=3), headers=bearer(key))[0]
        except OSError:
            return 0

    with ThreadPoolExecutor(2) as pool:
        hanging = [pool.submit(ask, killed.url) for _ in range(2)]
        deadline_s = time.monotonic() + 60
        while len(upstream.requests) < 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert ask(other.url) == 429
        killed.process.kill()
        killed_s = time.monotonic()
        assert [call.result() for call in hanging] == [0, 0]
    while ask(other.url) != 200:
        assert time.monotonic() < killed_s + 60
        time.sleep(0.25)
    assert time.monotonic() - killed_s > 4, "not before its lease is over"
    assert ask(other.url) == 200
    assert ask(other.url) == 429
