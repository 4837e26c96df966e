"""Panels through the vendors' own clients, over models of two vendors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config

from tests.flow.panels import INPUT, OUTPUT, serve

QUESTION = "What is the capital of France?"
MODES = {"critique": 2, "debate": 3, "ensemble": 3, "pipeline": 2}
"""How many calls each makes with two models, where the critic finds nothing."""
ASKED = [(mode, stream) for mode in MODES for stream in (False, True)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ExitStack() as stack:
        yield serve(stack)[0].url


def check(mode: str, text: str, usage: tuple[int, int], orchestration: Any, metadata: Any) -> None:
    calls = MODES[mode]
    assert text.strip() in ("Paris it is", "It is Paris")
    assert usage == (calls * INPUT, calls * OUTPUT)
    assert orchestration["mode"] == mode
    assert sorted(orchestration["models_used"]) == ["deep", "quick"]
    assert orchestration["total_inference_time_ms"] >= 0
    assert len(metadata["calls"]) == calls
    assert sum(call["input_tokens"] for call in metadata["calls"]) == usage[0]
    assert {call["deployment"] for call in metadata["calls"]} == {"gpt/up-quick", "claude/up-deep"}


@pytest.mark.parametrize(("mode", "stream"), ASKED)
def test_openai_chat(mode: str, stream: bool, url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": QUESTION}]
    model = f"{mode}:quick+deep"
    if not stream:
        whole = client.chat.completions.create(model=model, messages=messages)
        assert whole.id
        assert whole.usage is not None
        extra: Any = whole.model_extra
        usage, text = whole.usage, whole.choices[0].message.content or ""
        check(mode, text, (usage.prompt_tokens, usage.completion_tokens), *_of(extra))
        return
    chunks = list(
        client.chat.completions.create(
            model=model, messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    [told] = [chunk for chunk in chunks if "orchestration" in (chunk.model_extra or {})]
    assert told.choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    last = chunks[-1].usage
    assert last is not None
    check(mode, text, (last.prompt_tokens, last.completion_tokens), *_of(told.model_extra))
    told_on_the_way: list[Any] = [(chunk.model_extra or {}).get("orchestration_progress") for chunk in chunks]
    progress = [each for each in told_on_the_way if each is not None]
    assert progress[0]["state"] == "started"
    assert {each["model"] for each in progress} == {"quick", "deep"}


@pytest.mark.parametrize(("mode", "stream"), ASKED)
def test_anthropic_messages(mode: str, stream: bool, url: str) -> None:
    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    asked: Any = {
        "model": f"{mode}:deep+quick",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    if not stream:
        message = client.messages.create(**asked)
        extra: Any = message.model_extra
    else:
        with client.messages.stream(**asked) as events:
            told: list[Any] = [event.model_extra for event in events if event.type == "message_delta"]
            extra = told[-1]
            message = events.get_final_message()
    [block] = message.content
    assert block.type == "text"
    check(mode, block.text, (message.usage.input_tokens, message.usage.output_tokens), *_of(extra))


@pytest.mark.parametrize(("mode", "stream"), ASKED)
def test_openai_responses(mode: str, stream: bool, url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    response: Any
    if not stream:
        response = client.responses.create(model=f"{mode}:quick+deep", input=QUESTION)
    else:
        with client.responses.stream(model=f"{mode}:quick+deep", input=QUESTION) as events:
            told = [event for event in events if "orchestration_progress" in (event.model_extra or {})]
            assert {event.type for event in told} == {"response.in_progress"}
            response = events.get_final_response()
    assert response.id.startswith("resp_")
    usage = (response.usage.input_tokens, response.usage.output_tokens)
    check(mode, response.output_text, usage, *_of(response.model_extra))


@pytest.mark.parametrize("mode", MODES)
def test_bedrock_converse(mode: str, url: str) -> None:
    """boto3 reads only the members that it knows, and passes over the events that it does not."""
    client: Any = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="wye",
        aws_secret_access_key="none",
        config=Config(retries={"max_attempts": 1}),
    )
    asked = {"modelId": f"{mode}:quick+deep", "messages": [{"role": "user", "content": [{"text": QUESTION}]}]}
    whole = client.converse(**asked)
    assert whole["output"]["message"]["content"][0]["text"] in ("Paris it is", "It is Paris")
    assert whole["usage"]["inputTokens"] == MODES[mode] * INPUT
    events = list(client.converse_stream(**asked)["stream"])
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert text.strip() in ("Paris it is", "It is Paris")
    assert events[-1]["metadata"]["usage"]["outputTokens"] == MODES[mode] * OUTPUT


def _of(extra: Any) -> tuple[Any, Any]:
    return extra["orchestration"], extra["inference_metadata"]
