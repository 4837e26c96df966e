"""SmolLM2 and Qwen2.5-Coder loaded together: panels of both, through the vendors' own clients, and names for others."""

from __future__ import annotations

import json
import time
from typing import Any

import anthropic
import openai
import pytest

from tests import wire
from tests.e2e.conftest import MODEL, QWEN, Served

pytestmark = [pytest.mark.e2e, pytest.mark.requires_model]

PANELS = ["critique", "debate", "ensemble", "pipeline"]
QUESTION = "Write one short sentence about the sea."
MAX_TOKENS = 12


@pytest.fixture
def chat(served_two: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served_two.url}/v1", api_key="unused", max_retries=0, timeout=110)


@pytest.fixture
def messages(served_two: Served) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served_two.url, api_key="unused", max_retries=0, timeout=110)


def named(mode: str) -> str:
    return f"{mode}:{MODEL}+{QWEN}"


def check(mode: str, text: str, orchestration: Any, metadata: Any, tokens: tuple[int, int]) -> None:
    assert text.strip()
    assert orchestration["mode"] == mode
    assert set(orchestration["models_used"]) == {MODEL, QWEN}
    calls = metadata["calls"]
    assert len(calls) >= 2
    assert {call["model"] for call in calls} == {MODEL, QWEN}
    assert tokens == (sum(call["input_tokens"] for call in calls), sum(call["output_tokens"] for call in calls))
    assert tokens[0] > 0
    assert tokens[1] > 0


def test_both_are_loaded_together_and_told(served_two: Served) -> None:
    listed = json.loads(wire.call(served_two.url, "/v1/models")[2])["data"]
    models = {model["id"]: model for model in listed}
    for name in (MODEL, QWEN, "phi-4"):
        assert models[name]["status"] == "loaded"
        assert models[name]["memory_mb"] > 50
        assert models[name]["context_length"] >= 2048
        assert models[name]["roles"]


@pytest.mark.parametrize("mode", PANELS)
def test_a_panel_answers_an_openai_client(chat: openai.OpenAI, mode: str) -> None:
    answer = chat.chat.completions.create(
        model=named(mode), messages=[{"role": "user", "content": QUESTION}], max_tokens=MAX_TOKENS
    )
    told = answer.model_dump()
    assert answer.usage is not None
    tokens = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    check(mode, answer.choices[0].message.content or "", told["orchestration"], told["inference_metadata"], tokens)


@pytest.mark.parametrize("mode", PANELS)
def test_a_panel_streams_to_an_openai_client(chat: openai.OpenAI, mode: str) -> None:
    began_s = time.monotonic()
    first_s: float | None = None
    text, last, usage = "", {}, None
    for chunk in chat.chat.completions.create(
        model=named(mode),
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=MAX_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
    ):
        first_s = first_s or time.monotonic() - began_s
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        told = chunk.model_dump()
        last = told if told.get("orchestration") else last
        usage = chunk.usage or usage
    assert first_s is not None
    assert first_s < 1, "something is told within the first second"
    assert usage is not None
    check(mode, text, last["orchestration"], last["inference_metadata"], (usage.prompt_tokens, usage.completion_tokens))


@pytest.mark.parametrize("mode", PANELS)
def test_a_panel_answers_an_anthropic_client(messages: anthropic.Anthropic, mode: str) -> None:
    answer = messages.messages.create(
        model=named(mode), messages=[{"role": "user", "content": QUESTION}], max_tokens=MAX_TOKENS
    )
    told = answer.model_dump()
    text = "".join(block.text for block in answer.content if block.type == "text")
    usage = answer.usage
    tokens = (usage.input_tokens + (usage.cache_read_input_tokens or 0), usage.output_tokens)
    check(mode, text, told["orchestration"], told["inference_metadata"], tokens)


@pytest.mark.parametrize("mode", PANELS)
def test_a_panel_streams_to_an_anthropic_client(messages: anthropic.Anthropic, mode: str) -> None:
    with messages.messages.stream(
        model=named(mode), messages=[{"role": "user", "content": QUESTION}], max_tokens=MAX_TOKENS
    ) as stream:
        events = [event.model_dump() for event in stream]
        final = stream.get_final_message()
    (told,) = [event for event in events if event.get("orchestration")]
    text = "".join(block.text for block in final.content if block.type == "text")
    usage = final.usage
    tokens = (usage.input_tokens + (usage.cache_read_input_tokens or 0), usage.output_tokens)
    check(mode, text, told["orchestration"], told["inference_metadata"], tokens)


def test_an_alias_answers_under_its_own_name(chat: openai.OpenAI) -> None:
    answer = chat.chat.completions.create(
        model="phi-4", messages=[{"role": "user", "content": "What is the capital of France?"}], max_tokens=20
    )
    assert "Paris" in (answer.choices[0].message.content or ""), "Qwen knows, whatever its name"
