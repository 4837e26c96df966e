from __future__ import annotations

from typing import Any

import pytest

from wye.canon.extras import FORM
from wye.canon.loss import Losses
from wye.canon.parts import CacheMark, Citation, Image, Opaque, Part, Text, Url
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.tools import FunctionTool, ToolChoice
from wye.dialects.dialect import Quirks
from wye.dialects.openai_completions import DIALECT
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import BadRequest, CallerError, Unprocessable

NAME, OTHER = "openai_completions", "openai_chat"


def decode(**members: Any) -> ChatRequest:
    return DIALECT.decode_request({"model": "m", "prompt": "Hi", **members})


def encode(*parts: Part, **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is sent, and the severity of each loss by its field."""
    losses = Losses()
    messages = [Message("user", list(parts) or [Text("Hi")])]
    body = DIALECT.encode_request(ChatRequest(**{"model": "m", "messages": messages, **members}), losses, Quirks())
    return body, {loss.field: loss.severity for loss in losses}


def test_a_prompt_is_one_text_of_the_user() -> None:
    request = decode(prompt=["Once"], stream=True, stop="\n", logprobs=2)
    assert request.messages == [Message("user", [Text("Once")])]
    assert (request.stream, request.stop, request.logprobs, request.top_logprobs) == (True, ["\n"], True, 2)
    assert request.max_tokens == 16


@pytest.mark.parametrize(
    ("prompt", "error", "words"),
    [
        (None, Unprocessable, "prompt is required"),
        ([], Unprocessable, "prompt is required"),
        (7, BadRequest, "must be a string, not a number"),
        ({"text": "Hi"}, BadRequest, "must be a string, not an object"),
        (["a", "b"], BadRequest, "holds 2 texts"),
        ([1, 2], BadRequest, "token ids"),
        ([[1, 2], [3]], BadRequest, "token ids"),
        ([True], BadRequest, "must be a string, an array"),
        (["a", 1], BadRequest, "must be a string, an array"),
    ],
)
def test_a_prompt_that_is_no_conversation_is_refused_with_words(
    prompt: Any, error: type[CallerError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        decode(prompt=prompt)
    assert caught.value.param == "prompt"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": 1}, "echo"),
        ({"best_of": "2"}, "best_of"),
        ({"suffix": []}, "suffix"),
        ({"stop": [1]}, "stop[0]"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_mistakes_are_named_by_their_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(**members)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("members", "lost"),
    [
        ({"suffix": "", "best_of": 2, "n": 2, "echo": True}, set()),
        ({"suffix": "\n"}, {"suffix"}),
        ({"best_of": 3, "n": 2}, {"best_of"}),
        ({"echo": True, "logprobs": 0}, {"echo"}),
        ({"min_p": 0.1}, {"min_p"}),
    ],
)
def test_what_a_model_for_conversations_cannot_do_is_named(members: dict[str, Any], lost: set[str]) -> None:
    losses = Losses()
    said = DIALECTS[OTHER].encode_request(decode(**members), losses, Quirks())
    assert {loss.field for loss in losses} == lost
    assert said["messages"] == [{"role": "user", "content": "Hi"}]


def test_a_request_of_another_dialect_gets_a_limit_of_its_own_size() -> None:
    body, losses = encode(max_tokens=None)
    assert body == {"model": "m", "prompt": "Hi", "max_tokens": 4096}
    assert losses == {}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [Message("system", [Text("Be brief.")])]}, "messages[0]"),
        ({"messages": [Message("user", [Text("a")]), Message("user", [Text("b")])]}, "messages[1]"),
        ({"messages": [Message("user", [Text("a"), Text("b")])]}, "messages"),
        ({"messages": [Message("user", [Opaque(OTHER, {"type": "x"})])]}, "messages"),
        ({"messages": [Message("user", [Image(Url("https://x/y.png"))])]}, "messages[0].content[0]"),
        ({"tools": [FunctionTool("f")]}, "tools"),
        ({"output": OutputFormat("json_object")}, "response_format"),
    ],
)
def test_only_one_text_of_the_user_can_be_continued(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        encode(**members)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_content")


def test_settings_without_words_are_named_as_lost() -> None:
    body, losses = encode(
        Text("Hi", [Citation("url")], CacheMark(), {OTHER: {"x": 1}}),
        Opaque(OTHER, {"type": "hologram"}),
        max_tokens=5,
        logprobs=True,
        top_k=4,
        verbosity="low",
        reasoning=Reasoning(effort="low"),
        tool_choice=ToolChoice("auto"),
        parallel_tool_calls=True,
        cache=CacheMark(),
        metadata={"a": 1},
        service_tier="flex",
        store=True,
        prompt_cache_key="k",
        output=OutputFormat("text", extras={OTHER: {"y": 1}}),
        extras={OTHER: {"z": 1}},
    )
    assert body == {"model": "m", "prompt": "Hi", "max_tokens": 5, "logprobs": 0}
    assert losses == {
        "messages[0].content[0].x": "warning",
        "messages[0].content[0].cache_control": "info",
        "messages[0].content[0].citations[0]": "info",
        "messages[0].content[1]": "warning",
        "top_k": "warning",
        "verbosity": "warning",
        "reasoning": "warning",
        "tool_choice": "info",
        "parallel_tool_calls": "info",
        "cache_control": "info",
        "metadata": "info",
        "service_tier": "info",
        "store": "info",
        "prompt_cache_key": "info",
        "response_format.y": "warning",
        "z": "warning",
    }


def test_a_name_of_the_user_is_bookkeeping() -> None:
    message = Message("user", [Text("Hi")], "Ann", {OTHER: {"x": 1}})
    _, losses = encode(messages=[message])
    assert losses == {"messages[0].x": "warning", "messages[0].name": "info"}


def test_usage_is_asked_for_where_the_upstream_understands_it() -> None:
    request = ChatRequest(model="m", messages=[Message("user", [Text("Hi")])], stream=True, include_usage=True)
    losses = Losses()
    assert DIALECT.encode_request(request, losses, Quirks())["stream_options"] == {"include_usage": True}
    assert losses == []
    assert "stream_options" not in DIALECT.encode_request(request, losses, Quirks(stream_usage=False))
    assert [loss.field for loss in losses] == ["stream_options.include_usage"]


@pytest.mark.parametrize(
    ("members", "count"),
    [
        ({"prompt": "a"}, 1),
        ({"prompt": ["a"]}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": ["a", "b"], "stream": True}, 1),
        ({"prompt": ["a", 1]}, 1),
        ({"prompt": [[1], [2]]}, 1),
        ({}, 1),
    ],
)
def test_several_texts_stand_for_as_many_requests(members: dict[str, Any], count: int) -> None:
    assert DIALECT.split is not None
    bodies = DIALECT.split({"model": "m", "n": 2, **members})
    assert len(bodies) == count
    if count == 2:
        assert bodies == [{"model": "m", "n": 2, "prompt": prompt} for prompt in "ab"]


def test_too_many_texts_are_refused() -> None:
    assert DIALECT.split is not None
    with pytest.raises(BadRequest, match="at most 128"):
        DIALECT.split({"prompt": ["a"] * 129})


def test_what_only_says_a_default_is_kept_as_form() -> None:
    assert decode(echo=True, suffix="").extras == {NAME: {FORM: {"suffix": "", "echo": True}}}
