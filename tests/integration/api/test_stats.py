"""GET /stats, GET /health and DELETE /cache: what the gateway says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import wire
from wye.testing.fake import json_body
from wye.testing.fake_provider import FakeProvider
from wye.testing.server import WyeServer


@pytest.fixture
def upstreams() -> Iterator[list[FakeProvider]]:
    with FakeProvider() as first, FakeProvider() as second:
        second.when(input_tokens=11, output_tokens=3)
        yield [first, second]


@pytest.fixture
def server(upstreams: list[FakeProvider]) -> Iterator[WyeServer]:
    providers = {
        f"up{i}": {"kind": "openai", "base_url": f"{u.url}/v1", "api_key": "sk-up"} for i, u in enumerate(upstreams)
    }
    deployments = [{"provider": "up0", "model": "a"}, {"provider": "up1", "model": "b", "weight": 0}]
    route = {"deployments": deployments, "retries": 0, "allowed_fails": 2, "cooldown_s": 60, "cache": {}}
    with WyeServer({"local": {"enabled": False}, "providers": providers, "routes": {"m": route}}) as running:
        yield running


def get(server: WyeServer, path: str) -> Any:
    status, _, body = wire.call(server.url, path)
    assert status == 200, body
    return json.loads(body)


def test_stats_count_what_happened_and_tell_why(server: WyeServer, upstreams: list[FakeProvider]) -> None:
    upstreams[0].fault = "503"
    for seed in range(3):
        wire.call(server.url, "/v1/chat/completions", wire.ask(seed=seed))
    wire.call(server.url, "/v1/chat/completions", wire.ask(seed=0))
    stats = get(server, "/stats")
    first, second = stats["routes"]["m"]["deployments"]
    assert (first["deployment"], first["requests"], first["failures"], first["success_rate"]) == ("up0/a", 2, 2, 0.0)
    assert first["state"] == "cooling_down"
    assert 50 < first["usable_in_s"] <= 60
    assert "currently overloaded" in first["last_error"]
    assert (second["requests"], second["failures"], second["success_rate"]) == (3, 0, 1.0)
    assert (second["input_tokens"], second["output_tokens"]) == (33, 9)
    assert stats["routes"]["m"]["cache"] == {"hits": 1, "joins": 0, "misses": 3, "bypasses": 0}
    assert (stats["running"], stats["refused"]) == (0, 0)
    latest = stats["recent"][0]
    assert (latest["model"], latest["outcome"], latest["tokens"]) == ("m", "answered", 14)
    assert latest["steps"][0] == "plan up1/b"
    assert latest["steps"][1].startswith("up0/a is cooling down for ")


def test_health_names_who_is_away_and_stays_200(server: WyeServer, upstreams: list[FakeProvider]) -> None:
    assert get(server, "/health")["checks"] == {}
    upstreams[0].fault = "503"
    for seed in range(2):
        wire.call(server.url, "/v1/chat/completions", wire.ask(seed=seed))
    assert get(server, "/health")["checks"] == {"up0/a": "degraded: cooling down"}


def test_a_caller_that_asks_is_told_how_its_answer_came_about(server: WyeServer, upstreams: list[FakeProvider]) -> None:
    upstreams[0].queue.append(json_body({"error": {"message": "zu heiß\r\n"}}, 503))
    asks = {"x-wye-trace": "true"}
    _, headers, _ = wire.call(server.url, "/v1/chat/completions", wire.ask(), headers=asks)
    steps = headers["x-wye-trace"].split("; ")
    assert steps[0] == "plan up0/a, up1/b"
    assert steps[1].startswith("up0/a: 503 upstream_error after ")
    assert steps[2].startswith("up1/b began to answer after ")
    _, headers, _ = wire.call(server.url, "/v1/chat/completions", wire.ask())
    assert "x-wye-trace" not in headers


def test_metrics_tell_who_can_be_asked_and_what_the_cache_saved(
    server: WyeServer, upstreams: list[FakeProvider]
) -> None:
    upstreams[0].fault = "503"
    kept = {"no-cache": True}
    for more in ({}, {}, {"cache": kept}, {"cache": {**kept, "no-store": True}}):
        assert wire.call(server.url, "/v1/chat/completions", wire.ask(**more))[0] == 200
    for model in ("up1/b", "up1:b"):
        wire.call(server.url, "/v1/chat/completions", wire.ask(model=model))
    figures = dict(line.rsplit(" ", 1) for line in wire.call(server.url, "/metrics")[2].decode().splitlines())
    cache = {result: figures[f'wye_cache_total{{result="{result}",route="m"}}'] for result in ("hit", "miss", "bypass")}
    assert cache == {"hit": "1.0", "miss": "1.0", "bypass": "2.0"}
    usable = [figures[f'wye_deployment_usable{{deployment="{name}",route="m"}}'] for name in ("up0/a", "up1/b")]
    assert usable == ["0.0", "1.0"]
    lines = wire.call(server.url, "/metrics")[2].decode().splitlines()
    assert [line for line in lines if line.startswith("wye_requests_total")] == [
        'wye_requests_total{deployment="up0/a"} 2.0',
        'wye_requests_total{deployment="up1/b"} 5.0',
    ]


def test_the_cache_can_be_emptied(server: WyeServer, upstreams: list[FakeProvider]) -> None:
    wire.call(server.url, "/v1/chat/completions", wire.ask())
    assert json.loads(wire.call(server.url, "/cache", method="DELETE")[2]) == {"deleted_entries": 1}
    assert json.loads(wire.call(server.url, "/cache", method="DELETE")[2]) == {"deleted_entries": 0}


def test_providers_are_told_with_their_health(server: WyeServer, upstreams: list[FakeProvider]) -> None:
    def status_of(name: str) -> str:
        listed = get(server, "/v1/providers")
        assert [p["id"] for p in listed["data"]] == [p["id"] for p in get(server, "/providers")["data"]]
        assert listed["object"] == "list"
        (found,) = [provider for provider in listed["data"] if provider["id"] == name]
        assert found["object"] == "provider"
        return str(found["status"])

    assert (status_of("up0"), status_of("up1"), status_of("openai")) == ("ok", "ok", "idle")
    upstreams[0].fault = "503"
    for seed in range(2):
        wire.call(server.url, "/v1/chat/completions", wire.ask(seed=seed))
    assert (status_of("up0"), status_of("up1")) == ("down", "ok")
    wire.call(server.url, "/v1/chat/completions", wire.ask(model="up0/other"))
    assert status_of("up0") == "degraded"
