from __future__ import annotations

from typing import Any

import pytest

from wye.canon.loss import Losses
from wye.canon.parts import Audio, Citation, Image, Opaque, Part, Refusal, Text, Thinking, ToolCall, Url
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.openai_chat import DIALECT
from wye.kernel import clock
from wye.kernel.errors import BadAnswer, UpstreamRefused

NAME = "openai_chat"
OTHER = "anthropic_messages"


def answer(message: Any, **choice: Any) -> dict[str, Any]:
    return {"id": "i", "model": "m", "choices": [{"message": message, "finish_reason": "stop", **choice}]}


def parts_of(**message: Any) -> list[Part]:
    return DIALECT.decode_response(answer(message)).choices[0].parts


def encode(*parts: Part, **choice: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The only choice of an answer, and the severity of each loss by its field."""
    losses = Losses()
    body = DIALECT.encode_response(ChatResponse(id="i", model="m", choices=[Choice(list(parts), **choice)]), losses)
    return body["choices"][0], {loss.field: loss.severity for loss in losses}


@pytest.mark.parametrize(
    "body",
    [{}, {"choices": None}, {"choices": {}}, {"choices": [7]}, {"choices": [{}]}, {"choices": [{"message": "x"}]}],
)
def test_what_is_no_completion_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="answer"):
        DIALECT.decode_response(body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "No", "code": 429}}, 429),
        ({"error": {"message": "No", "type": "insufficient_quota"}}, 429),
        ({"error": {"message": "No", "type": "weird", "code": "context_length_exceeded"}}, 400),
        ({"error": {"message": "No", "type": "weird", "code": "odd"}}, 502),
        ({"error": "No"}, 502),
        ({"object": "error", "message": "No", "type": "BadRequestError", "code": 400}, 400),
        ({"error": {"message": "No", "code": 7}}, 502),
        ({"error": {"message": "No", "code": {"a": 1}}}, 502),
        ({"error": {"message": "No", "code": True}}, 502),
    ],
)
def test_an_error_in_place_of_an_answer_is_raised_as_what_it_is(body: dict[str, Any], status: int) -> None:
    with pytest.raises(UpstreamRefused, match="No") as caught:
        DIALECT.decode_response(body)
    assert caught.value.status == status


def test_an_answer_needs_little() -> None:
    decoded = DIALECT.decode_response({"choices": [{"message": {}}, {"message": {"content": "b"}, "index": 5}]})
    assert decoded.id.startswith("chatcmpl-")
    assert decoded.choices == [Choice([]), Choice([Text("b")], index=5)]


def test_members_of_the_wrong_type_are_kept_as_they_are() -> None:
    wire = answer({"content": 7, "refusal": 8, "audio": {"id": "a"}, "tool_calls": [7], "annotations": [7]}, index="x")
    wire.update({"id": 1, "model": 2, "created": "now", "usage": 3, "service_tier": 4, "object": 5})
    decoded = DIALECT.decode_response(wire)
    assert decoded.choices[0].parts == []
    assert decoded.extras == {NAME: {"id": 1, "model": 2, "created": "now", "service_tier": 4, "object": 5}}
    assert decoded.choices[0].extras == {
        NAME: {
            "index": "x",
            "message": {"content": 7, "refusal": 8, "audio": {"id": "a"}, "tool_calls": [7], "annotations": [7]},
        }
    }


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"content": ""}, []),
        ({"content": "a", "refusal": ""}, [Text("a")]),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, [Text("a"), Text("b")]),
        ({"function_call": {"name": "f", "arguments": "{}"}}, [ToolCall("f", "f", "{}")]),
        ({"function_call": {"name": "f"}}, [ToolCall("f", "f")]),
        ({"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, [ToolCall("", "f", '{"a":1}')]),
        ({"reasoning": "a", "content": "b"}, [Thinking("a"), Text("b")]),
        (
            {"content": "a", "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "x": 1}, "y": 2}]},
            [Text("a", [Citation("url", url="u", extras={NAME: {"y": 2, "url_citation": {"x": 1}}})])],
        ),
    ],
)
def test_servers_say_the_same_in_several_ways(message: dict[str, Any], parts: list[Part]) -> None:
    assert parts_of(**message) == parts


@pytest.mark.parametrize(
    "annotation",
    [
        7,
        {},
        {"type": 7},
        {"type": "url_citation"},
        {"type": "file_citation", "file_citation": {"file_id": "f"}},
        {"type": "citation", "citation": {"kind": "hearsay"}},
        {"type": "url_citation", "url_citation": {"url": 7}},
    ],
)
def test_annotations_that_are_not_understood_stay_whole(annotation: Any) -> None:
    wire = answer({"role": "assistant", "content": "a", "annotations": [annotation]})
    decoded = DIALECT.decode_response(wire)
    assert decoded.choices[0].extras == {NAME: {"message": {"annotations": [annotation]}}}


@pytest.mark.parametrize(
    ("content", "left"),
    [([{"type": "text", "text": "a"}, 7], True), ([{"type": "thinking"}], True), ({"a": 1}, True), ([], False)],
)
def test_content_of_another_shape_stays_whole(content: Any, left: bool) -> None:
    decoded = DIALECT.decode_response(answer({"content": content}))
    assert decoded.choices == [Choice([], "stop", extras={NAME: {"message": {"content": content}}} if left else None)]


@pytest.mark.parametrize(
    ("usage", "decoded"),
    [
        ({}, Usage()),
        (
            {"prompt_tokens": "many", "completion_tokens": True},
            Usage(extras={NAME: {"prompt_tokens": "many", "completion_tokens": True}}),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, Usage(3, 4)),
        (
            {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9},
            Usage(3, 4, extras={NAME: {"total_tokens": 9}}),
        ),
        ({"prompt_tokens_details": None, "completion_tokens_details": {}}, Usage()),
    ],
)
def test_usage_is_read_leniently(usage: dict[str, Any], decoded: Usage) -> None:
    assert DIALECT.decode_usage(usage) == decoded


def test_an_answer_of_another_dialect_has_all_that_clients_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "wall_s", lambda: 1790000000.5)
    losses = Losses()
    response = ChatResponse(
        id="msg_1",
        model="m",
        choices=[Choice([Text("a")], "stop", stop_sequence="END")],
        usage=Usage(9, 4, 5, 2, 1, extras={OTHER: {"server_tool_use": {}}}),
        service_tier="standard",
        extras={OTHER: {"container": {}}},
    )
    assert DIALECT.encode_response(response, losses) == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
        "service_tier": "default",
    }
    assert {loss.field: loss.severity for loss in losses} == {
        "container": "info",
        "choices[0].stop_sequence": "info",
        "usage.server_tool_use": "info",
    }


def test_parts_become_the_members_of_one_message() -> None:
    choice, losses = encode(
        Thinking("h"),
        Text("The ", [Citation("url", url="u", title="t")]),
        Text("Rhine", [Citation("page", "q", document=0, start=1, end=2)], extras={OTHER: {"x": 1}}),
        Refusal("no"),
        ToolCall("c", "f", "{}"),
        ToolCall("s", "web_search", kind="server"),
        Opaque(OTHER, {"type": "web_search_tool_result"}),
        Image(Url("u")),
        finish_reason="error",
    )
    assert choice["message"] == {
        "role": "assistant",
        "content": "The Rhine",
        "refusal": "no",
        "annotations": [
            {"type": "url_citation", "url_citation": {"title": "t", "url": "u", "start_index": 0, "end_index": 4}},
            {
                "type": "citation",
                "citation": {
                    "kind": "page", "quote": "q", "document": 0, "start": 1, "end": 2, "start_index": 4, "end_index": 9,
                },
            },
        ],
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        "reasoning_content": "h",
    }  # fmt: skip
    assert choice["finish_reason"] == "length"
    assert losses == {
        "choices[0].message.content[2].x": "info",
        "choices[0].message.content[5]": "warning",
        "choices[0].message.content[6]": "warning",
        "choices[0].message.content[7]": "warning",
        "choices[0].finish_reason": "warning",
    }


@pytest.mark.parametrize(
    ("part", "members"),
    [
        (Audio("UklG"), {"data": "UklG", "transcript": ""}),
        (
            Audio("UklG", id="a", transcript="t", extras={NAME: {"expires_at": 1}}),
            {"id": "a", "data": "UklG", "transcript": "t", "expires_at": 1},
        ),
    ],
)
def test_audio_is_a_member_of_the_message(part: Audio, members: dict[str, Any]) -> None:
    choice, losses = encode(part)
    assert choice["message"]["content"] is None
    assert choice["message"]["audio"] == {"id": choice["message"]["audio"]["id"], **members}
    assert losses == {}
