from __future__ import annotations

from typing import Any

import pytest

from wye.canon.extras import FORM
from wye.canon.loss import Losses
from wye.canon.parts import (
    Audio,
    Base64,
    Blocks,
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
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.seal import seal
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.dialects.dialect import Quirks
from wye.dialects.openai_responses import DIALECT
from wye.kernel.errors import BadRequest, Unprocessable

NAME, ANTHROPIC = "openai_responses", "anthropic_messages"


def body(*items: Any, **members: Any) -> dict[str, Any]:
    return {"model": "gpt", "input": list(items) or "Hi", **members}


def decode(*items: Any, **members: Any) -> ChatRequest:
    return DIALECT.decode_request(body(*items, **members))


def encode(*messages: Message, **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    losses = Losses()
    request = ChatRequest(model="gpt", messages=list(messages) or [Message("user", [Text("Hi")])], **members)
    said = DIALECT.encode_request(request, losses, Quirks())
    return said, {loss.field: loss.severity for loss in losses}


def encode_part(part: Part, role: Any = "user") -> tuple[Any, dict[str, str]]:
    """What a part is said as, in a message that also holds a plain text."""
    said, losses = encode(Message(role, [part, Text("and")]))
    return said["input"][0]["content"][:-1], losses


# Decoding


def test_what_the_assistant_did_between_two_inputs_is_one_message() -> None:
    request = decode(
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
        {"role": "user", "content": "And?"},
        {"role": "user", "content": []},
        {"type": "function_call_output", "call_id": "c", "output": "3"},
    )
    assert [(message.role, [type(part).__name__ for part in message.parts]) for message in request.messages] == [
        ("user", ["Text"]),
        ("assistant", ["Thinking", "Text", "ToolCall", "ToolCall"]),
        ("user", ["ToolResult", "ToolResult"]),
        ("user", ["Text"]),
        ("user", []),
        ("user", ["ToolResult"]),
    ]


def test_instructions_are_the_first_message() -> None:
    request = decode(instructions="Be kind.")
    assert request.messages[0].parts == [Text("Be kind.")]
    assert [message.role for message in request.messages] == ["system", "user"]


def test_probabilities_are_asked_for_among_what_is_included() -> None:
    assert decode(include=["message.output_text.logprobs"]).logprobs is True
    assert decode(include=["reasoning.encrypted_content"]).logprobs is None


SEALED = [
    Thinking(signature="EqQB", origin="anthropic"),
    Opaque(ANTHROPIC, {"type": "web_search_tool_result"}),
    ToolCall("srvtoolu_1", "web_search", "{}", "server", extras={ANTHROPIC: {"type": "server_tool_use"}}),
]


@pytest.mark.parametrize("part", SEALED)
def test_what_another_vendor_left_comes_back_unsealed(part: Any) -> None:
    summary = [{"type": "summary_text", "text": "Hm."}] if isinstance(part, Thinking) else []
    item = {"type": "reasoning", "id": "rs_x", "summary": summary, "encrypted_content": seal(part)}
    (message,) = decode(item).messages
    if isinstance(part, Thinking):
        part = Thinking("Hm.", "EqQB", origin="anthropic")
    assert message.parts == [part]


@pytest.mark.parametrize(
    ("wire", "param"),
    [
        ({"input": "Hi"}, "model"),
        (body(max_output_tokens=0), "max_output_tokens"),
        (body(temperature="hot"), "temperature"),
        ({"model": "m", "input": 7}, "input"),
        (body("Hi"), "input[0]"),
        (body({"content": "Hi"}), "input[0].type"),
        (body({"role": "tool", "content": "Hi"}), "input[0].role"),
        (body({"type": "message", "content": "Hi"}), "input[0].role"),
        (body({"role": "user"}), "input[0].content"),
        (body({"role": "user", "content": 7}), "input[0].content"),
        (body({"role": "user", "content": ["Hi"]}), "input[0].content[0]"),
        (body({"role": "user", "content": [{"text": "Hi"}]}), "input[0].content[0].type"),
        (body({"role": "user", "content": [{"type": "input_text"}]}), "input[0].content[0].text"),
        (body({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}),
         "input[0].content[0].input_audio.data"),
        (body({"type": "function_call", "name": "f", "arguments": "{}"}), "input[0].call_id"),
        (body({"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}), "input[0].arguments"),
        (body({"type": "custom_tool_call", "call_id": "c", "name": "f"}), "input[0].input"),
        (body({"type": "function_call_output", "call_id": "c"}), "input[0].output"),
        (body(tools=[{"name": "f"}]), "tools[0].type"),
        (body(tools=[7]), "tools[0]"),
        (body(tools=[{"type": "function"}]), "tools[0].name"),
        (body(tools=[{"type": "namespace", "tools": []}]), "tools[0].name"),
        (body(tools=[{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]), "tools[0].tools[0].name"),
        (body(tool_choice="some"), "tool_choice"),
        (body(tool_choice=7), "tool_choice"),
        (body(tool_choice={"name": "f"}), "tool_choice.type"),
        (body(tool_choice={"type": "function"}), "tool_choice.name"),
        (body(tool_choice={"type": "allowed_tools", "mode": "none"}), "tool_choice.mode"),
        (body(tool_choice={"type": "allowed_tools", "tools": [7]}), "tool_choice.tools[0]"),
        (body(text={"format": {"type": "xml"}}), "text.format.type"),
        (body(text={"format": {}}), "text.format.type"),
        (body(reasoning={"effort": 7}), "reasoning.effort"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_place(wire: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        DIALECT.decode_request(wire)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize("wire", [{"model": "m"}, {"model": "m", "input": []}])
def test_without_an_input_there_is_nothing_to_answer(wire: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable, match="at least one item"):
        DIALECT.decode_request(wire)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image"},
        {"type": "input_file", "filename": "a.pdf"},
        {"type": "input_audio"},
        {"type": "summary_text", "text": "Hm."},
    ],
)
def test_a_part_that_is_not_understood_stays_whole(part: dict[str, Any]) -> None:
    request = decode({"role": "user", "content": [part]})
    assert request.messages[0].parts == [Opaque(NAME, part)]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "id": "rs_1", "summary": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": ["x"]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x", "new": 1}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "reasoning_text", "text": "x"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": 7}]},
    ],
)
def test_reasoning_that_is_not_understood_stays_whole(item: dict[str, Any]) -> None:
    assert decode(item).messages[0].parts == [Opaque(NAME, item)]
    losses = Losses()
    assert DIALECT.encode_request(decode(item), losses, Quirks())["input"] == [item]
    assert losses == []


def test_the_tools_of_a_namespace_are_tools_of_their_own() -> None:
    def function(name: str) -> dict[str, Any]:
        return {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}

    def space(name: str, *tools: str) -> dict[str, Any]:
        return {"type": "namespace", "name": name, "description": name, "tools": [function(tool) for tool in tools]}

    call = {"type": "function_call", "call_id": "c", "name": "find", "namespace": "notes", "arguments": "{}"}
    tools = [space("maps", "find", "route"), function("route"), space("notes", "find")]
    request = decode({"role": "user", "content": "Hi"}, call, tools=tools)
    assert [tool.name for tool in request.tools or [] if not isinstance(tool, NativeTool)] == [
        "find", "maps__route", "route", "notes__find",
    ]  # fmt: skip
    (said,) = request.messages[1].parts
    assert isinstance(said, ToolCall)
    assert said.name == "notes__find"


# Encoding


@pytest.mark.parametrize(
    ("members", "said", "losses"),
    [
        ({"top_k": 3}, {}, {"top_k": "warning"}),
        ({"seed": 3, "stop": ["x"]}, {}, {"seed": "warning", "stop": "warning"}),
        ({"n": 1}, {}, {}),
        ({"n": 2}, {}, {"n": "warning"}),
        ({"cache": CacheMark()}, {}, {"cache_control": "info"}),
        ({"logprobs": True}, {"include": ["message.output_text.logprobs"]}, {}),
        ({"logprobs": False}, {}, {}),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}, {}),
        ({"reasoning": Reasoning("enabled", budget_tokens=9)}, {},
         {"reasoning.budget_tokens": "warning", "reasoning.mode": "warning"}),
        ({"reasoning": Reasoning("adaptive")}, {}, {"reasoning.mode": "warning"}),
        ({"reasoning": Reasoning("adaptive", "high")}, {"reasoning": {"effort": "high"}}, {}),
        ({"reasoning": Reasoning("disabled")}, {"reasoning": {"effort": "none"}}, {}),
        ({"reasoning": Reasoning(display="omitted")}, {}, {"reasoning.display": "info"}),
        ({"reasoning": Reasoning(display="summarized")}, {"reasoning": {"summary": "auto"}}, {}),
        ({"output": OutputFormat("json_schema", {"type": "object"})},
         {"text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}}}, {}),
        ({"extras": {ANTHROPIC: {"container": "c"}}}, {}, {"container": "warning"}),
        ({"tools": [FunctionTool("f", "F.", None, cache=CacheMark())]},
         {"tools": [{"type": "function", "name": "f", "description": "F.", "strict": False,
                     "parameters": {"type": "object", "properties": {}}}]},
         {"tools[0].cache_control": "info"}),
        ({"tools": [NativeTool(ANTHROPIC, {"type": "web_search_20250305"})]}, {"tools": []}, {"tools[0]": "warning"}),
        ({"tools": [NativeTool(ANTHROPIC, {})]}, {"tools": []}, {"tools[0]": "warning"}),
        ({"tools": [CustomTool("c")], "tool_choice": ToolChoice("named", "c")},
         {"tools": [{"type": "custom", "name": "c"}], "tool_choice": {"type": "custom", "name": "c"}}, {}),
        ({"tool_choice": ToolChoice("auto", allowed=["f"])},
         {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}}, {}),
    ],
)  # fmt: skip
def test_settings_of_other_dialects_are_said_or_reported(
    members: dict[str, Any], said: dict[str, Any], losses: dict[str, str]
) -> None:
    wire, lost = encode(**members)
    del wire["model"], wire["input"]
    assert wire == said
    assert lost == losses


AT = "messages[0].content[0]"


@pytest.mark.parametrize(
    ("part", "said", "losses"),
    [
        (Text("x", [Citation("url")]), {"type": "input_text", "text": "x"}, {f"{AT}.citations": "info"}),
        (Text("x", cache=CacheMark("5m")), {"type": "input_text", "text": "x"}, {f"{AT}.cache_control": "info"}),
        (Text("x", cache=CacheMark(extras={"openai_chat": {"prompt_cache_breakpoint": {"mode": "explicit"}}})),
         {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}, {}),
        (Refusal("No."), {"type": "input_text", "text": "No."}, {f"{AT}.refusal": "info"}),
        (Image(Base64("AAAA")), {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}, {}),
        (Document(Url("https://example.com/a.pdf"), citations=True),
         {"type": "input_file", "file_url": "https://example.com/a.pdf"}, {f"{AT}.citations": "warning"}),
        (Document(Base64("JVBE"), context="From Ada."),
         {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"},
         {f"{AT}.context": "warning"}),
        (Document(PlainText("Text."), "Title", "Context"), {"type": "input_text", "text": "Title\nContext\n\nText."},
         {AT: "info"}),
        (Document(Blocks([Text("a"), Text("b")])), {"type": "input_text", "text": "a\nb"}, {AT: "info"}),
        (SearchResult("shelf", "Tides", [Text("They rise.")]),
         {"type": "input_text", "text": "Tides\nshelf\n\nThey rise."}, {AT: "info"}),
        (Opaque(ANTHROPIC, {"type": "x"}), None, {AT: "warning"}),
        (Opaque(ANTHROPIC, {}), None, {AT: "warning"}),
        (Thinking("Hm."), None, {AT: "warning"}),
        (Audio("UklG"), {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}, {}),
    ],
)  # fmt: skip
def test_parts_of_other_dialects_are_said_or_reported(
    part: Part, said: dict[str, Any] | None, losses: dict[str, str]
) -> None:
    content, lost = encode_part(part)
    assert content == ([] if said is None else [said])
    assert lost == losses


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (Message("user", [Audio("", id="a")]), AT),
        (Message("user", [ToolCall("c", "f")]), AT),
        (Message("user", [Document(Blocks([Image(Url("u"))]))]), AT),
        (Message("assistant", [Image(Url("u"))]), AT),
        (Message("assistant", [Audio("", id="a")]), AT),
    ],
)
def test_content_without_words_is_an_error_that_names_its_path(message: Message, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        encode(message)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_content")


@pytest.mark.parametrize(
    ("thought", "said", "losses"),
    [
        (Thinking("Hm."), None, {AT: "warning"}),
        (Thinking("Hm.", "EqQB", origin="anthropic"), None, {AT: "warning"}),
        (Thinking(redacted="gAAA"), {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}, {}),
        (Thinking("Hm.", "sig", redacted="gAAA", id="rs_1", origin="openai"),
         {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}],
          "encrypted_content": "gAAA"}, {f"{AT}.signature": "info"}),
        (Thinking("Changed.", id="rs_1", origin="openai", extras={NAME: {FORM: {"summary": [0, 7], "content": ["x"]}}}),
         {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Changed."}]}, {}),
        (Thinking("", id="rs_1", origin="openai", extras={NAME: {FORM: {"summary": 7}}}),
         {"type": "reasoning", "id": "rs_1", "summary": []}, {}),
    ],
)  # fmt: skip
def test_a_model_is_only_given_reasoning_that_it_can_read(
    thought: Thinking, said: dict[str, Any] | None, losses: dict[str, str]
) -> None:
    wire, lost = encode(Message("assistant", [thought]))
    assert wire["input"] == ([] if said is None else [said])
    assert lost == losses


def test_a_turn_of_another_dialect_is_a_list_of_items() -> None:
    wire, losses = encode(
        Message("system", [Text("Be kind.")], "S"),
        Message("assistant", [Text("I look."), ToolCall("a", "f", "{}", cache=CacheMark()), Text("Wait."),
                              ToolCall("s", "search", "{}", "server"), ToolCall("b", "patch", "***", "custom"),
                              Opaque(ANTHROPIC, {"type": "x"})]),
        Message("user", [ToolResult("a", [Text("1")], is_error=True, cache=CacheMark()), ToolResult("b", []),
                         ToolResult("c", [Text("x"), Opaque(ANTHROPIC, {})]), Text("Now?")]),
        extras=None,
    )  # fmt: skip
    assert wire["input"] == [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "***"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": ""},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Now?"}]},
    ]
    assert losses == {
        "messages[0].name": "warning",
        "messages[1].content[1].cache_control": "info",
        "messages[1].content[3]": "warning",
        "messages[1].content[5]": "warning",
        "messages[2].content[0].is_error": "warning",
        "messages[2].content[0].cache_control": "info",
        "messages[2].content[2].content[1]": "warning",
    }


def test_an_empty_message_stays() -> None:
    wire, losses = encode(Message("user", []))
    assert wire["input"] == [{"type": "message", "role": "user", "content": []}]
    assert losses == {}


def test_a_document_by_its_id_needs_no_name() -> None:
    assert encode_part(Document(FileId("file-1"))) == ([{"type": "input_file", "file_id": "file-1"}], {})


def test_a_single_text_is_a_string_only_where_it_was_one_alone() -> None:
    request = DIALECT.decode_request({"model": "m", "input": "Hi"})
    request.messages.append(Message("user", [Text("More.")]))
    said = DIALECT.encode_request(request, Losses(), Quirks())
    assert [item["content"] for item in said["input"]] == [
        [{"type": "input_text", "text": "Hi"}],
        [{"type": "input_text", "text": "More."}],
    ]
