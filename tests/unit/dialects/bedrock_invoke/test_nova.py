from __future__ import annotations

from typing import Any

import pytest

from tests.unit.dialects.bedrock_invoke.wire import chunks, decoded, encode, request
from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Ping,
    RefusalDelta,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import (
    Audio,
    Base64,
    CacheMark,
    Citation,
    Document,
    FileId,
    Image,
    Opaque,
    Part,
    PlainText,
    Refusal,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from wye.canon.request import Message, OutputFormat, Reasoning
from wye.canon.response import ChatResponse, Choice
from wye.canon.seal import PREFIX, seal, unseal
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.nova import DIALECT
from wye.kernel import json, sse
from wye.kernel.errors import BadAnswer, BadRequest, Overloaded, StreamCut, Unprocessable

NAME = "bedrock_nova"
FOREIGN = {"openai_chat": {"new": 1}}
USER = {"role": "user", "content": [{"text": "Hi"}]}
TOOL = FunctionTool("f", schema={"type": "object"})
SPEC = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}


def content(*parts: Part, role: Any = "user") -> tuple[Any, dict[str, str]]:
    said, losses = encode(DIALECT, request(Message(role, [*parts, Text("and")])))
    return said["messages"][0]["content"], losses


def answer(*parts: Part, **members: Any) -> ChatResponse:
    return ChatResponse(id="x", model="", choices=[Choice([*parts], **members)])


# Requests


@pytest.mark.parametrize(
    ("body", "error", "param"),
    [
        ({}, Unprocessable, "messages"),
        ({"messages": []}, Unprocessable, "messages"),
        ({"messages": [{"content": []}]}, BadRequest, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": []}]}, BadRequest, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, BadRequest, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, BadRequest, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"text": 1}]}]}, BadRequest, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"toolUse": {"name": "f"}}]}]}, BadRequest,
         "messages[0].content[0].toolUse.toolUseId"),
        ({"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"toolUse":
          {"toolUseId": "t", "name": "f"}}]}}]}]}, BadRequest, "messages[0].content[0].toolResult.content[0]"),
        ({"messages": [USER], "inferenceConfig": {"maxTokens": "9"}}, BadRequest, "inferenceConfig.maxTokens"),
        ({"messages": [USER], "toolConfig": {"toolChoice": {}}}, BadRequest, "toolConfig.toolChoice"),
        ({"messages": [USER], "toolConfig": {"tools": [1]}}, BadRequest, "toolConfig.tools[0]"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_path(body: dict[str, Any], error: type[Exception], param: str) -> None:
    with pytest.raises(error) as caught:
        DIALECT.decode_request(body)
    assert getattr(caught.value, "param", None) == param


def test_members_of_a_url_are_understood() -> None:
    value = DIALECT.decode_request({"messages": [USER], "model": "m", "stream": True})
    assert (value.model, value.stream) == ("m", True)
    assert encode(DIALECT, value) == ({"messages": [USER]}, {})


@pytest.mark.parametrize(
    ("part", "said", "losses"),
    [
        (Text("a", [Citation("url")], CacheMark("5m", FOREIGN), FOREIGN), [{"text": "a"}, {"cachePoint":
         {"type": "default", "ttl": "5m"}}], {"citations": "info", "cache_control.new": "info", "new": "warning"}),
        (Refusal("No"), [{"text": "No"}], {"refusal": "info"}),
        (Image(Base64("AA==", "image/webp"), "high"), [{"image": {"format": "webp", "source": {"bytes": "AA=="}}}],
         {"detail": "warning"}),
        (Image(Base64("AA==")), [{"image": {"format": "png", "source": {"bytes": "AA=="}}}], {}),
        (Image(Url("s3://b/k")), [{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}}], {}),
        (Audio("AA==", "mp3", "audio_1", "beep"), [{"audio": {"format": "mp3", "source": {"bytes": "AA=="}}}],
         {"id": "info", "transcript": "info"}),
        (Audio("AA=="), [{"audio": {"format": "wav", "source": {"bytes": "AA=="}}}], {}),
        (Thinking("hm", "sig"), [{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}}], {}),
        (Thinking("hm", id="rs_1"), [{"reasoningContent": {"reasoningText": {"text": "hm"}}}], {"id": "info"}),
        (Thinking(redacted="x", origin="amazon"), [{"reasoningContent": {"redactedContent": "x"}}], {}),
        (Thinking("hm", "sig", origin="anthropic"), [], {"": "warning"}),
        (Opaque("openai_chat", {"type": "new"}), [], {"": "warning"}),
        (ToolCall("c", "f", "", kind="server"), [], {"": "warning"}),
        (ToolCall("c", "f", " "), [{"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}], {}),
        (ToolCall("c", "f", "text", "custom"),
         [{"toolUse": {"toolUseId": "c", "name": "f", "input": {"input": "text"}}}], {"arguments": "warning"}),
        (ToolResult("c", [Text("[1", extras={NAME: {"~": {"json": True}}})]),
         [{"toolResult": {"toolUseId": "c", "content": [{"text": "[1"}]}}], {"content[0]": "info"}),
    ],
)  # fmt: skip
def test_a_part_is_said_or_named_as_lost(part: Part, said: Any, losses: dict[str, str]) -> None:
    at = "messages[0].content[0]"
    named = {f"{at}.{name}" if name else at: severity for name, severity in losses.items()}
    assert content(part) == ([*said, {"text": "and"}], named)


@pytest.mark.parametrize(
    "part",
    [
        Image(Base64("AA==", "image/tiff")),
        Image(Url("https://x/a.png")),
        Image(FileId("f")),
        Audio("", id="a"),
        Document(PlainText("x")),
        SearchResult("s", "t", []),
        ToolCall("c", "f", "{"),
        ToolCall("c", "f", "[1]"),
    ],
)
def test_content_without_words_is_refused(part: Part) -> None:
    with pytest.raises(BadRequest) as caught:
        content(part)
    assert (caught.value.param or "").startswith("messages[0].content[0]")


def test_turns_alternate_and_the_system_s_words_stand_first() -> None:
    said, losses = encode(
        DIALECT,
        request(
            Message("user", [Text("a")], name="ann"),
            Message("user", [Text("b")]),
            Message("developer", [Text("Be.")], extras=FOREIGN),
            Message("assistant", [Opaque("x", {})]),
            Message("assistant", [Text("c")], extras={NAME: {"own": 1}}),
            Message("assistant", [Text("d")]),
        ),
    )
    assert said["system"] == [{"text": "Be."}]
    assert said["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}], "own": 1},
        {"role": "assistant", "content": [{"text": "d"}]},
    ]
    assert losses == {
        "messages[0].name": "warning",
        "messages[2].role": "warning",
        "messages[2].new": "warning",
        "messages[3].content[0]": "warning",
    }
    with pytest.raises(BadRequest) as caught:
        encode(DIALECT, request(Message("user", [Opaque("x", {})])))
    assert caught.value.param == "messages[0]"


@pytest.mark.parametrize(
    ("reasoning", "said", "losses"),
    [
        (Reasoning("enabled", "high"), {"type": "enabled", "maxReasoningEffort": "high"}, {}),
        (Reasoning("adaptive"), {"type": "enabled"}, {"reasoning.mode": "info"}),
        (Reasoning(effort="max"), {"type": "enabled", "maxReasoningEffort": "high"}, {"reasoning.effort": "warning"}),
        (Reasoning(budget_tokens=9), {"type": "enabled"}, {"reasoning.budget_tokens": "warning"}),
        (Reasoning(effort="none", extras=FOREIGN), {"type": "disabled"}, {"reasoning.new": "warning"}),
        (Reasoning(display="auto"), None, {"reasoning.display": "info"}),
        (Reasoning(extras={NAME: {"own": 1}}), {"own": 1}, {}),
    ],
)
def test_reasoning_has_efforts(reasoning: Reasoning, said: Any, losses: dict[str, str]) -> None:
    body, named = encode(DIALECT, request(reasoning=reasoning))
    assert body.get("inferenceConfig", {}).get("reasoningConfig") == said
    assert named == losses


@pytest.mark.parametrize(
    ("members", "config", "losses"),
    [
        ({"tools": [FunctionTool("f", "d", cache=CacheMark())]},
         {"tools": [{"toolSpec": {"name": "f", "description": "d",
                                  "inputSchema": {"json": {"type": "object", "properties": {}}}}},
                    {"cachePoint": {"type": "default"}}]}, {}),
        ({"tools": [CustomTool("c"), NativeTool("x", {"type": "t"})]}, None,
         {"tools[0]": "warning", "tools[1]": "warning"}),
        ({"tools": [TOOL], "tool_choice": ToolChoice("none")}, None, {"tool_choice": "info"}),
        ({"tools": [TOOL, FunctionTool("g")], "tool_choice": ToolChoice("required", allowed=["f"])},
         {"tools": [SPEC], "toolChoice": {"any": {}}}, {"tool_choice.allowed": "warning"}),
        ({"tools": [TOOL], "parallel_tool_calls": False},
         {"tools": [SPEC]}, {"parallel_tool_calls": "warning"}),
        ({"tool_choice": ToolChoice("required")}, None, {"tool_choice": "warning"}),
        ({"tool_choice": ToolChoice("auto")}, None, {"tool_choice": "info"}),
    ],
)  # fmt: skip
def test_tools_are_said_or_named_as_lost(members: dict[str, Any], config: Any, losses: dict[str, str]) -> None:
    body, named = encode(DIALECT, request(**members))
    assert (body.get("toolConfig"), named) == (config, losses)


def test_tools_that_were_used_cannot_be_hidden() -> None:
    called = [Message("assistant", [ToolCall("c", "f")]), Message("user", [ToolResult("c", [])])]
    body, losses = encode(DIALECT, request(*called, tools=[TOOL], tool_choice=ToolChoice("none")))
    assert "toolChoice" not in body["toolConfig"]
    assert losses == {"tool_choice": "warning"}


def test_settings_and_formats_without_words() -> None:
    assert encode(DIALECT, request(seed=1, user="u"))[1] == {"seed": "warning", "user": "info"}
    with pytest.raises(BadRequest):
        encode(DIALECT, request(output=OutputFormat("json_schema", {})))


def test_odd_blocks_stay_whole() -> None:
    odd: list[dict[str, Any]] = [
        {"image": {"format": "png", "source": {"bytes": "AA==", "new": 1}}},
        {"image": {"format": "png"}},
        {"audio": {"format": "mp3", "source": {"s3Location": {"uri": "s3://b/k"}}}},
        {"reasoningContent": {"reasoningText": {"text": "a", "new": 1}}},
        {"reasoningContent": {"redactedContent": "a", "new": 1}},
        {"reasoningContent": {"newThought": "a"}},
        {"audio": {"format": "mp3", "source": {"bytes": "AA==", "new": 1}}},
    ]
    value = DIALECT.decode_request({"messages": [{"role": "user", "content": odd}]})
    assert value.messages[0].parts == [Opaque(NAME, block) for block in odd]
    assert encode(DIALECT, value)[0]["messages"][0]["content"] == odd


def test_a_cache_point_marks_what_is_before_it_once() -> None:
    point, other = {"cachePoint": {"type": "default", "ttl": "1h"}}, {"cachePoint": {"type": "new", "x": 1}}
    body = {"messages": [{"role": "user", "content": [point, {"text": "a"}, other, point, {"text": "b"}, point]}]}
    value = DIALECT.decode_request(body)
    assert value.messages[0].parts == [
        Opaque(NAME, point),
        Text("a", cache=CacheMark(extras={NAME: {"type": "new", "x": 1}})),
        Opaque(NAME, point),
        Text("b", cache=CacheMark("1h")),
    ]
    assert encode(DIALECT, value) == (body, {})


def test_odd_tools_stay_whole() -> None:
    odd: list[dict[str, Any]] = [
        {"cachePoint": {"type": "default"}},
        {"systemTool": {"name": "nova_grounding"}},
        {"cachePoint": {"type": "default"}},
        {"toolSpec": {"name": "f", "inputSchema": {"json": {}, "new": 1}}},
    ]
    config = {"tools": [*odd, SPEC]}
    value = DIALECT.decode_request({"messages": [USER], "toolConfig": config})
    assert value.tools == [*(NativeTool(NAME, tool) for tool in odd), TOOL]
    assert encode(DIALECT, value) == ({"messages": [USER], "toolConfig": config}, {})


# What only another vendor can read


@pytest.mark.parametrize(
    "part",
    [
        Thinking("hm", "EqQ/+=", origin="anthropic"),
        Thinking("", redacted="gAAA", id="rs_1", origin="openai"),
        Thinking("hm", "sig", extras={"openai_chat": {"format": "x"}}),
        ToolCall("s", "search", "{}", "server", extras={"anthropic_messages": {"type": "server_tool_use"}}),
        Opaque("openai_responses", {"type": "web_search_call", "id": "w"}),
    ],
)
def test_it_comes_back_byte_for_byte(part: Part) -> None:
    losses = Losses()
    body = DIALECT.encode_response(answer(part, Text("So."), finish_reason="stop"), losses)
    assert losses == []
    said = body["output"]["message"]
    assert said["content"][0]["reasoningContent"]["reasoningText"]["signature"].startswith(PREFIX)
    assert DIALECT.decode_request({"messages": [said]}).messages[0].parts == [part, Text("So.")]
    events = unfold(answer(part, Text("So."), finish_reason="stop"))
    told = fold(decoded(DIALECT, *chunks(DIALECT, events, losses)))
    again = DIALECT.encode_response(told, losses)
    assert again["output"]["message"] == said
    assert losses == []


def test_a_thought_of_its_own_needs_no_seal() -> None:
    for thought in (Thinking("hm", "sig", origin="amazon"), Thinking("hm"), Thinking("hm", origin="openai")):
        body = DIALECT.encode_response(answer(thought), Losses())
        (block,) = body["output"]["message"]["content"]
        assert block["reasoningContent"]["reasoningText"].get("signature") == thought.signature


def test_a_seal_in_an_answer_is_left_closed() -> None:
    signature = seal(Thinking("", "sig", origin="anthropic"))
    block = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": signature}}}
    body = {"output": {"message": {"content": [block]}}, "stopReason": "end_turn"}
    read = DIALECT.decode_response(body)
    assert read.choices[0].parts == [Thinking("hm", signature, origin="amazon")]


# Answers


@pytest.mark.parametrize("block", [{"image": "?"}, {"text": 5}, {"toolUse": {}}, {"new": 1}, {}])
def test_an_odd_block_of_an_answer_stays_whole(block: dict[str, Any]) -> None:
    body = {"output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": "end_turn", "usage": {}}
    read = DIALECT.decode_response(body)
    assert read.choices[0].parts == [Opaque(NAME, block)]
    assert DIALECT.encode_response(read, Losses())["output"] == body["output"]


@pytest.mark.parametrize("body", [{}, {"output": {"message": {}}}, {"output": {"message": {"content": ["?"]}}}])
def test_what_is_no_answer_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.decode_response(body)


def test_an_answer_loses_nothing_without_a_word() -> None:
    parts: list[Part] = [
        Text("a", [Citation("url")]),
        Refusal("b"),
        Document(PlainText("x")),
        Audio("", id="x"),
        ToolCall("c", "f", "{"),
        ToolCall("d", "g", "free", "custom"),
    ]
    value = ChatResponse(
        id="x",
        model="m",
        choices=[
            Choice(parts, "stop", stop_sequence="END", logprobs={"content": []}, extras=FOREIGN),
            Choice([Text("z")], "stop", 1),
        ],
        usage=Usage(9, 4, reasoning_tokens=2, extras=FOREIGN),
        service_tier="priority",
        extras={"openai_chat": {"system_fingerprint": "fp"}},
    )
    losses = Losses()
    body = DIALECT.encode_response(value, losses)
    assert body["stopReason"] == "tool_use"
    assert [*(block.keys() for block in body["output"]["message"]["content"])] == [
        {"text"}, {"text"}, {"toolUse"}, {"toolUse"}
    ]  # fmt: skip
    assert {loss.field for loss in losses} == {
        "choices[1]",
        "logprobs",
        "choices[0].stop_sequence",
        "service_tier",
        "system_fingerprint",
        "content[0].citations",
        "content[1].refusal",
        "content[2]",
        "content[3]",
        "content[4].arguments",
        "content[5].arguments",
        "choices[0].new",
        "usage.reasoning_tokens",
        "usage.new",
    }


def test_figures_of_either_name_and_odd_totals() -> None:
    usage = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 99, "cacheReadInputTokens": 3, "new": "x"}
    read = DIALECT.decode_usage(usage)
    assert read == Usage(8, 2, 3, extras={NAME: {"totalTokens": 99, "new": "x"}})
    assert DIALECT.decode_usage({}) == Usage()
    body = DIALECT.decode_response({"output": {"message": {"content": []}}})
    assert (body.usage, body.choices[0].finish_reason) == (None, None)
    assert DIALECT.encode_response(body, Losses())["stopReason"] is None


# Streams


def test_a_stream_loses_nothing_without_a_word() -> None:
    events: list[Event] = [
        Start("x", "m", usage=Usage(3), extras={"openai_chat": {"system_fingerprint": "fp"}}),
        PartStart(0, Thinking("h", "s")),
        ThinkingDelta(0, "m", extras=FOREIGN),
        SignatureDelta(0, "ig"),
        PartEnd(0),
        PartStart(1, Thinking()),
        PartEnd(1),
        PartStart(2, Text("a", extras=FOREIGN)),
        TextDelta(2, "b", logprobs={"content": []}),
        CitationDelta(2, Citation("url")),
        OpaqueDelta(2, "openai_chat", {}),
        PartEnd(2),
        PartStart(3, Refusal("")),
        RefusalDelta(3, "c"),
        PartEnd(3),
        PartStart(4, ToolCall("c", "f", '{"a"')),
        PartStart(5, ToolCall("d", "g", "", "custom")),
        ArgumentsDelta(4, ":1}"),
        ArgumentsDelta(5, "free"),
        PartEnd(4),
        PartEnd(5),
        PartStart(6, Document(PlainText("x"))),
        TextDelta(6, "x"),
        PartEnd(6),
        PartStart(7, Text("")),
        PartEnd(7),
        PartStart(0, Text(""), 1),
        TextDelta(0, "z", 1),
        Ping(),
        Aside({NAME: {"own": 1}, "openai_chat": {"aside": 1}}),
        Finish("stop", stop_sequence="END"),
        UsageReport(Usage(3, 2), {"openai_chat": {"report": 1}}),
        UsageReport(Usage(output_tokens=5)),
        End(),
    ]
    losses = Losses()
    said = chunks(DIALECT, events, losses)
    told = fold(decoded(DIALECT, *said))
    assert told.choices[0].parts == [
        Thinking("hm", "sig", origin="amazon"),
        Thinking(origin="amazon"),
        Text("ab"),
        Text("c"),
        ToolCall("c", "f", '{"a":1}'),
        ToolCall("d", "g", '{"input":"free"}'),
        Text(""),
    ]
    assert (told.usage, told.choices[0].finish_reason) == (Usage(3, 5), "tool_calls")
    assert (told.extras or {})[NAME]["own"] == 1
    assert {loss.field for loss in losses} == {
        "system_fingerprint",
        "content[0].new",
        "content[2].new",
        "logprobs",
        "content[2].citations",
        "content[2]",
        "content[3].refusal",
        "content[5].arguments",
        "content[6]",
        "choices[1]",
        "aside",
        "choices[0].stop_sequence",
        "report",
    }


def test_the_end_of_a_part_may_tell_the_whole_of_it() -> None:
    whole = Thinking("hm", redacted="gAAA", id="rs_1", origin="openai")
    events: list[Event] = [Start("x", ""), PartStart(0, Thinking("hm")), PartEnd(0, part=whole), Finish("stop"), End()]
    said = chunks(DIALECT, events)
    signature = "".join(
        chunk["contentBlockDelta"]["delta"]["reasoningContent"].get("signature", "")
        for chunk in said
        if "contentBlockDelta" in chunk
    )
    sent = {
        "role": "assistant",
        "content": [{"reasoningContent": {"reasoningText": {"text": "hm", "signature": signature}}}],
    }
    assert DIALECT.decode_request({"messages": [sent]}).messages[0].parts == [whole]


def test_opaque_blocks_of_its_own_grow() -> None:
    pieces = [
        {"contentBlockStart": {"start": {"newBlock": {"a": 1}}, "contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"newBlock": {"b": 2}}, "contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"text": "now text"}, "contentBlockIndex": 0}},
        {"contentBlockStop": {"contentBlockIndex": 7}},
        {"messageStop": {"stopReason": "end_turn", "more": 1}},
        {"messageStop": {"stopReason": "max_tokens"}},
        {"newChunk": 1},
    ]
    events = decoded(DIALECT, *pieces)
    told = fold(events)
    assert told.choices[0].parts == [Opaque(NAME, {"newBlock": {"b": 2}}), Text("now text")]
    assert (told.choices[0].finish_reason, told.extras) == ("stop", {NAME: {"more": 1, "newChunk": 1}})
    said = chunks(DIALECT, events)
    assert [chunk["contentBlockDelta"]["delta"] for chunk in said if "contentBlockDelta" in chunk] == [
        {"newBlock": {"a": 1}}, {"newBlock": {"b": 2}}, {"text": "now text"}
    ]  # fmt: skip


def test_input_may_come_whole_and_a_reason_may_be_missing() -> None:
    pieces = [
        {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "t", "name": "f"}}}},
        {"contentBlockDelta": {"delta": {"toolUse": {"input": {"a": 1}}}}},
        {
            "contentBlockDelta": {
                "delta": {"reasoningContent": {"reasoningText": {"text": "hm"}}},
                "contentBlockIndex": 1,
            }
        },
        {"contentBlockDelta": {"delta": {"reasoningContent": {"redactedContent": "a"}}, "contentBlockIndex": 1}},
        {"contentBlockDelta": {"delta": {"reasoningContent": {}}, "contentBlockIndex": 1}},
        {"messageStop": {}},
        {"metadata": {"trace": {"x": 1}}},
    ]
    told = fold(decoded(DIALECT, *pieces))
    thoughts = [Thinking("hm", origin="amazon"), Thinking(redacted="a", origin="amazon")]
    assert told.choices == [Choice([ToolCall("t", "f", '{"a":1}'), *thoughts], "stop", extras=None)]
    assert told.extras == {NAME: {"trace": {"x": 1}}}


def test_nothing_counts_after_the_figures() -> None:
    decoder = (DIALECT.as_sse or DIALECT).stream_decoder()
    frames = [{"messageStop": {"stopReason": "end_turn"}}, {"metadata": {"usage": {}}}, {"contentBlockDelta": {}}]
    wire = b"".join(sse.frame(json.encode(chunk)) for chunk in frames)
    assert [type(event) for event in decoder.feed(wire)] == [Start, Finish, UsageReport, End]
    assert decoder.feed(wire) == decoder.close() == []
    unended = (DIALECT.as_sse or DIALECT).stream_decoder()
    assert isinstance((unended.feed(wire[: wire.rindex(b"data:") - 1]) + unended.close())[-1], End)


def test_another_s_opaque_part_is_sealed_as_a_whole_once_it_has_grown() -> None:
    kind = "openai_responses"
    events: list[Event] = [
        Start("x", ""),
        PartStart(0, Opaque(kind, {"type": "web_search_call", "query": "vi"})),
        OpaqueDelta(0, kind, {"query": "nes", "status": "searching"}),
        OpaqueDelta(0, kind, {"status": 1}),
        OpaqueDelta(0, "openai_chat", {"query": "?"}),
        PartEnd(0),
        OpaqueDelta(0, kind, {"status": 2}),
        ArgumentsDelta(9, "?"),
        PartEnd(9),
        Finish("stop"),
        End(),
    ]
    losses = Losses()
    said = chunks(DIALECT, events, losses)
    (part,) = fold(decoded(DIALECT, *said)).choices[0].parts
    assert isinstance(part, Thinking)
    assert unseal(part.signature or "") == Opaque(kind, {"type": "web_search_call", "query": "vines", "status": 1})
    assert [loss.field for loss in losses] == ["content[0]", "content[0]"]


def test_figures_may_come_before_the_end_or_not_at_all() -> None:
    pieces = [
        {"metadata": {}},
        {"metadata": {"usage": {"inputTokens": 3}}},
        {"messageStop": {"stopReason": "end_turn"}},
    ]
    assert [type(event) for event in decoded(DIALECT, *pieces)] == [Start, UsageReport, Finish, End]
    assert [type(event) for event in decoded(DIALECT, pieces[2])] == [Start, Finish, End]


def test_a_block_may_begin_with_nothing_said_of_it() -> None:
    pieces = [
        {"contentBlockStart": {"start": {}, "contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"text": "a"}, "contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
    ]
    assert fold(decoded(DIALECT, *pieces)).choices[0].parts == [Text("a")]


@pytest.mark.parametrize(
    "chunk",
    [
        {"contentBlockDelta": {"contentBlockIndex": "x"}},
        {"contentBlockDelta": {"delta": {"toolUse": "?"}, "contentBlockIndex": None}},
    ],
)
def test_a_chunk_that_makes_no_sense_is_one_failure(chunk: dict[str, Any]) -> None:
    *_, failure = decoded(DIALECT, chunk, chunk)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadAnswer)


def test_an_error_ends_a_stream() -> None:
    (said,) = chunks(DIALECT, [Failure(Overloaded("Full"))])
    assert said == {"__type": "ServiceUnavailableException", "message": "Full"}
    *_, failure = decoded(DIALECT, {"messageStart": {"role": "assistant"}})
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, StreamCut)
