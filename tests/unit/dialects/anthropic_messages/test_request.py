from __future__ import annotations

import base64
from typing import Any

import pytest

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
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.seal import seal
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.dialects.anthropic_messages import DIALECT, decode_count_request, encode_count_request
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadRequest, Unprocessable

USER = {"role": "user", "content": "Hi"}
OPENAI = "openai_chat"


def body(**members: Any) -> dict[str, Any]:
    return {"model": "claude", "max_tokens": 10, "messages": [USER], **members}


def block(**members: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": [members]}])


def request(*messages: Message, **members: Any) -> ChatRequest:
    return ChatRequest(model="claude", messages=list(messages) or [Message("user", [Text("Hi")])], **members)


def encode(value: ChatRequest) -> tuple[dict[str, Any], dict[str, str]]:
    """What is said, and the severity of each loss by its field."""
    losses = Losses()
    said = DIALECT.encode_request(value, losses, Quirks())
    return said, {loss.field: loss.severity for loss in losses}


def encode_part(part: Part, role: Any = "user") -> tuple[Any, dict[str, str]]:
    said, losses = encode(request(Message(role, [part, Text("and")])))
    return said["messages"][0]["content"], losses


@pytest.mark.parametrize(
    ("wrong", "error", "param"),
    [
        ({"model": "claude", "messages": [USER]}, BadRequest, "max_tokens"),
        (body(max_tokens=-1), BadRequest, "max_tokens"),
        (body(max_tokens="many"), BadRequest, "max_tokens"),
        (body(model=None), BadRequest, "model"),
        (body(messages=None), Unprocessable, "messages"),
        (body(messages=[]), Unprocessable, "messages"),
        (body(messages=[], system="S"), Unprocessable, "messages"),
        (body(messages="Hi"), BadRequest, "messages"),
        (body(messages=["Hi"]), BadRequest, "messages[0]"),
        (body(messages=[{"content": "Hi"}]), BadRequest, "messages[0].role"),
        (body(messages=[{"role": "tool", "content": "Hi"}]), BadRequest, "messages[0].role"),
        (body(messages=[{"role": "user"}]), BadRequest, "messages[0].content"),
        (body(messages=[{"role": "user", "content": 7}]), BadRequest, "messages[0].content"),
        (body(messages=[{"role": "user", "content": [7]}]), BadRequest, "messages[0].content[0]"),
        (body(system=7), BadRequest, "system"),
        (block(text="Hi"), BadRequest, "messages[0].content[0].type"),
        (block(type="text"), BadRequest, "messages[0].content[0].text"),
        (block(type="image"), BadRequest, "messages[0].content[0].source"),
        (block(type="image", source={"type": "base64"}), BadRequest, "messages[0].content[0].source.data"),
        (block(type="tool_use", id="t", name="n", input=[]), BadRequest, "messages[0].content[0].input"),
        (block(type="tool_result"), BadRequest, "messages[0].content[0].tool_use_id"),
        (block(type="search_result", source="s", title="t"), BadRequest, "messages[0].content[0].content"),
        (body(tools=[7]), BadRequest, "tools[0]"),
        (body(tools=[{"description": "no name"}]), BadRequest, "tools[0].name"),
        (body(tool_choice={}), BadRequest, "tool_choice.type"),
        (body(tool_choice={"type": "some"}), BadRequest, "tool_choice.type"),
        (body(tool_choice={"type": "tool"}), BadRequest, "tool_choice.name"),
        (body(thinking={}), BadRequest, "thinking.type"),
        (body(output_config={"format": {"type": "json_object"}}), BadRequest, "output_config.format.type"),
        (body(output_config={"format": {"type": "json_schema"}}), BadRequest, "output_config.format.schema"),
        (body(stop_sequences=[1]), BadRequest, "stop_sequences[0]"),
        (body(metadata="u"), BadRequest, "metadata"),
    ],
)
def test_a_mistake_is_refused_with_its_path(wrong: dict[str, Any], error: type[BadRequest], param: str) -> None:
    with pytest.raises(error) as caught:
        DIALECT.decode_request(wrong)
    assert caught.value.param == param


def test_a_count_needs_no_limit_and_is_sent_without_the_settings_of_an_answer() -> None:
    wire = {"model": "claude", "messages": [USER], "system": "S", "thinking": {"type": "adaptive"}, "speed": "fast"}
    counted = decode_count_request({**wire, "temperature": 0.5, "stream": True, "stop_sequences": ["x"]})
    assert counted.max_tokens is None
    assert encode_count_request(counted, Losses(), Quirks()) == wire


@pytest.mark.parametrize("kind", ["tool_result", "tool_use", "thinking"])
def test_what_may_not_nest_stays_whole_however_deep_it_goes(kind: str) -> None:
    deep: dict[str, Any] = {"type": kind}
    for _ in range(400):
        deep = {"type": kind, "tool_use_id": "t", "content": [deep]}
    outer = {"type": "tool_result", "tool_use_id": "t", "content": [deep, {"type": "text", "text": "x"}]}
    wire = body(messages=[{"role": "user", "content": [outer]}])
    decoded = DIALECT.decode_request(wire)
    assert decoded.messages[0].parts == [ToolResult("t", [Opaque("anthropic_messages", deep), Text("x")])]
    assert DIALECT.encode_request(decoded, Losses(), Quirks()) == wire


@pytest.mark.parametrize("kind", ["image", "document"])
def test_a_source_of_unknown_type_leaves_its_block_whole(kind: str) -> None:
    unknown = {"type": kind, "source": {"type": "hologram", "id": 1}}
    decoded = DIALECT.decode_request(body(messages=[{"role": "user", "content": [unknown]}]))
    assert decoded.messages[0].parts == [Opaque("anthropic_messages", unknown)]


def test_a_limit_is_sent_where_the_caller_gave_none() -> None:
    assert DIALECT.encode_request(request(), Losses(), Quirks(default_max_tokens=77))["max_tokens"] == 77


@pytest.mark.parametrize(
    ("settings", "said", "losses"),
    [
        ({"temperature": 1.5}, {"temperature": 1}, {"temperature": "warning"}),
        ({"temperature": 1.0}, {"temperature": 1.0}, {}),
        ({"stop": ["a"]}, {"stop_sequences": ["a"]}, {}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}, {}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}, {}),
        ({"service_tier": "flex"}, {}, {"service_tier": "info"}),
        ({"n": 1, "logprobs": False}, {}, {}),
        ({"n": 2, "seed": 3, "logprobs": True, "top_logprobs": 2}, {},
         {"n": "warning", "seed": "warning", "logprobs": "warning", "top_logprobs": "warning"}),
        ({"frequency_penalty": 0.1, "presence_penalty": 0.2, "logit_bias": {"1": 2.0}, "verbosity": "low"}, {},
         {"frequency_penalty": "warning", "presence_penalty": "warning", "logit_bias": "warning",
          "verbosity": "warning"}),
        ({"metadata": {"a": "b"}, "store": True, "prompt_cache_key": "k"}, {},
         {"metadata": "info", "store": "info", "prompt_cache_key": "info"}),
        ({"extras": {OPENAI: {"safety_identifier": "s", "web_search_options": {}, "nothing": None}}}, {},
         {"safety_identifier": "info", "web_search_options": "warning"}),
        ({"cache": CacheMark("1h")}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}, {}),
        ({"reasoning": Reasoning(effort="high")}, {"output_config": {"effort": "high"}}, {}),
        ({"reasoning": Reasoning(effort="none")}, {"thinking": {"type": "disabled"}}, {}),
        ({"reasoning": Reasoning(effort="minimal")}, {"output_config": {"effort": "low"}},
         {"reasoning.effort": "info"}),
        ({"reasoning": Reasoning(budget_tokens=2000)}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {}),
        ({"reasoning": Reasoning(mode="adaptive", display="detailed")},
         {"thinking": {"type": "adaptive", "display": "summarized"}}, {}),
        ({"reasoning": Reasoning(display="auto")}, {}, {"reasoning.display": "info"}),
        ({"reasoning": Reasoning()}, {}, {}),
        ({"output": OutputFormat("text")}, {}, {}),
        ({"output": OutputFormat("json_object")}, {}, {"output": "warning"}),
        ({"output": OutputFormat("json_schema", {"type": "object"}, "person", "A person.", False),
          "reasoning": Reasoning(effort="low")},
         {"output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}},
         {"output.name": "info", "output.description": "warning", "output.strict": "info"}),
        ({"parallel_tool_calls": False, "tools": [FunctionTool("f")]},
         {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
          "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {}),
        ({"parallel_tool_calls": True}, {}, {}),
        ({"tool_choice": ToolChoice("auto")}, {}, {"tool_choice": "info"}),
        ({"tool_choice": ToolChoice("none"), "parallel_tool_calls": False, "tools": [FunctionTool("f", schema={})]},
         {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "none"}}, {}),
        ({"tool_choice": ToolChoice("required", allowed=["g"]),
          "tools": [FunctionTool("f"), FunctionTool("g", schema={}), CustomTool("c"),
                    NativeTool(OPENAI, {"type": "web_search"})]},
         {"tools": [{"name": "g", "input_schema": {}}], "tool_choice": {"type": "any"}},
         {"tool_choice.allowed": "warning", "tools[2]": "warning", "tools[3]": "warning"}),
    ],
)  # fmt: skip
def test_settings_of_other_dialects_are_said_or_reported(
    settings: dict[str, Any], said: dict[str, Any], losses: dict[str, str]
) -> None:
    encoded, lost = encode(request(**settings))
    assert encoded == {"model": "claude", "max_tokens": 4096, "messages": [USER], **said}
    assert lost == losses


@pytest.mark.parametrize(
    ("part", "said", "losses"),
    [
        (Image(Url("https://x/y.png"), detail="high"), {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
         {"messages[0].content[0].detail": "warning"}),
        (Image(Base64("/9j/4AAQ"), detail="auto"),
         {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}}, {}),
        (Image(Base64("iVBORw0KGgoAAA")),
         {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAA"}}, {}),
        (Image(Base64("R0lGODlh")),
         {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lGODlh"}}, {}),
        (Image(Base64("UklGRiQA")),
         {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "UklGRiQA"}}, {}),
        (Document(Base64("JVBERi0xLjQ"), title="a.pdf"),
         {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ"},
          "title": "a.pdf"}, {}),
        (Document(Base64(base64.b64encode("naïve".encode()).decode(), "text/markdown")),
         {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "naïve"}},
         {"messages[0].content[0].source.media_type": "info"}),
        (Document(PlainText("x")),
         {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}, {}),
        (Document(FileId("f")), {"type": "document", "source": {"type": "file", "file_id": "f"}}, {}),
        (Refusal("No."), {"type": "text", "text": "No."}, {"messages[0].content[0].refusal": "info"}),
        (Text("T", extras={OPENAI: {"x": 1}}), {"type": "text", "text": "T"}, {"messages[0].content[0].x": "warning"}),
        (Text("T", [Citation("url", url="https://x")]), {"type": "text", "text": "T"},
         {"messages[0].content[0].citations[0]": "info"}),
        (Text("T", [Citation("file", file_id="f")]), {"type": "text", "text": "T"},
         {"messages[0].content[0].citations[0]": "warning"}),
        (ToolCall("c", "f", '{"a": 1}'), {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}, {}),
        (ToolCall("c", "f", "  "), {"type": "tool_use", "id": "c", "name": "f", "input": {}}, {}),
        (ToolCall("call|1", "f", ""), {"type": "tool_use", "id": "call|1", "name": "f", "input": {}}, {}),
        (ToolCall("c", "patch", "*** Begin", "custom"),
         {"type": "tool_use", "id": "c", "name": "patch", "input": {"input": "*** Begin"}},
         {"messages[0].content[0].arguments": "warning"}),
        (ToolCall("c", "search", "{}", "server"), None, {"messages[0].content[0]": "warning"}),
        (Opaque(OPENAI, {"type": "web_search_call"}), None, {"messages[0].content[0]": "warning"}),
        (Thinking("Hm."), None, {"messages[0].content[0]": "warning"}),
        (Thinking("Hm.", redacted="gAAA", origin="openai"), None, {"messages[0].content[0]": "warning"}),
        (Thinking("Hm.", "sig=", id="rs_1"), {"type": "thinking", "thinking": "Hm.", "signature": "sig="},
         {"messages[0].content[0].id": "info"}),
        (ToolResult("c", [], cache=CacheMark(extras={OPENAI: {"x": 1}})),
         {"type": "tool_result", "tool_use_id": "c", "cache_control": {"type": "ephemeral"}},
         {"messages[0].content[0].cache_control.x": "info"}),
        (ToolResult("c", [Text("a"), Text("b")], is_error=True),
         {"type": "tool_result", "tool_use_id": "c", "is_error": True,
          "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, {}),
    ],
)  # fmt: skip
def test_parts_of_other_dialects_are_said_or_reported(
    part: Part, said: dict[str, Any] | None, losses: dict[str, str]
) -> None:
    content, lost = encode_part(part)
    assert content == ("and" if said is None else [said, {"type": "text", "text": "and"}])
    assert lost == losses


@pytest.mark.parametrize(
    ("part", "param"),
    [
        (Audio("AAAA", "wav"), "messages[0].content[0]"),
        (Image(Base64("AAAA")), "messages[0].content[0].source"),
        (Document(Base64("AAAA")), "messages[0].content[0].source"),
        (Document(Base64("/w==", "text/plain")), "messages[0].content[0].source"),
        (Document(Base64("?", "text/plain")), "messages[0].content[0].source"),
        (ToolResult("c", [Audio("AAAA", "wav")]), "messages[0].content[0].content[0]"),
        (ToolCall("c", "f", '{"a": '), "messages[0].content[0].arguments"),
        (ToolCall("c", "f", "[1]"), "messages[0].content[0].arguments"),
    ],
)
def test_content_without_words_is_an_error_that_names_its_path(part: Part, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        encode_part(part)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "thinking", "thinking": "Hm.",
          "signature": seal(Thinking(redacted="gAAA", id="rs_1", origin="openai"))},
         Thinking("Hm.", redacted="gAAA", id="rs_1", origin="openai")),
        ({"type": "redacted_thinking", "data": seal(Thinking(redacted="gAAA", origin="openai"))},
         Thinking(redacted="gAAA", origin="openai")),
        ({"type": "redacted_thinking", "data": seal(Opaque(OPENAI, {"type": "web_search_call"}))},
         Opaque(OPENAI, {"type": "web_search_call"})),
        ({"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
         Thinking("Hm.", "EqQB", origin="anthropic")),
        ({"type": "redacted_thinking", "data": "EmwK"}, Thinking(redacted="EmwK", origin="anthropic")),
    ],
)  # fmt: skip
def test_what_another_vendor_left_comes_back_unsealed(block: dict[str, Any], part: Part) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": [block]}]}
    assert DIALECT.decode_request(body).messages[0].parts == [part]


def test_a_message_of_which_nothing_is_left_is_an_error_unless_it_is_the_models_own() -> None:
    foreign = Opaque(OPENAI, {"type": "x"})
    with pytest.raises(BadRequest, match="nothing is left"):
        encode(request(Message("user", [foreign])))
    said, losses = encode(
        request(Message("user", [Text("A")]), Message("assistant", [Thinking("Hm.")]), Message("user", [Text("B")]))
    )
    assert said["messages"] == [{"role": "user", "content": [{"type": "text", "text": t} for t in "AB"]}]
    assert losses == {"messages[1].content[0]": "warning"}


def test_an_empty_message_stays() -> None:
    said, _ = encode(request(Message("user", [Text("")]), Message("assistant", [])))
    assert said["messages"] == [{"role": "user", "content": ""}, {"role": "assistant", "content": []}]


@pytest.mark.parametrize(
    ("messages", "system", "rest"),
    [
        ([Message("system", [Text("A")]), Message("developer", [Text("B")])], "A\nB", []),
        ([Message("system", [Text("A"), Text("B")])],
         [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}], []),
        ([Message("system", [Text("A")]), Message("system", [Text("B", cache=CacheMark())])],
         [{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}}], []),
        ([Message("system", [Opaque("anthropic_messages", {"type": "tool_addition"})])], None,
         [{"role": "system", "content": [{"type": "tool_addition"}]}]),
        ([Message("system", [Text("A")], extras={"anthropic_messages": {"x": 1}})], None,
         [{"role": "system", "content": "A", "x": 1}]),
        ([Message("user", [Text("Q")]), Message("developer", [Text("A")]), Message("system", [Text("B")])], None,
         [{"role": "user", "content": "Q"}, {"role": "system", "content": "A"}, {"role": "system", "content": "B"}]),
    ],
)  # fmt: skip
def test_leading_system_messages_are_lifted_and_later_ones_stay(
    messages: list[Message], system: Any, rest: list[dict[str, Any]]
) -> None:
    said, losses = encode(request(*messages, Message("user", [Text("Hi")])))
    assert said.get("system") == system
    assert said["messages"] == [*rest, USER]
    assert losses == {}


def test_a_conversation_of_system_messages_alone_is_all_lifted() -> None:
    said, _ = encode(request(Message("system", [Text("A")])))
    assert (said["system"], said["messages"]) == ("A", [])


def test_names_of_participants_are_reported() -> None:
    _, losses = encode(request(Message("system", [Text("S")], name="boss"), Message("user", [Text("Q")], name="ann")))
    assert losses == {"messages[0].name": "warning", "messages[1].name": "warning"}


def test_messages_with_members_of_their_own_are_not_joined() -> None:
    extras = {"anthropic_messages": {"x": 1}}
    said, _ = encode(request(Message("user", [Text("A")], extras=extras), Message("user", [Text("B")])))
    assert said["messages"] == [{"role": "user", "content": "A", "x": 1}, {"role": "user", "content": "B"}]


def test_only_empty_texts_leave_one() -> None:
    said, _ = encode(request(Message("user", [Text(""), Text("")])))
    assert said["messages"] == [{"role": "user", "content": ""}]
