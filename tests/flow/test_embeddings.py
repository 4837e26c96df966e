"""Requests for vectors through the gateway: who is asked, what counts, what a failure becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import wire
from tests.fake_aws import FakeAws
from tests.flow.conftest import Start
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body

PATH, TITAN = "/v1/embeddings", "amazon.titan-embed-text-v2:0"
ASK = {"model": "m", "input": "a"}
GOOD = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "model": "e",
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}


def error_of(body: bytes) -> dict[str, Any]:
    return json.loads(body)["error"]


@pytest.mark.parametrize(
    "bad",
    [
        json_body({"error": {"message": "Full"}}, 503),
        json_body({"error": {"message": "Full", "code": 503}}),
        FakeAnswer([b"<html>"]),
        FakeAnswer([b'{"data":['], end="cut"),
        FakeAnswer([b'{"object":"list","data":[],"model":"\xff"}']),
        FakeAnswer([], head=False, end="hang"),
    ],
)
def test_the_next_is_asked_when_one_fails(
    bad: FakeAnswer, start: Start, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.script = lambda _: bad
    second.script = lambda _: json_body(GOOD)
    first = {"provider": "openai0", "model": "up-openai", "clocks": {"headers_s": 0.5 if bad.end == "hang" else 60}}
    deployments = [first, {"provider": "openai1", "model": "up-openai"}]
    server = start(("openai", upstream), ("openai", second), route={"deployments": deployments, "retries": 0})
    status, headers, body = wire.call(server.url, PATH, ASK)
    assert (status, headers["x-wye-deployment"], headers["x-wye-attempts"]) == (200, "openai1/up-openai", "2")
    assert json.loads(body) == GOOD
    assert second.requests[0].json() == {"model": "up-openai", "input": "a"}


def test_a_refusal_is_the_callers_with_its_reason(start: Start, upstream: FakeUpstream) -> None:
    told = {"message": "This model has no dimensions", "type": "invalid_request_error", "param": "dimensions"}
    upstream.script = lambda _: json_body({"error": told}, 400)
    status, _, body = wire.call(start(("openai", upstream)).url, PATH, ASK)
    assert status == 400
    assert {name: error_of(body)[name] for name in told} == told
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":7,"input":"a"}'])
def test_what_is_no_request_is_a_400(body: bytes, start: Start, upstream: FakeUpstream) -> None:
    status, _, answer = wire.call(start(("openai", upstream)).url, PATH, body)
    assert status == 400
    assert error_of(answer)["type"] == "invalid_request_error"
    assert upstream.requests == []


def test_tokens_count_for_limits_and_figures(start: Start, upstream: FakeUpstream) -> None:
    upstream.script = lambda _: json_body(GOOD)
    server = start(("openai", upstream), limits={"requests_per_minute": 2, "tokens_per_minute": 1000})
    headers = wire.call(server.url, PATH, ASK)[1]
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert wire.call(server.url, PATH, ASK)[1]["x-ratelimit-remaining-requests"] == "0"
    status, headers, body = wire.call(server.url, PATH, ASK)
    assert (status, error_of(body)["type"]) == (429, "rate_limit_error")
    assert "retry-after" in headers
    figures = wire.call(server.url, "/metrics")[2].decode()
    assert [line for line in figures.splitlines() if "up-openai" in line and "input" in line and line.endswith(" 14.0")]


def test_a_model_that_makes_no_embeddings_says_so(start: Start, upstream: FakeUpstream) -> None:
    status, _, body = wire.call(start(("anthropic", upstream)).url, PATH, ASK)
    assert (status, error_of(body)["code"]) == (404, "no_embeddings")
    assert upstream.requests == []


def bedrock(aws: FakeUpstream, **route: Any) -> dict[str, Any]:
    """The configuration of a server whose `m` is a model of Titan's."""
    section = {"region": "eu-central-1", "endpoint_url": aws.url, "api_key": "bedrock-api-key-1"}
    routes = {"m": {"deployments": [{"provider": "bedrock", "model": TITAN}], "retries": 0, **route}}
    return {"providers": {"bedrock": section}, "routes": routes}


def test_what_cannot_be_said_is_named_or_refused(start: Start) -> None:
    ask = {**ASK, "input_type": "query", "user": "u"}
    with FakeAws() as aws:
        server = start(**bedrock(aws))
        status, headers, _ = wire.call(server.url, PATH, ask)
        assert (status, headers["x-wye-loss"]) == (200, "input_type, user")
        asked = len(aws.requests)
        status, _, body = wire.call(server.url, PATH, ask, headers={"x-wye-strict": "true"})
        assert (status, error_of(body)["param"]) == (400, "input_type")
        assert len(aws.requests) == asked


def test_one_text_that_fails_fails_the_request_and_the_rest_is_let_go(start: Start) -> None:
    def answer(request: FakeRequest) -> FakeAnswer:
        if request.json()["inputText"] == "bad":
            return json_body({"message": "Too long"}, 400, **{"x-amzn-ErrorType": "ValidationException"})
        return FakeAnswer([0.2], end="hang")

    with FakeUpstream(answer) as aws:
        server = start(**bedrock(aws))
        status, _, body = wire.call(server.url, PATH, {"model": "m", "input": ["slow"] * 5 + ["bad"] + ["slow"] * 90})
        assert (status, error_of(body)["message"]) == (400, "Too long")
        assert len(aws.requests) <= 8
        aws.script = lambda _: json_body({"embedding": [1.0], "inputTextTokenCount": 2})
        status, _, body = wire.call(server.url, PATH, {"model": "m", "input": ["a", "b"]})
        assert json.loads(body)["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def test_who_asks_for_base64_gets_it_also_from_who_knows_only_numbers(start: Start, upstream: FakeUpstream) -> None:
    upstream.script = lambda _: json_body(GOOD)
    server = start(("openai", upstream))
    _, _, body = wire.call(server.url, PATH, {**ASK, "encoding_format": "base64"})
    assert json.loads(body)["data"][0]["embedding"] == "AAAAPw=="
    assert wire.call(server.url, PATH, ASK)[2] == upstream.script(upstream.requests[0]).pieces[0]


@pytest.mark.parametrize("found", [0, 1, 3])
def test_as_many_vectors_as_inputs_or_none(found: int, start: Start) -> None:
    with FakeUpstream(lambda _: json_body({"embeddings": [[0.5]] * found})) as aws:
        config = bedrock(aws)
        config["routes"]["m"]["deployments"][0]["model"] = "cohere.embed-english-v3"
        status, _, body = wire.call(start(**config).url, PATH, {"model": "m", "input": ["a", "b"]})
        assert (status, error_of(body)["code"]) == (502, "upstream_bad_answer")
        assert f"{found} embeddings for 2 inputs" in error_of(body)["message"]
