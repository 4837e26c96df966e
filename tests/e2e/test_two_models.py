"""SmolLM2 and Qwen2.5-Coder loaded together: panels of both, through the vendors' own clients."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import anthropic
import openai
import pytest

from tests import wire
from tests.e2e.conftest import MODEL, QWEN, Served

pytestmark = [pytest.mark.requires_model]

CALLS = {"critique": range(2, 4), "debate": range(3, 4), "ensemble": range(3, 4), "pipeline": range(2, 3)}
ASKED: Any = {"messages": [{"role": "user", "content": "Write a sentence about the sea."}], "max_tokens": 10}
by_panel = pytest.mark.parametrize(("mode", "stream"), [*itertools.product(CALLS, [False, True])])


def check(mode: str, text: str, usage: tuple[int, int], told: Any) -> None:
    orchestration, calls = told["orchestration"], told["inference_metadata"]["calls"]
    assert text.strip()
    assert orchestration["mode"] == mode
    assert sorted(orchestration["models_used"]) == sorted([MODEL, QWEN])
    assert len(calls) in CALLS[mode]
    assert usage == (sum(call["input_tokens"] for call in calls), sum(call["output_tokens"] for call in calls))
    if mode in ("debate", "ensemble"):
        *answers, last = (call["latency_ms"] for call in calls)
        elapsed_ms = orchestration["total_inference_time_ms"] - last
        assert elapsed_ms < 0.95 * sum(answers), "they did not answer side by side"


def test_both_are_loaded_together_and_told(served_two: Served) -> None:
    listed = json.loads(wire.call(served_two.url, "/v1/models")[2])["data"]
    models = {model["id"]: model for model in listed}
    for name in (MODEL, QWEN, "phi-4"):
        assert models[name]["status"] == "loaded"
        assert models[name]["memory_mb"] > 50
        assert models[name]["context_length"] >= 2048
        assert models[name]["roles"]


def test_an_alias_answers_for_another_model(served_two: Served) -> None:
    body = wire.ask(model="phi-4", messages=[{"role": "user", "content": "What is the capital of France?"}])
    told = json.loads(wire.call(served_two.url, "/v1/chat/completions", body)[2])
    assert "Paris" in told["choices"][0]["message"]["content"], "Qwen knows, whatever it is called"


@by_panel
def test_openais_client(mode: str, stream: bool, served_two: Served) -> None:
    client = openai.OpenAI(base_url=f"{served_two.url}/v1", api_key="none", max_retries=0, timeout=110)
    asked = {**ASKED, "model": f"{mode}:{QWEN}+{MODEL}", "temperature": 0, "seed": 1}
    if not stream:
        whole = client.chat.completions.create(**asked)
        usage, text, told = whole.usage, whole.choices[0].message.content or "", whole.model_extra
    else:
        asked["max_tokens"] = 32  # an answer is held for half a second, in which its failure still has a status
        began_s = time.monotonic()
        arriving = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        chunks = [next(arriving)]
        first_s = time.monotonic() - began_s
        chunks += arriving
        assert first_s < (time.monotonic() - began_s) / 2, "something is told long before the answers are made"
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        extras = [chunk.model_extra or {} for chunk in chunks]
        progress = [i for i, extra in enumerate(extras) if "orchestration_progress" in extra]
        words = [i for i, chunk in enumerate(chunks) if chunk.choices and chunk.choices[0].delta.content]
        assert progress[0] < words[0]
        if mode in ("debate", "ensemble"):
            assert progress[-1] < words[0], "the last model's words come after all steps"
            assert len(words) > 1, "as they are said, not in one piece"
        usage, told = chunks[-1].usage, next(extra for extra in extras if "orchestration" in extra)
    assert usage is not None
    check(mode, text, (usage.prompt_tokens, usage.completion_tokens), told)


@by_panel
def test_anthropics_client(mode: str, stream: bool, served_two: Served) -> None:
    client = anthropic.Anthropic(base_url=served_two.url, api_key="none", max_retries=0, timeout=110)
    asked: Any = {**ASKED, "model": f"{mode}:{MODEL}+{QWEN}"}
    told: Any
    if not stream:
        message = client.messages.create(**asked)
        told = message.model_extra
    else:
        with client.messages.stream(**asked) as events:
            told = [event.model_extra for event in events if event.type == "message_delta"][-1]
            message = events.get_final_message()
    [block] = message.content
    assert block.type == "text"
    usage = message.usage
    read = usage.input_tokens + (usage.cache_read_input_tokens or 0)
    check(mode, block.text, (read, usage.output_tokens), told)
