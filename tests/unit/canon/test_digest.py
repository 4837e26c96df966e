"""Requests that mean the same have one digest; whatever may change the answer gives another."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from wye.canon.digest import digest
from wye.dialects.registry import DIALECTS

CHAT: dict[str, Any] = {
    "model": "m",
    "max_tokens": 10,
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "default": None, "~": 1}}}
    ],
}


def of(dialect: str, body: dict[str, Any]) -> str:
    return digest(DIALECTS[dialect].decode_request(body))


def test_one_question_in_every_dialect() -> None:
    said = [{"role": "user", "content": "hi"}]
    converse = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "system": [{"text": "S"}]}
    assert {
        of("openai_chat", {"model": "m", "max_tokens": 10, "messages": [{"role": "system", "content": "S"}, *said]}),
        of("anthropic_messages", {"model": "m", "max_tokens": 10, "system": "S", "messages": said}),
        of("openai_responses", {"model": "m", "max_output_tokens": 10, "instructions": "S", "input": "hi"}),
        of("bedrock_converse", {**converse, "inferenceConfig": {"maxTokens": 10}}),
    } == {
        of("openai_chat", {"model": "other", "max_tokens": 10, "messages": [{"role": "system", "content": "S"}, *said]})
    }


@pytest.mark.parametrize(
    "change",
    [
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "me"},
        {"metadata": {"a": "b"}},
        {"store": True},
        {"prompt_cache_key": "k"},
        {"model": "x"},
        {
            "messages": [
                {"role": "system", "content": "S"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            ]
        },
    ],
    ids=str,
)
def test_how_and_for_whom_a_call_is_made_does_not_matter(change: dict[str, Any]) -> None:
    assert of("openai_chat", {**CHAT, **change}) == of("openai_chat", CHAT)


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 11},
        {"temperature": 0},
        {"seed": 1},
        {"something_new": True},
        {"messages": [{"role": "user", "content": "S"}, {"role": "user", "content": "hi"}]},
        {"messages": [{"role": "system", "content": "Sh"}, {"role": "user", "content": "i"}]},
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi", "name": "x"}]},
        {"tools": None},
    ],
    ids=str,
)
def test_whatever_may_change_the_answer_does(change: dict[str, Any]) -> None:
    assert of("openai_chat", {**CHAT, **change}) != of("openai_chat", CHAT)


@pytest.mark.parametrize("name", ["default", "~"])
def test_a_schema_counts_to_the_letter(name: str) -> None:
    other = copy.deepcopy(CHAT)
    del other["tools"][0]["function"]["parameters"][name]
    assert of("openai_chat", other) != of("openai_chat", CHAT)


def test_the_order_of_members_does_not_matter() -> None:
    assert of("openai_chat", dict(reversed(CHAT.items()))) == of("openai_chat", CHAT)
