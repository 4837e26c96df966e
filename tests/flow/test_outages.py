"""An upstream that is down for a while under load: nobody notices, nobody pays for it, and it is asked again soon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.client import HTTPConnection
from itertools import cycle
from math import inf
from typing import Any

import pytest

from tests import wire
from tests.flow import streams
from tests.flow.streams import CALLERS, PRELUDE, TEXT, WHOLE, hear, question, stream
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.server import WyeServer

EVERY_S = 0.1
ALLOWED_FAILS = 2
DOWN_S = 2.5
COOLDOWN_S = 0.5
DOWN = [
    json_body({"error": {"message": "down", "type": "server_error"}}, 503),
    FakeAnswer([], head=False, end="reset"),
    stream("chat", [*PRELUDE["chat"]], end="cut"),
    FakeAnswer([], head=False, end="hang"),
]
"""What an outage looks like, one after the other."""


def serve(
    *upstreams: FakeUpstream, weights: Sequence[float] = (1, 0), patience_s: float = 60, **more: Any
) -> WyeServer:
    """Route `m` to all of them, in OpenAI's Chat; `patience_s` is how long the first may take."""
    names = [f"up{i}" for i in range(len(upstreams))]
    deployments = [
        {
            "provider": name,
            "model": name,
            "api": "chat",
            "weight": weight,
            "clocks": {} if i else {"headers_s": patience_s},
        }
        for i, (name, weight) in enumerate(zip(names, weights, strict=True))
    ]
    providers = {name: streams.provider("chat", upstream) for name, upstream in zip(names, upstreams, strict=True)}
    route = {"deployments": deployments, "allowed_fails": ALLOWED_FAILS, **more.pop("route", {})}
    return WyeServer({"local": {"enabled": False}, "providers": providers, "routes": {"m": route}, **more})


def well(request: FakeRequest) -> FakeAnswer:
    return stream("chat", [*WHOLE["chat"]]) if request.json().get("stream") else json_body(wire.OPENAI_BODY)


def test_an_outage_under_load_is_heard_by_nobody(upstream: FakeUpstream, second: FakeUpstream) -> None:
    """A call every 0.1 s, of each kind of caller in turn, before, during and after it; it lasts until the one that is
    down was asked again a few times."""
    upstream.script = second.script = well
    faults, callers = cycle(DOWN), cycle(CALLERS)
    with serve(upstream, second, patience_s=0.4, route={"cooldown_s": COOLDOWN_S}) as server:
        begun_s = now_s = time.monotonic()
        down_at_s = begun_s + 0.5
        in_vain = 0
        up_at_s = back_at_s = inf
        while back_at_s == inf and now_s < down_at_s + 90:
            time.sleep(EVERY_S)
            now_s, caller = time.monotonic(), next(callers)
            if up_at_s == inf and now_s >= down_at_s + DOWN_S and in_vain > ALLOWED_FAILS:
                up_at_s = now_s
            is_down = down_at_s <= now_s < up_at_s
            upstream.script = (lambda request: next(faults)) if is_down else well
            asked = len(upstream.requests)
            status, headers, body = wire.call(server.url, *question(caller))
            heard = hear(caller, body)
            assert (status, heard.text, heard.complete, heard.errors) == (200, TEXT, True, [])
            by_the_first = headers["x-wye-deployment"] == "up0/up0"
            if is_down:
                assert not by_the_first
                in_vain += len(upstream.requests) - asked
            elif now_s >= up_at_s and by_the_first:
                back_at_s = now_s
    # Those that open the circuit and a probe for each cooldown; a connection that was reset is made anew once.
    assert ALLOWED_FAILS < in_vain <= 2 * (ALLOWED_FAILS + (up_at_s - down_at_s) / COOLDOWN_S)
    assert back_at_s - up_at_s < 20


@pytest.mark.parametrize("caller", CALLERS)
def test_a_failover_is_the_callers_gain_and_nobodys_bill(
    caller: str, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    """The fallback's model and figures are told; what failed counts as a failure, without tokens."""
    upstream.script = lambda request: stream("chat", [wire.OPENAI_ROLE, wire.OPENAI_USAGE_CHUNK], end="cut")
    second.script = well
    with serve(upstream, second, route={"retries": 0}, limits={"tokens_per_minute": 100}) as server:
        more = {"stream_options": {"include_usage": True}} if caller == "chat" else {}
        _, headers, body = wire.call(server.url, *question(caller, **more))
        heard = hear(caller, body)
        assert heard.tokens == (3 if caller == "messages" else 14)
        assert (b"upstream-model-1" in body) is (caller != "converse")
        assert (headers["x-wye-deployment"], headers["x-wye-attempts"]) == ("up1/up1", "2")
        path, asked = question(caller, stream=False)
        _, headers, _ = wire.call(server.url, path, asked)
        reserved = len(json.dumps(asked)) // 4
        left = int(headers["x-ratelimit-remaining-tokens"])
        assert 100 - 14 - reserved <= left < 100 - reserved  # about two come back in a second
        deployments = json.loads(wire.call(server.url, "/stats")[2])["routes"]["m"]["deployments"]
        told = [[d[name] for name in ("requests", "failures", "input_tokens", "output_tokens")] for d in deployments]
        assert told == [[2, 2, 0, 0], [2, 0, 22, 6]]
        metrics = wire.call(server.url, "/metrics")[2].decode().splitlines()
        assert 'wye_requests_total{deployment="up0/up0"} 2.0' in metrics
        assert 'wye_request_failures_total{deployment="up0/up0"} 2.0' in metrics
        assert 'wye_input_tokens_total{deployment="up0/up0"} 0.0' in metrics
        assert 'wye_input_tokens_total{deployment="up1/up1"} 22.0' in metrics


@pytest.fixture
def third() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


def test_weights_are_exact(upstream: FakeUpstream, second: FakeUpstream, third: FakeUpstream) -> None:
    """1, 1 and 0 over 600 calls, half of them streams, on one connection."""
    upstreams = (upstream, second, third)
    for fake in upstreams:
        fake.script = well
    with (
        serve(*upstreams, weights=(1, 1, 0)) as server,
        closing(HTTPConnection("127.0.0.1", server.port)) as connection,
    ):
        for i in range(600):
            body = json.dumps(wire.ask(stream=i % 2 == 1))
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (200, True)
    assert [len(fake.requests) for fake in upstreams] == [300, 300, 0]
