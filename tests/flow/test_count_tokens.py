"""Counting tokens by Bedrock's own operation, in whichever words a caller asks."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import vendors, wire
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.server import WyeServer

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
CLAUDE: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
INVOKED = base64.b64encode(json.dumps({**CLAUDE, "anthropic_version": "bedrock-2023-05-31"}).encode()).decode()


def count(request: FakeRequest) -> FakeAnswer:
    if "refuse" in request.body.decode():
        return json_body({"message": "no"}, 400, **{"x-amzn-errortype": "ValidationException"})
    return json_body({"inputTokens": 7})


@pytest.fixture(scope="module")
def bedrock() -> Iterator[tuple[FakeUpstream, WyeServer]]:
    upstream = FakeUpstream(count)
    config = vendors.config({"m": (vendors.VENDORS["bedrock_converse"], "http://127.0.0.1:9")})
    with upstream:
        config["providers"]["up-m"]["endpoint_url"] = upstream.url
        with WyeServer(config) as server:
            yield upstream, server


@pytest.mark.parametrize(
    ("path", "body", "member"),
    [
        ("/model/m/count-tokens", {"input": {"converse": ASK}}, "inputTokens"),
        ("/model/m/count-tokens", {"input": {"invokeModel": {"body": INVOKED}}}, "inputTokens"),
        ("/v1/messages/count_tokens", {**CLAUDE, "model": "m"}, "input_tokens"),
    ],
)
def test_the_model_s_own_tokenizer_counts(
    path: str, body: Any, member: str, bedrock: tuple[FakeUpstream, WyeServer]
) -> None:
    upstream, server = bedrock
    status, headers, said = wire.call(server.url, path, body)
    assert (status, json.loads(said)) == (200, {member: 7})
    assert "x-wye-loss" not in headers
    heard = upstream.requests[-1]
    assert heard.path == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
    assert heard.json() == {"input": {"converse": ASK}}


def test_what_bears_on_the_count_goes_along(bedrock: tuple[FakeUpstream, WyeServer]) -> None:
    upstream, server = bedrock
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body = {**CLAUDE, "model": "m", "thinking": thinking, "temperature": 0.5}
    assert wire.call(server.url, "/v1/messages/count_tokens", body)[0] == 200
    heard = upstream.requests[-1].json()["input"]["converse"]
    assert heard == {**ASK, "additionalModelRequestFields": {"thinking": thinking}}


def test_a_model_that_cannot_be_asked_is_estimated_and_that_is_said(bedrock: tuple[FakeUpstream, WyeServer]) -> None:
    _, server = bedrock
    asked = {"messages": [{"role": "user", "content": [{"text": "refuse"}]}]}
    status, headers, said = wire.call(server.url, "/model/m/count-tokens", {"input": {"converse": asked}})
    assert (status, headers["x-wye-loss"]) == (200, "input_tokens")
    assert json.loads(said)["inputTokens"] > 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "input is required"),
        ({"input": {}}, "input.converse is required"),
        ({"input": {"invokeModel": {"body": "~"}}}, "input.invokeModel.body must be base64"),
    ],
)
def test_an_input_that_is_none_is_refused(body: Any, words: str, bedrock: tuple[FakeUpstream, WyeServer]) -> None:
    _, server = bedrock
    status, headers, said = wire.call(server.url, "/model/m/count-tokens", body)
    assert (status, headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert words in json.loads(said)["message"]
