"""Claude on Bedrock: Anthropic's Messages without what is in the URL."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.dialects.bedrock_invoke.wire import encode, request
from wye.canon.parts import Text, Thinking
from wye.canon.request import Message
from wye.dialects.bedrock_invoke.claude import DIALECT, VERSION
from wye.kernel.errors import BadRequest

USER = {"role": "user", "content": "Hi"}


def test_the_version_is_bedrock_s_and_the_url_has_the_rest() -> None:
    body, losses = encode(DIALECT, request(model="m", stream=True, max_tokens=9))
    assert body == {"anthropic_version": VERSION, "max_tokens": 9, "messages": [USER]}
    assert losses == {}


@pytest.mark.parametrize("version", ["bedrock-2023-05-31", "2026-10-21", "whatever"])
def test_a_version_that_was_given_is_kept(version: str) -> None:
    body = {"anthropic_version": version, "anthropic_beta": ["a", "b"], "max_tokens": 9, "messages": [USER]}
    assert encode(DIALECT, DIALECT.decode_request(body)) == (body, {})


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"anthropic_version": 1}, "anthropic_version"),
        ({"anthropic_beta": 1}, "anthropic_beta"),
        ({"messages": 1}, "messages"),
        ({"max_tokens": "9"}, "max_tokens"),
    ],
)
def test_a_mistake_is_named_by_its_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        DIALECT.decode_request({"anthropic_version": VERSION, "max_tokens": 9, "messages": [USER], **members})
    assert caught.value.param == param


def test_a_tier_has_no_place_in_the_body() -> None:
    body, losses = encode(DIALECT, request(max_tokens=9, service_tier="priority"))
    assert "service_tier" not in body
    assert losses == {"service_tier": "info"}


def test_only_anthropic_s_own_betas_reach_it() -> None:
    value = DIALECT.decode_request({"max_tokens": 9, "messages": [USER], "anthropic_beta": ["a"], "new": 1})
    value.extras = {**(value.extras or {}), "openai_chat": {"logprobs": 1}}
    body, losses = encode(DIALECT, value)
    assert (body["anthropic_beta"], body["new"]) == (["a"], 1)
    assert losses == {"logprobs": "warning"}


def test_thoughts_are_kept_byte_for_byte() -> None:
    thought = Thinking("hm", "EqQ/+==", origin="anthropic")
    body, losses = encode(DIALECT, request(Message("assistant", [thought, Text("a")]), max_tokens=9))
    assert body["messages"][0]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "EqQ/+=="}
    assert losses == {}
