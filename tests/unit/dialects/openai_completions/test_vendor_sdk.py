"""What is said is what OpenAI's own types mean by a completion."""

from __future__ import annotations

from pathlib import Path

import pytest
from openai.types import Completion

from wye.canon.fold import unfold
from wye.canon.loss import Losses
from wye.canon.parts import Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.openai_completions import DIALECT
from wye.kernel import json
from wye.kernel.sse import SseDecoder

CORPUS = Path(__file__).parents[3] / "golden" / "openai_completions" / "responses"
ODD = {"error_reason", "future_reason", "repeated_prompt_with_logprobs"}
"""Answers that the SDK of today has no type for: other reasons, and the probability of a first token, which is null."""

LOGPROBS = {
    "content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2}]}]
}
FOREIGN = {
    "bare": ChatResponse(id="", model="m", choices=[Choice([Text("Hi")], "stop")]),
    "nothing": ChatResponse(id="x", model="m", choices=[Choice([], "stop")]),
    "calls": ChatResponse(id="x", model="m", choices=[Choice([Text("A"), ToolCall("c", "f", "{}")], "tool_calls")]),
    "thoughts": ChatResponse(id="x", model="m", choices=[Choice([Thinking("Hm.", "s"), Text("A")], "length")]),
    "refusal": ChatResponse(id="x", model="m", choices=[Choice([Refusal("No.")], "content_filter")]),
    "error": ChatResponse(id="x", model="m", choices=[Choice([Text("A")], "error")], usage=Usage(3, 4, 2, 1, 1)),
    "probable": ChatResponse(id="x", model="m", choices=[Choice([Text("a")], "stop", logprobs=LOGPROBS)]),
    "several": ChatResponse(id="x", model="m", choices=[Choice([Text(t)], "stop", i) for i, t in enumerate("ab")]),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_answers_of_other_dialects_are_completions_to_the_sdk(name: str) -> None:
    answer = FOREIGN[name]
    whole = Completion.model_validate(DIALECT.encode_response(answer, Losses()), strict=True)
    encoder = DIALECT.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), Losses())
    frames = SseDecoder().feed(b"".join(map(encoder.encode, unfold(answer))))
    assert frames.pop().data == b"[DONE]"
    texts = {choice.index: "" for choice in whole.choices}
    for item in frames:
        chunk = json.decode(item.data)
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
            choice["finish_reason"] = choice["finish_reason"] or "stop"  # the SDK's type has no null, its servers do
        Completion.model_validate(chunk, strict=True)
    assert texts == {choice.index: choice.text for choice in whole.choices}


@pytest.mark.parametrize("name", sorted({path.stem for path in CORPUS.glob("*.json")} - ODD))
def test_the_corpus_is_what_the_sdk_means_by_a_completion(name: str) -> None:
    body = json.decode((CORPUS / f"{name}.json").read_bytes())
    Completion.model_validate(DIALECT.encode_response(DIALECT.decode_response(body), Losses()), strict=True)
