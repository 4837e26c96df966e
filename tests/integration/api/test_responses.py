"""The routes of the Responses API, as OpenAI's own client calls them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import openai
import pytest

from wye.testing.fake_provider import FakeProvider
from wye.testing.replies import Rule
from wye.testing.server import WyeServer


@pytest.fixture(scope="module")
def server() -> Iterator[WyeServer]:
    with FakeProvider([Rule(say="Hello there")]) as upstream:
        provider = {"kind": "vllm", "base_url": f"{upstream.url}/v1"}
        route = {"deployments": [{"provider": "fake", "model": "x"}]}
        with WyeServer(
            {"local": {"enabled": False}, "providers": {"fake": provider}, "routes": {"m": route}}
        ) as server:
            yield server


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_every_route_of_responses_is_served(prefix: str, server: WyeServer) -> None:
    # /v1/responses, /responses, /v1/responses/{id}, /input_items, /cancel, /v1/responses/input_tokens
    client = openai.OpenAI(base_url=f"{server.url}{prefix}", api_key="k", max_retries=0)
    first = client.responses.create(model="m", input="Hi")
    assert first.output_text == "Hello there"
    assert client.responses.retrieve(first.id).output_text == "Hello there"
    assert len(client.responses.input_items.list(first.id).data) == 1
    assert client.responses.input_tokens.count(model="m", input="Hi").input_tokens > 0
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(first.id)
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    queued = client.responses.create(model="m", input="Hi", background=True)
    assert queued.status == "queued"
    while (later := client.responses.retrieve(queued.id)).status == "queued":
        time.sleep(0.01)
    assert later.output_text == "Hello there"
    assert client.responses.cancel(queued.id) == later
    with client.responses.stream(model="m", input="Hi") as stream:
        assert stream.get_final_response().output_text == "Hello there"
