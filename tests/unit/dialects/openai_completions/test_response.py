from __future__ import annotations

from typing import Any

import pytest

from wye.canon.loss import Losses
from wye.canon.parts import Citation, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.openai_completions import DIALECT
from wye.kernel import clock
from wye.kernel.errors import BadAnswer, UpstreamRefused

NAME, OTHER = "openai_completions", "openai_chat"


def answer(**choice: Any) -> dict[str, Any]:
    return {"id": "i", "model": "m", "choices": [{"text": "Hi", "finish_reason": "stop", **choice}]}


def encode(*parts: Part, **choice: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The only choice of an answer, and the severity of each loss by its field."""
    losses = Losses()
    body = DIALECT.encode_response(ChatResponse(id="i", model="m", choices=[Choice(list(parts), **choice)]), losses)
    return body["choices"][0], {loss.field: loss.severity for loss in losses}


@pytest.mark.parametrize(
    "body",
    [{}, {"choices": None}, {"choices": {}}, {"choices": [7]}, {"choices": [{}]}, {"choices": [{"text": 5}]}],
)
def test_what_is_no_completion_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="answer"):
        DIALECT.decode_response(body)


def test_an_error_in_place_of_an_answer_is_raised_as_what_it_is() -> None:
    with pytest.raises(UpstreamRefused, match="No") as caught:
        DIALECT.decode_response({"error": {"message": "No", "code": 429}})
    assert caught.value.status == 429


def test_an_answer_needs_little() -> None:
    decoded = DIALECT.decode_response({"choices": [{"text": ""}, {"text": "b", "index": 5, "finish_reason": ""}]})
    assert decoded.id.startswith("cmpl-")
    assert decoded.choices == [Choice([]), Choice([Text("b")], index=5)]
    assert decoded.usage is None


def test_members_of_the_wrong_type_are_kept_as_they_are() -> None:
    decoded = DIALECT.decode_response({**answer(index="x", finish_reason=3), "id": 1, "model": 2, "object": 5})
    assert decoded.extras == {NAME: {"id": 1, "model": 2, "object": 5}}
    assert decoded.choices[0].extras == {NAME: {"index": "x", "finish_reason": 3}}
    said = DIALECT.encode_response(decoded, Losses())
    assert said["choices"][0] == {"text": "Hi", "index": "x", "logprobs": None, "finish_reason": 3}


def test_what_is_not_told_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "wall_s", lambda: 1_790_000_000.5)
    body = DIALECT.encode_response(ChatResponse(id="", model="m", choices=[]), Losses())
    assert body.pop("id").startswith("cmpl-")
    assert body == {"object": "text_completion", "created": 1_790_000_000, "model": "m", "choices": []}


def test_an_answer_of_another_dialect_is_its_text() -> None:
    said, losses = encode(
        Thinking("Hm."),
        Text("A", [Citation("url")], extras={OTHER: {"x": 1}}),
        Text("B"),
        Refusal("No.", {OTHER: {"y": 1}}),
        ToolCall("c", "f"),
        Opaque(OTHER, {"type": "hologram"}),
        Opaque(OTHER, {}),
        finish_reason="tool_calls",
        stop_sequence="\n",
        extras={OTHER: {"z": 1}},
    )
    assert said == {"text": "ABNo.", "index": 0, "logprobs": None, "finish_reason": "stop"}
    assert losses == {
        "choices[0].z": "info",
        "choices[0].stop_sequence": "info",
        "choices[0].content[0]": "warning",
        "choices[0].content[1].x": "info",
        "choices[0].content[1].citations": "info",
        "choices[0].content[3].y": "info",
        "choices[0].content[3].refusal": "info",
        "choices[0].content[4]": "warning",
        "choices[0].content[5]": "warning",
        "choices[0].content[6]": "warning",
        "choices[0].finish_reason": "warning",
    }


def test_an_answer_that_failed_does_not_look_complete() -> None:
    said, losses = encode(Text("A"), finish_reason="error")
    assert said["finish_reason"] == "length"
    assert losses == {"choices[0].finish_reason": "warning"}


def test_figures_and_members_of_another_dialect_are_told_or_named() -> None:
    losses = Losses()
    usage = Usage(5, 2, 1, extras={OTHER: {"cost": 1}})
    body = DIALECT.encode_response(
        ChatResponse(id="i", model="m", choices=[], usage=usage, service_tier="flex", extras={OTHER: {"x": 1}}), losses
    )
    assert body["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    assert {loss.field for loss in losses} == {"x", "service_tier", "usage.cost"}


@pytest.mark.parametrize(
    ("members", "repeated"),
    [
        ({"echo": True}, "Once upon"),
        ({"echo": False}, " upon"),
        ({}, " upon"),
        ({"echo": True, "logprobs": 1}, " upon"),
        ({"echo": True, "prompt": ""}, " upon"),
    ],
)
def test_the_prompt_is_repeated_where_the_caller_wants_it(members: dict[str, Any], repeated: str) -> None:
    request = DIALECT.decode_request({"model": "m", "prompt": "Once", **members})
    assert DIALECT.echo is not None
    choices = [Choice([Text(" upon")], "stop", i) for i in range(2)]
    answer = DIALECT.echo(request, ChatResponse(id="i", model="m", choices=choices))
    said = DIALECT.encode_response(answer, Losses())
    assert [choice["text"] for choice in said["choices"]] == [repeated] * 2


def test_a_request_of_another_dialect_repeats_nothing() -> None:
    request = DIALECT.decode_request({"model": "m", "prompt": "Once"})
    request.extras = {OTHER: {"echo": True}}
    response = ChatResponse(id="i", model="m", choices=[])
    assert DIALECT.echo is not None
    assert DIALECT.echo(request, response) is response


TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (
            {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"b": -2}], "text_offset": [7]},
            [
                {
                    **TOKEN,
                    "top_logprobs": [{"token": "b", "logprob": -2, "bytes": [98]}],
                    "text_offset": 7,
                }
            ],
        ),
        ({"tokens": ["a"], "token_logprobs": [-0.5]}, [TOKEN]),
        ({"tokens": ["bytes:\\xe2"], "token_logprobs": [None], "top_logprobs": [None]},
         [{"token": "bytes:\\xe2", "logprob": None, "bytes": None, "top_logprobs": []}]),
        ({"content": [TOKEN]}, [TOKEN]),
    ],
)  # fmt: skip
def test_probabilities_are_understood_in_either_shape(wire: Any, content: Any) -> None:
    (choice,) = DIALECT.decode_response(answer(logprobs=wire)).choices
    assert choice.logprobs == {"content": content}
    assert choice.extras is None


@pytest.mark.parametrize("wire", [None, {}, {"tokens": [], "token_logprobs": []}, {"tokens": None}])
def test_probabilities_that_say_nothing_are_none(wire: Any) -> None:
    (choice,) = DIALECT.decode_response(answer(logprobs=wire)).choices
    assert (choice.logprobs, choice.extras) == (None, None)


@pytest.mark.parametrize(
    "wire",
    [
        "x",
        {"tokens": ["a"]},
        {"tokens": ["a"], "token_logprobs": [1, 2]},
        {"tokens": ["a"], "token_logprobs": [1], "text_offset": []},
        {"tokens": ["a"], "token_logprobs": [1], "top_logprobs": "x"},
        {"tokens": [7], "token_logprobs": [1]},
        {"tokens": ["a"], "token_logprobs": [1], "new": 1},
        {"content": "x"},
    ],
)
def test_probabilities_that_do_not_fit_together_stay_whole(wire: Any) -> None:
    decoded = DIALECT.decode_response(answer(logprobs=wire))
    assert decoded.choices[0].logprobs is None
    assert DIALECT.encode_response(decoded, Losses())["choices"][0]["logprobs"] == wire


def test_probabilities_of_a_conversation_are_said_side_by_side() -> None:
    others = [{"token": "b", "logprob": -2}, {"token": "b", "logprob": -3}]
    content = [{**TOKEN, "top_logprobs": others, "new": 1}, {"token": "cd", "logprob": -1.0}]
    said, losses = encode(Text("acd"), logprobs={"content": content, "refusal": [{"token": "e"}]})
    assert said["logprobs"] == {
        "tokens": ["a", "cd", "e"],
        "token_logprobs": [-0.5, -1.0, None],
        "top_logprobs": [{"b": -2}, None, None],
        "text_offset": [0, 1, 3],
    }
    assert losses == {"choices[0].logprobs": "info", "choices[0].logprobs.refusal": "info"}
