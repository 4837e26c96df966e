"""What callers and upstreams say beside their bodies, where the other side says it elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests import vendors, wire
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.server import WyeServer

BETA = "context-1m-2025-08-07"
MESSAGES: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
CONVERSE: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
    "additionalModelRequestFields": {"anthropic_beta": [BETA]},
}
CLAUDE = {**MESSAGES, "anthropic_version": "bedrock-2023-05-31", "anthropic_beta": [BETA]}


@pytest.fixture(scope="module", params=["anthropic_messages", "bedrock_converse", "openai_chat"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, FakeUpstream, WyeServer]]:
    vendor = vendors.VENDORS[request.param]
    upstream = FakeUpstream(vendors.script_of(vendor))
    with upstream, WyeServer(vendors.config({"m": (vendor, upstream.url)})) as server:
        yield request.param, upstream, server


def betas(heard: FakeRequest) -> list[str]:
    body = json.loads(heard.body)
    told = body.get("additionalModelRequestFields", body).get("anthropic_beta", [])
    return told or [name for name in heard.headers.get("anthropic-beta", "").split(",") if name]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/messages", MESSAGES, {"anthropic-beta": f"{BETA},coding-2025-02-19"}),
        ("/model/m/converse", CONVERSE, {}),
        ("/model/m/invoke", CLAUDE, {}),
        ("/model/m/invoke", {**CLAUDE, "anthropic_beta": []}, {"anthropic-beta": BETA}),
    ],
)
def test_previews_reach_claude_wherever_it_is(
    path: str, body: Any, headers: dict[str, str], served: tuple[str, FakeUpstream, WyeServer]
) -> None:
    dialect, upstream, server = served
    status, told, _ = wire.call(server.url, path, body, headers=headers)
    assert status == 200
    heard = betas(upstream.requests[-1])
    if dialect == "openai_chat":
        assert heard == []
        assert "anthropic_beta" in told["x-wye-loss"]
    elif dialect == "bedrock_converse" or not headers:
        assert heard == [BETA]
        assert ("anthropic_beta" in told.get("x-wye-loss", "")) is ("," in headers.get("anthropic-beta", ""))
    else:
        assert heard == headers["anthropic-beta"].split(",")


GUARD = {"X-Amzn-Bedrock-GuardrailIdentifier": "gr1", "X-Amzn-Bedrock-GuardrailVersion": "1"}
SERVED = {**GUARD, "X-Amzn-Bedrock-Service-Tier": "flex", "X-Amzn-Bedrock-PerformanceConfig-Latency": "optimized"}
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
PROMPT = {"prompt": "<s>[INST] Hi [/INST]", "max_tokens": 9}
TITAN = {"inputText": "Hi"}
COUNTED = {
    "x-amzn-bedrock-input-token-count": "7",
    "x-amzn-bedrock-output-token-count": "3",
    "x-amzn-bedrock-invocation-latency": "12",
    "x-amzn-bedrock-service-tier": "flex",
}


def figures(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("x-amzn-bedrock-")}


@contextmanager
def bedrock(answer: FakeAnswer, **route: Any) -> Iterator[tuple[FakeUpstream, WyeServer]]:
    config = {
        "local": {"enabled": False},
        "providers": {"aws": vendors.VENDORS["bedrock_converse"].provider("http://URL")},
        "routes": {"m": {"deployments": [{"provider": "aws", "model": MISTRAL}], "retries": 0, **route}},
    }
    upstream = FakeUpstream(lambda _: answer)
    with upstream:
        config["providers"]["aws"]["endpoint_url"] = upstream.url
        with WyeServer(config) as server:
            yield upstream, server


def test_figures_that_only_headers_tell_are_counted_and_given_on() -> None:
    body = {"outputs": [{"text": "Hello", "stop_reason": "stop"}]}
    with bedrock(json_body(body, **COUNTED)) as (upstream, server):
        status, headers, said = wire.call(server.url, "/model/m/invoke", PROMPT, headers=SERVED)
        assert (status, json.loads(said)) == (200, body)
        assert figures(headers) == COUNTED
        heard = upstream.requests[0].headers
        assert figures(heard) == {name.lower(): value for name, value in SERVED.items()}
        stats = json.loads(wire.call(server.url, "/stats")[2])
        assert stats["routes"]["m"]["deployments"][0]["input_tokens"] == 7


def test_figures_of_headers_are_kept_with_the_answer() -> None:
    body = {"outputs": [{"text": "Hello", "stop_reason": "stop"}]}
    with bedrock(json_body(body, **COUNTED), cache={"ttl_s": 60}) as (upstream, server):
        for _ in range(2):
            status, headers, said = wire.call(server.url, "/model/m/invoke", PROMPT)
            assert (status, json.loads(said)) == (200, body)
            told = figures(headers)
            assert int(told.pop("x-amzn-bedrock-invocation-latency")) >= 0
            assert told == {name: value for name, value in COUNTED.items() if "latency" not in name}
        status, headers, _ = wire.call(server.url, "/model/m/invoke-with-response-stream", PROMPT)
        assert (status, headers["x-amzn-bedrock-service-tier"]) == (200, "flex")
        assert headers["x-amzn-bedrock-content-type"] == "application/json"
        assert len(upstream.requests) == 1


def test_figures_that_nobody_tells_are_not_made_up() -> None:
    body = {"outputs": [{"text": "Hello", "stop_reason": "stop"}]}
    with bedrock(json_body(body), cache={"ttl_s": 60}) as (_, server):
        status, headers, said = wire.call(server.url, "/model/m/invoke", PROMPT)
        assert (status, json.loads(said)) == (200, body)
        assert list(figures(headers)) == ["x-amzn-bedrock-invocation-latency"]


def test_how_to_serve_is_said_in_converse_s_body(served: tuple[str, FakeUpstream, WyeServer]) -> None:
    dialect, upstream, server = served
    status, headers, _ = wire.call(server.url, "/model/m/invoke", TITAN, headers=SERVED)
    assert status == 200
    usage = {"input": "x-amzn-bedrock-input-token-count", "output": "x-amzn-bedrock-output-token-count"}
    assert all(int(headers[name]) > 0 for name in usage.values())
    heard = upstream.requests[-1].json()
    if dialect == "bedrock_converse":
        assert heard["guardrailConfig"] == {"guardrailIdentifier": "gr1", "guardrailVersion": "1"}
        assert heard["performanceConfig"] == {"latency": "optimized"}
        assert heard["serviceTier"] == {"type": "flex"}
        return
    assert "guardrailConfig" in headers["x-wye-loss"]
    strict = {**SERVED, "X-Wye-Strict": "true"}
    status, _, said = wire.call(server.url, "/model/m/invoke", TITAN, headers=strict)
    assert (status, "guardrailConfig" in json.loads(said)["message"]) == (400, True)


def test_a_stream_s_head_says_what_it_holds(served: tuple[str, FakeUpstream, WyeServer]) -> None:
    _, _, server = served
    status, headers, _ = wire.call(server.url, "/model/m/invoke-with-response-stream", TITAN)
    assert (status, headers["content-type"]) == (200, "application/vnd.amazon.eventstream")
    assert headers["x-amzn-bedrock-content-type"] == "application/json"


def test_a_stream_that_passes_through_keeps_its_head() -> None:
    frames = vendors.invoke_stream([{"outputs": [{"text": "Hello", "stop_reason": "stop"}]}])
    answer = vendors.aws_stream(frames)
    answer.headers |= {"x-amzn-bedrock-content-type": "application/json", "x-amzn-bedrock-service-tier": "flex"}
    with bedrock(answer) as (_, server):
        status, headers, said = wire.call(server.url, "/model/m/invoke-with-response-stream", PROMPT)
        assert (status, said) == (200, b"".join(frames))
        assert figures(headers) == figures(answer.headers)
