"""Which dialect a body is in: by three forms on the chat route, by any form in the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.dialects.detect import ALIASES, detect, detect_any, named
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import BadRequest
from wye.kernel.json import Raw, decode, encode, split_object

GOLDEN = Path(__file__).parents[2] / "golden"
ASK: list[Any] = [{"role": "user", "content": "Hi"}]
BLOCKS: list[Any] = [{"role": "user", "content": [{"text": "Hi"}]}]


def turn(*blocks: Any) -> list[Any]:
    return [{"role": "user", "content": [*blocks]}]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"model": "m", "messages": ASK}, "openai_chat"),
        ({"model": "m", "messages": ASK, "max_tokens": 9}, "openai_chat"),
        ({"model": "m", "messages": ASK, "system": "s"}, "openai_chat"),
        ({"messages": ASK, "tools": [{"type": "function"}], "max_tokens": 9}, "openai_chat"),
        ({"messages": ASK, "tools": "no list", "tool_choice": "auto", "max_tokens": 9}, "openai_chat"),
        ({"model": "m"}, "openai_chat"),
        ({"model": "m", "tools": []}, "openai_chat"),
        ({"messages": ASK, "max_tokens": 9, "system": "s"}, "anthropic_messages"),
        ({"messages": ASK, "max_tokens": 9, "top_k": 3}, "anthropic_messages"),
        ({"messages": ASK, "max_tokens": 9, "stop_sequences": []}, "anthropic_messages"),
        ({"messages": ASK, "max_tokens": 9, "tools": [{"input_schema": {}}]}, "anthropic_messages"),
        ({"messages": ASK, "max_tokens": 9, "tool_choice": {"type": "any"}}, "anthropic_messages"),
        ({"messages": ASK, "anthropic_version": "v"}, "bedrock_claude"),
        ({"inputText": "Hi"}, "bedrock_titan"),
        ({"inputText": "Hi", "messages": ASK}, "openai_chat"),
    ],
)
def test_the_route_knows_three_forms(body: dict[str, Any], found: str) -> None:
    assert detect(body).name == found
    assert detect(split_object(encode(body))).name == found


def test_the_route_takes_members_that_are_no_json_for_what_they_are_not() -> None:
    members = {**split_object(b'{"messages": [], "max_tokens": 1}'), "tools": Raw(b"[")}
    assert detect(members).name == "openai_chat"


@pytest.mark.parametrize("body", [{}, {"prompt": "Hi"}, {"input": "Hi"}, {"tools": []}])
def test_the_route_says_what_a_body_needs(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="messages") as caught:
        detect(body)
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"messages": ASK, "model": "m"}, "openai_chat"),
        ({"messages": ASK, "max_tokens": 9, "model": "m"}, "openai_chat"),
        ({"messages": "no list"}, "openai_chat"),
        ({"messages": [None, 3, {"content": [None]}]}, "openai_chat"),
        ({"messages": turn({"type": ["image"]})}, "openai_chat"),
        ({"messages": turn({"type": "image_url", "image_url": {}})}, "openai_chat"),
        ({"messages": ASK, "top_k": 40, "min_p": 0.1}, "openai_chat"),
        ({"messages": ASK, "max_tokens": 9, "system": "s"}, "anthropic_messages"),
        ({"messages": ASK, "max_tokens": 9, "system": [{"type": "text", "text": "s"}]}, "anthropic_messages"),
        ({"messages": ASK, "max_tokens": 9, "output_config": {}}, "anthropic_messages"),
        ({"messages": turn({"type": "tool_result"})}, "anthropic_messages"),
        ({"messages": turn({"type": "text"}, {"type": "image", "source": {}})}, "anthropic_messages"),
        ({"messages": ASK, "max_tokens": 9, "tools": [{"name": "f", "input_schema": {}}]}, "anthropic_messages"),
        ({"messages": ASK, "anthropic_version": "v"}, "bedrock_claude"),
        ({"messages": BLOCKS}, "bedrock_converse"),
        ({"messages": [], "system": [{"text": "s"}]}, "bedrock_converse"),
        ({"messages": ASK, "inferenceConfig": None}, "bedrock_converse"),
        ({"messages": BLOCKS, "inferenceConfig": {"maxTokens": 9, "topP": 1}}, "bedrock_converse"),
        ({"messages": BLOCKS, "inferenceConfig": {"topK": 9}}, "bedrock_nova"),
        ({"messages": BLOCKS, "schemaVersion": "messages-v1"}, "bedrock_nova"),
        ({"input": "Hi", "model": "m"}, "openai_responses"),
        ({"model": "m", "previous_response_id": "resp_1"}, "openai_responses"),
        ({"prompt": {"id": "pmpt_1"}}, "openai_responses"),
        ({"prompt": "Hi", "model": "m", "max_tokens": 9}, "openai_completions"),
        ({"inputText": "Hi"}, "bedrock_titan"),
        ({"prompt": "Hi", "max_gen_len": 9}, "bedrock_llama"),
        ({"message": "Hi"}, "bedrock_cohere"),
        ({"prompt": "Hi", "num_generations": 1}, "bedrock_cohere_prompt"),
        ({"prompt": "Hi", "max_tokens": 9}, "bedrock_mistral_prompt"),
        ({"prompt": "Hi", "maxTokens": 9}, "bedrock_ai21"),
        ({"prompt": "Hi", "aspect_ratio": "1:1"}, "bedrock_stability"),
    ],
)
def test_the_library_knows_every_form(body: dict[str, Any], found: str) -> None:
    assert detect_any(body).name == found


@pytest.mark.parametrize("body", [{}, {"prompt": "Hi"}, {"model": "m"}, {"temperature": 1}])
def test_a_form_that_does_not_tell_asks_for_a_name(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="name its format") as caught:
        detect_any(body)
    assert caught.value.param == "from_"


SAME_FORM = {
    "bedrock_ai21": {"openai_chat"},
    "bedrock_claude": {"openai_chat", "anthropic_messages"},
    "bedrock_cohere_prompt": {"bedrock_mistral_prompt"},
    "bedrock_mistral": {"openai_chat"},
    "bedrock_nova": {"bedrock_converse"},
    "bedrock_openai": {"openai_chat"},
    "bedrock_writer": {"openai_chat"},
    "anthropic_messages": {"openai_chat", "bedrock_claude"},
}
"""Dialects some of whose requests could as well be in another, which they are taken for."""

BARE_PROMPTS = {"bedrock_cohere_prompt", "bedrock_llama", "bedrock_mistral_prompt", "bedrock_stability"}


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_the_corpus_is_found_again(dialect: str) -> None:
    for path in sorted((GOLDEN / dialect / "requests").glob("*.json")):
        body = decode(path.read_bytes())["wire"]
        try:
            found = detect_any(body).name
        except BadRequest:
            assert dialect in BARE_PROMPTS, path
            continue
        assert found in {dialect} | SAME_FORM.get(dialect, set()), path


def test_names_and_aliases() -> None:
    assert all(named(name) is dialect for name, dialect in DIALECTS.items())
    assert all(named(alias) is DIALECTS[name] for alias, name in ALIASES.items())
    with pytest.raises(BadRequest, match="openai_chat") as caught:
        named("x" * 500, "to")
    assert caught.value.param == "to"
    assert len(caught.value.message) < 1000
