from __future__ import annotations

from typing import Any

import pytest

from wye.canon.loss import Losses
from wye.canon.parts import (
    Audio,
    Base64,
    Citation,
    Document,
    FileId,
    Image,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from wye.canon.response import ChatResponse, Choice
from wye.canon.seal import unseal
from wye.canon.usage import Usage
from wye.dialects.bedrock_converse import DIALECT, decode_count_response
from wye.kernel.errors import BadAnswer, UpstreamRefused

NAME = "bedrock_converse"
TEXT = {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}


def decode(**members: Any) -> ChatResponse:
    return DIALECT.decode_response({"output": TEXT, "stopReason": "end_turn", **members})


def encode(*parts: Part, reason: Any = "stop", **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    losses = Losses()
    choice = Choice(list(parts) or [Text("Hi")], reason, **members.pop("choice", {}))
    said = DIALECT.encode_response(ChatResponse(id="i", model="m", choices=[choice], **members), losses)
    return said, {loss.field: loss.severity for loss in losses}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"output": "Hi"},
        {"output": {}},
        {"output": {"message": {}}},
        {"output": {"message": {"content": "Hi"}}},
        {"output": {"message": {"content": ["Hi"]}}},
        {"output": {}, "message": "a member of that name beside an output"},
    ],
)
def test_what_is_no_answer_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.decode_response(body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"message": "Slow", "__type": "com.amazon.coral#ThrottlingException"}, 429),
        ({"message": "Slow"}, 502),
        ({"__type": "ValidationException"}, 400),
    ],
)
def test_an_error_in_a_200_is_the_error_that_it_is(body: dict[str, Any], status: int) -> None:
    with pytest.raises(UpstreamRefused) as caught:
        DIALECT.decode_response(body)
    assert caught.value.status == status
    assert caught.value.message == body.get("message", "The upstream sent an error without a message")


def test_what_an_answer_means() -> None:
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": "<thinking>Hm.</thinking> Hi"}]}},
        "stopReason": "stop_sequence",
        "additionalModelResponseFields": {"stop_sequence": "x"},
        "usage": {"inputTokens": 3, "outputTokens": 9, "totalTokens": 22, "cacheReadInputTokens": 6,
                  "cacheWriteInputTokens": 4, "cacheDetails": []},
    }  # fmt: skip
    assert DIALECT.decode_response(body) == ChatResponse(
        id="",
        model="",
        choices=[Choice([Text("<thinking>Hm.</thinking> Hi")], "stop", stop_sequence="x")],
        usage=Usage(13, 9, 6, 4, extras={NAME: {"cacheDetails": []}}),
    )


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("malformed_model_output", "error"),
        ("malformed_tool_use", "error"),
        ("of_a_new_kind", "stop"),
        (None, None),
        (7, None),
    ],
)
def test_every_reason_is_understood_and_comes_back(native: Any, reason: Any) -> None:
    answer = decode(stopReason=native)
    assert answer.choices[0].finish_reason == reason
    assert DIALECT.encode_response(answer, Losses())["stopReason"] == native


@pytest.mark.parametrize(
    ("parts", "reason", "sequence", "said"),
    [
        ([Text("a")], None, None, "end_turn"),
        ([Text("a")], "stop", None, "end_turn"),
        ([Text("a")], "stop", "x", "stop_sequence"),
        ([ToolCall("t", "n")], "stop", None, "tool_use"),
        ([Refusal("No.")], "stop", None, "content_filtered"),
        ([Text("a")], "error", None, "malformed_model_output"),
    ],
)
def test_how_answers_of_other_dialects_end(parts: list[Part], reason: Any, sequence: Any, said: str) -> None:
    body, _ = encode(*parts, reason=reason, choice={"stop_sequence": sequence})
    assert body["stopReason"] == said
    assert body.get("additionalModelResponseFields") == (None if sequence is None else {"stop_sequence": sequence})


@pytest.mark.parametrize(
    ("usage", "said", "losses"),
    [
        (None, {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}, {}),
        (Usage(10, 5, 4, 1, 2),
         {"inputTokens": 5, "outputTokens": 5, "totalTokens": 15, "cacheReadInputTokens": 4,
          "cacheWriteInputTokens": 1},
         {"usage.reasoning_tokens": "info"}),
        (Usage(1, 5, 4), {"inputTokens": 0, "outputTokens": 5, "totalTokens": 6, "cacheReadInputTokens": 4}, {}),
        (Usage(1, 5, extras={"openai_chat": {"x": 1}}), {"inputTokens": 1, "outputTokens": 5, "totalTokens": 6},
         {"usage.x": "info"}),
    ],
)  # fmt: skip
def test_figures_of_other_dialects(usage: Any, said: dict[str, Any], losses: dict[str, str]) -> None:
    body, lost = encode(usage=usage)
    assert (body["usage"], lost) == (said, losses)


def test_figures_that_are_none_count_as_unknown() -> None:
    usage = DIALECT.decode_usage({"inputTokens": "3", "outputTokens": True})
    assert (usage.input_tokens, usage.output_tokens) == (None, None)
    assert usage.extras == {NAME: {"inputTokens": "3", "outputTokens": True}}


@pytest.mark.parametrize(
    ("tier", "said", "losses"),
    [
        ("priority", {"type": "priority"}, {}),
        ("standard", {"type": "default"}, {}),
        ("scale", None, {"service_tier": "info"}),
        (None, None, {}),
    ],
)
def test_tiers_of_other_dialects(tier: Any, said: Any, losses: dict[str, str]) -> None:
    body, lost = encode(service_tier=tier)
    assert (body.get("serviceTier"), lost) == (said, losses)


@pytest.mark.parametrize(
    ("part", "said", "losses"),
    [
        (ToolCall("t", "n", '{"a":'), {"toolUse": {"toolUseId": "t", "name": "n", "input": {"_raw": '{"a":'}}},
         {"content[0].arguments": "warning"}),
        (ToolCall("t", "n", "[1]"), {"toolUse": {"toolUseId": "t", "name": "n", "input": [1]}}, {}),
        (Refusal("No."), {"text": "No."}, {"content[0].refusal": "info"}),
        (Audio("AA", "mp3"), {"audio": {"format": "mp3", "source": {"bytes": "AA"}}}, {}),
        (Thinking("t", origin="openai"), {"reasoningContent": {"reasoningText": {"text": "t"}}}, {}),
        (Image(FileId("f")), None, {"content[0].source": "warning"}),
        (Text("t", [Citation("file", file_id="f")]), {"text": "t"}, {"content[0].citations[0]": "warning"}),
    ],
)  # fmt: skip
def test_what_other_dialects_answer(part: Part, said: Any, losses: dict[str, str]) -> None:
    body, lost = encode(part)
    assert (body["output"]["message"]["content"], lost) == ([said] if said else [], losses)


@pytest.mark.parametrize(
    ("part", "losses"),
    [
        (Thinking("Hm.", redacted="gAAAA", id="rs_1", origin="openai"), {}),
        (Opaque("anthropic_messages", {"type": "web_search_tool_result"}), {"content[0]": "info"}),
        (ToolCall("t", "search", kind="server", extras={"anthropic_messages": {"type": "server_tool_use"}}),
         {"content[0]": "info"}),
    ],
)  # fmt: skip
def test_what_only_another_vendor_understands_is_sealed_and_comes_back(part: Part, losses: dict[str, str]) -> None:
    body, lost = encode(part)
    [block] = body["output"]["message"]["content"]
    assert unseal(block["reasoningContent"]["reasoningText"]["signature"]) is not None
    assert lost == losses
    [message] = DIALECT.decode_request({"messages": [body["output"]["message"]]}).messages
    assert message.parts == [part]
    # In an answer it is not opened: who sealed it wants it back.
    assert DIALECT.decode_response(body).choices[0].parts != [part]


def test_further_choices_and_probabilities_are_named_as_lost() -> None:
    choices = [Choice([Text("a")], logprobs={"content": []}), Choice([Text("b")], index=1)]
    losses = Losses()
    said = DIALECT.encode_response(ChatResponse(id="", model="", choices=choices), losses)
    assert said["output"]["message"]["content"] == [{"text": "a"}]
    assert [loss.field for loss in losses] == ["choices[1]", "logprobs"]
    assert DIALECT.encode_response(ChatResponse(id="", model="", choices=[]), losses)["output"]["message"] == {
        "role": "assistant",
        "content": [],
    }


def test_a_document_without_a_name_gets_one_from_its_place() -> None:
    body, _ = encode(Text("a"), Document(Base64("AA", "application/pdf")))
    assert body["output"]["message"]["content"][1]["document"]["name"] == "document 1"


def test_counts() -> None:
    assert DIALECT.encode_count is not None
    assert decode_count_response(DIALECT.encode_count(7)) == 7
    with pytest.raises(UpstreamRefused, match="Slow"):
        decode_count_response({"message": "Slow"})
    for wrong in ({}, {"inputTokens": "7"}, {"inputTokens": True}):
        with pytest.raises(BadAnswer):
            decode_count_response(wrong)


FOUND: list[tuple[bytes, Usage | None]] = [
    (b'{"output":{},"usage":{"inputTokens":5,"outputTokens":2}}', Usage(5, 2)),
    (
        b'{"output":{"message":{"content":[{"text":"\\"usage\\":"}]}},"usage":{"inputTokens":5,"outputTokens":2,'
        b'"cacheReadInputTokens":3,"cacheWriteInputTokens":1,"other":{}}}',
        Usage(9, 2, 3, 1),
    ),
    (b'{"output":{},"usage":{}}', Usage()),
    (b'{"output":{}}', None),
    (b'{"output":{"message":{"content":[]}},"usage":{"inputTokens":"many","outputTokens":2}}',
     Usage(None, 2, extras={NAME: {"inputTokens": "many"}})),
]  # fmt: skip


@pytest.mark.parametrize(("body", "usage"), FOUND)
def test_the_figures_of_a_passing_answer_are_found(body: bytes, usage: Usage | None) -> None:
    assert DIALECT.tap.usage_of(body) == usage


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"id":"x"}', b'{"output":', b"[" * 100_000])
def test_a_passing_answer_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.tap.usage_of(body)
