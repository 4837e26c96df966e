"""The traffic of coding agents: what their clients send over several turns, and what upstreams of each dialect get."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from anthropic import beta_tool

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeUpstream, json_body

THREAD: dict[str, Any] = {"type": "create"}


@beta_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


def weather_call() -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Basel"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {**wire.OPENAI_BODY, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}


def test_the_tool_runner_goes_on_without_threads_where_the_upstream_has_none(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.queue.extend([json_body(weather_call()), json_body(wire.OPENAI_BODY)])
    client = anthropic.Anthropic(base_url=start(("vllm", upstream)).url, api_key="k", max_retries=0)
    runner = client.beta.messages.tool_runner(
        model="m", max_tokens=90, tools=[get_weather], messages=[{"role": "user", "content": "Weather in Basel?"}]
    )
    assert [block.text for block in runner.until_done().content if block.type == "text"] == ["Hello there"]
    heard = upstream.requests[-1].json()["messages"]
    assert [message["role"] for message in heard] == ["user", "assistant", "tool"]
    assert heard[2]["content"] == "Sunny in Basel"


@pytest.mark.parametrize("stream", [False, True])
def test_a_thread_is_refused_in_the_words_that_clients_understand(
    stream: bool, start: Start, upstream: FakeUpstream
) -> None:
    url = start(("vllm", upstream)).url
    status, _, body = wire.call(url, "/v1/messages", {**wire.ask(stream), "thread": THREAD})
    error = json.loads(body)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["details"] == {"error_code": "thread_unsupported_request", "param": "thread"}
    assert upstream.requests == []


def test_a_thread_is_its_vendors_matter(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(json_body(wire.ANTHROPIC_BODY))
    assert wire.call(start(("anthropic", upstream)).url, "/v1/messages", {**wire.ask(), "thread": THREAD})[0] == 200
    assert upstream.requests[0].json()["thread"] == THREAD


@pytest.mark.parametrize(
    ("member", "value"), [("conversation", "conv_1"), ("prompt", {"id": "pmpt_1", "version": "2"})]
)
def test_what_openai_keeps_is_refused_where_another_upstream_answers(
    member: str, value: Any, start: Start, upstream: FakeUpstream
) -> None:
    upstream.script = lambda _: json_body(wire.OPENAI_BODY)
    url = start(("vllm", upstream)).url
    status, _, body = wire.call(url, "/v1/responses", {"model": "m", "input": "Hi", member: value})
    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "unsupported_content", member)
    assert wire.call(url, "/v1/responses", {"model": "m", "input": "Hi", member: None})[0] == 200
