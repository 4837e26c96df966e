from __future__ import annotations

from typing import Any

import pytest

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
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.dialects.dialect import Quirks
from wye.dialects.openai_chat import DIALECT
from wye.kernel.errors import BadRequest, Unprocessable

NAME = "openai_chat"
OTHER = "anthropic_messages"
USER = {"role": "user", "content": "Hi"}


def body(**members: Any) -> dict[str, Any]:
    return {"model": "gpt", "messages": [USER], **members}


def message(**members: Any) -> dict[str, Any]:
    return body(messages=[members])


def part(**members: Any) -> dict[str, Any]:
    return message(role="user", content=[members])


def request(*messages: Message, **members: Any) -> ChatRequest:
    return ChatRequest(model="gpt", messages=list(messages) or [Message("user", [Text("Hi")])], **members)


def encode(value: ChatRequest, quirks: Quirks | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """What is said, and the severity of each loss by its field."""
    losses = Losses()
    said = DIALECT.encode_request(value, losses, quirks or Quirks())
    return said, {loss.field: loss.severity for loss in losses}


def encode_parts(role: Any, *parts: Part) -> tuple[list[dict[str, Any]], dict[str, str]]:
    said, losses = encode(request(Message(role, list(parts))))
    return said["messages"], losses


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("wrong", "error", "param"),
    [
        ({"messages": [USER]}, BadRequest, "model"),
        ({"model": "gpt"}, Unprocessable, "messages"),
        (body(messages=[]), Unprocessable, "messages"),
        (body(messages="Hi"), BadRequest, "messages"),
        (body(messages=["Hi"]), BadRequest, "messages[0]"),
        (message(content="Hi"), BadRequest, "messages[0].role"),
        (message(role="robot", content="Hi"), BadRequest, "messages[0].role"),
        (message(role="user"), BadRequest, "messages[0].content"),
        (message(role="user", content=None), BadRequest, "messages[0].content"),
        (message(role="user", content=7), BadRequest, "messages[0].content"),
        (message(role="user", content=[7]), BadRequest, "messages[0].content[0]"),
        (message(role="tool", content="x"), BadRequest, "messages[0].tool_call_id"),
        (message(role="function", content="x"), BadRequest, "messages[0].name"),
        (message(role="assistant", tool_calls="x"), BadRequest, "messages[0].tool_calls"),
        (message(role="assistant", tool_calls=[{"id": "c"}]), BadRequest, "messages[0].tool_calls"),
        (
            message(role="assistant", tool_calls=[{**CALL, "function": {"name": "f", "arguments": 7}}]),
            BadRequest,
            "messages[0].tool_calls",
        ),
        (message(role="assistant", audio={}), BadRequest, "messages[0].audio.id"),
        (part(text="Hi"), BadRequest, "messages[0].content[0].type"),
        (part(type="text"), BadRequest, "messages[0].content[0].text"),
        (part(type="refusal"), BadRequest, "messages[0].content[0].refusal"),
        (part(type="image_url"), BadRequest, "messages[0].content[0].image_url"),
        (part(type="image_url", image_url={}), BadRequest, "messages[0].content[0].image_url.url"),
        (part(type="image_url", image_url="u"), BadRequest, "messages[0].content[0].image_url"),
        (part(type="input_audio"), BadRequest, "messages[0].content[0].input_audio"),
        (part(type="input_audio", input_audio={}), BadRequest, "messages[0].content[0].input_audio.data"),
        (body(max_tokens=0), BadRequest, "max_tokens"),
        (body(max_completion_tokens=-1), BadRequest, "max_completion_tokens"),
        (body(max_tokens="many"), BadRequest, "max_tokens"),
        (body(temperature="hot"), BadRequest, "temperature"),
        (body(stream="yes"), BadRequest, "stream"),
        (body(stream_options=True), BadRequest, "stream_options"),
        (body(stop=[1]), BadRequest, "stop[0]"),
        (body(tools=[7]), BadRequest, "tools[0]"),
        (body(tools=[{"name": "f"}]), BadRequest, "tools[0].type"),
        (body(tools=[{"type": "function"}]), BadRequest, "tools[0].function"),
        (body(tools=[{"type": "function", "function": {}}]), BadRequest, "tools[0].function.name"),
        (body(tools=[{"type": "custom", "custom": {}}]), BadRequest, "tools[0].custom.name"),
        (body(functions=[{}]), BadRequest, "functions[0].name"),
        (body(tool_choice="some"), BadRequest, "tool_choice"),
        (body(tool_choice=7), BadRequest, "tool_choice"),
        (body(tool_choice={}), BadRequest, "tool_choice.type"),
        (body(tool_choice={"type": "tool"}), BadRequest, "tool_choice.type"),
        (body(tool_choice={"type": "function"}), BadRequest, "tool_choice.function"),
        (body(tool_choice={"type": "function", "function": {}}), BadRequest, "tool_choice.function.name"),
        (body(function_call="some"), BadRequest, "function_call"),
        (body(response_format={}), BadRequest, "response_format.type"),
        (body(response_format={"type": "xml"}), BadRequest, "response_format.type"),
        (body(response_format={"type": "json_schema"}), BadRequest, "response_format.json_schema"),
    ],
)
def test_a_mistake_is_refused_with_its_path(wrong: dict[str, Any], error: type[BadRequest], param: str) -> None:
    with pytest.raises(error) as caught:
        DIALECT.decode_request(wrong)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize(
    ("content", "decoded"),
    [
        ("data:image/png;base64,QUJD", Image(Base64("QUJD", "image/png"))),
        ("data:;base64,QUJD", Image(Base64("QUJD"))),
        ("data:image/png,plain", Image(Url("data:image/png,plain"))),
        ("data:image/png;name=a;base64,QUJD", Image(Url("data:image/png;name=a;base64,QUJD"))),
        ("https://example.com/a", Image(Url("https://example.com/a"))),
    ],
)
def test_a_data_url_holds_the_image_any_other_names_it(content: str, decoded: Image) -> None:
    wire = part(type="image_url", image_url={"url": content})
    assert DIALECT.decode_request(wire).messages[0].parts == [decoded]


@pytest.mark.parametrize(
    ("file", "decoded"),
    [
        ({"file_id": "f"}, Document(FileId("f"))),
        ({"file_data": "QUJD", "filename": "a"}, Document(Base64("QUJD"), title="a")),
        ({"file_data": "data:text/csv;base64,QUJD"}, Document(Base64("QUJD", "text/csv"))),
    ],
)
def test_a_file_is_a_document(file: dict[str, Any], decoded: Document) -> None:
    assert DIALECT.decode_request(part(type="file", file=file)).messages[0].parts == [decoded]


@pytest.mark.parametrize(
    "value",
    [
        {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
        {"type": "file", "file": {"filename": "a"}},
        {"type": "file"},
        {"type": "hologram"},
    ],
)
def test_a_part_that_only_some_servers_know_stays_whole(value: dict[str, Any]) -> None:
    decoded = DIALECT.decode_request(part(**value))
    assert decoded.messages[0].parts == [Opaque(NAME, value)]
    assert encode(decoded) == (part(**value), {})


def test_tool_messages_in_a_row_are_results_of_one_turn() -> None:
    tool = {"role": "tool", "content": "x"}
    wire = body(
        messages=[{**tool, "tool_call_id": "a"}, {**tool, "tool_call_id": "b"}, USER, {**tool, "tool_call_id": "c"}]
    )
    decoded = DIALECT.decode_request(wire)
    results = [ToolResult(name, [Text("x")]) for name in "abc"]
    assert [m.parts for m in decoded.messages] == [[results[0], results[1]], [Text("Hi")], [results[2]]]
    assert encode(decoded) == (wire, {})
    mixed, _ = encode_parts("user", Text("then"), results[0], results[1])
    assert [m["role"] for m in mixed] == ["tool", "tool", "user"]


def test_arguments_that_come_as_an_object_are_said_as_text() -> None:
    calls = [{**CALL, "function": {"name": "f", "arguments": {"a": 1}}}, {**CALL, "function": {"name": "f"}}]
    decoded = DIALECT.decode_request(message(role="assistant", content=None, tool_calls=calls))
    assert decoded.messages[0].parts == [ToolCall("c", "f", '{"a":1}'), ToolCall("c", "f")]


def test_what_the_sdk_adds_to_a_message_that_it_sends_back_is_left_out() -> None:
    call = {**CALL, "function": {"name": "f", "arguments": '{"a":1}', "parsed_arguments": {"a": 1}}}
    decoded = DIALECT.decode_request(message(role="assistant", content="x", parsed={"x": 1}, tool_calls=[call]))
    assert decoded.messages == [Message("assistant", [Text("x"), ToolCall("c", "f", '{"a":1}')])]


@pytest.mark.parametrize(
    ("role", "content", "marked"),
    [
        ("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], 1),
        ("system", "a", 0),
        ("assistant", "a", 0),
        ("user", [{"type": "image_url", "image_url": {"url": "u"}}], 0),
    ],
)
def test_a_mark_on_a_message_is_one_on_its_last_part(role: str, content: Any, marked: int) -> None:
    decoded = DIALECT.decode_request(message(role=role, content=content, cache_control={"type": "ephemeral"}))
    found = decoded.messages[0].parts[marked]
    assert isinstance(found, Text | Image)
    assert found.cache == CacheMark(extras={NAME: {}})


def test_a_mark_that_its_last_part_cannot_bear_stays_on_the_message() -> None:
    mark = {"type": "ephemeral"}
    for content in ([{"type": "text", "text": "a", "cache_control": mark}], [{"type": "hologram"}]):
        wire = message(role="user", content=content, cache_control={**mark, "ttl": "1h"})
        assert encode(DIALECT.decode_request(wire)) == (wire, {})


def test_a_mark_of_an_unknown_kind_comes_out_again() -> None:
    wire = {**body(), "cache_control": {"type": "persistent", "ttl": "1h"}}
    decoded = DIALECT.decode_request(wire)
    assert decoded.cache == CacheMark("1h", {NAME: {"type": "persistent"}})
    assert encode(decoded) == (wire, {})


@pytest.mark.parametrize(
    ("quirks", "key", "role"),
    [(Quirks(), "max_tokens", "system"), (Quirks("max_completion_tokens", True), "max_completion_tokens", "developer")],
)
def test_an_upstream_gets_the_names_that_it_knows(quirks: Quirks, key: str, role: str) -> None:
    value = request(Message("developer", [Text("S")]), max_tokens=7)
    assert encode(value, quirks) == (body(messages=[{"role": role, "content": "S"}], **{key: 7}), {})


def test_of_two_limits_the_newer_one_is_kept() -> None:
    decoded = DIALECT.decode_request(body(max_tokens=5, max_completion_tokens=7))
    assert decoded.max_tokens == 7
    assert encode(decoded) == (body(max_tokens=7), {"max_tokens": "info"})


@pytest.mark.parametrize(
    ("given", "stream_usage", "options", "losses"),
    [
        (True, True, {"include_usage": True}, {}),
        (False, True, {"include_usage": False}, {}),
        (True, False, None, {"stream_options.include_usage": "info"}),
        (False, False, None, {}),
        (None, True, None, {}),
    ],
)
def test_usage_is_asked_for_where_that_is_understood(
    given: bool | None, stream_usage: bool, options: Any, losses: dict[str, str]
) -> None:
    said, lost = encode(request(stream=True, include_usage=given), Quirks(stream_usage=stream_usage))
    assert (said.get("stream_options"), lost) == (options, losses)


@pytest.mark.parametrize(
    ("members", "said", "losses"),
    [
        ({"top_k": 40}, {}, {"top_k": "warning"}),
        ({"stop": []}, {}, {}),
        ({"cache": CacheMark()}, {}, {"cache_control": "info"}),
        ({"extras": {OTHER: {"container": "c", "speed": "fast"}}}, {}, {"container": "warning", "speed": "info"}),
        ({"reasoning": Reasoning(effort="max")}, {"reasoning_effort": "max"}, {}),
        (
            {"reasoning": Reasoning("enabled", budget_tokens=1024, display="omitted")},
            {},
            {"reasoning.budget_tokens": "warning", "reasoning.mode": "warning", "reasoning.display": "info"},
        ),
        (
            {"reasoning": Reasoning("enabled", "high", 1024)},
            {"reasoning_effort": "high"},
            {"reasoning.budget_tokens": "warning"},
        ),
        ({"reasoning": Reasoning("disabled")}, {}, {"reasoning.mode": "warning"}),
        (
            {"reasoning": Reasoning("adaptive", extras={OTHER: {"x": 1}})},
            {},
            {"reasoning.mode": "warning", "reasoning.x": "warning"},
        ),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}, {}),
        ({"service_tier": "batch"}, {}, {"service_tier": "info"}),
        ({"parallel_tool_calls": True}, {}, {"parallel_tool_calls": "info"}),
        ({"tool_choice": ToolChoice("auto")}, {}, {"tool_choice": "info"}),
        ({"tool_choice": ToolChoice("required")}, {}, {"tool_choice": "warning"}),
        (
            {"tools": [NativeTool(OTHER, {"type": "bash_20250124"})], "tool_choice": ToolChoice("named", "bash")},
            {},
            {"tools[0]": "warning", "tool_choice": "warning"},
        ),
        (
            {"tools": [FunctionTool("f", cache=CacheMark("5m"), extras={OTHER: {"defer_loading": True}})]},
            {"tools": [TOOL]},
            {"tools[0].cache_control": "info", "tools[0].defer_loading": "info"},
        ),
        (
            {"tools": [CustomTool("g")], "tool_choice": ToolChoice("auto", allowed=["g", "f"])},
            {
                "tools": [{"type": "custom", "custom": {"name": "g"}}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [
                            {"type": "custom", "custom": {"name": "g"}},
                            {"type": "function", "function": {"name": "f"}},
                        ],
                    },
                },
            },
            {},
        ),
        (
            {"output": OutputFormat("json_schema", {"type": "object"})},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}},
                }
            },
            {},
        ),
    ],
)
def test_settings_of_other_dialects_are_said_or_reported(
    members: dict[str, Any], said: dict[str, Any], losses: dict[str, str]
) -> None:
    assert encode(request(**members)) == (body(**said), losses)


def test_allowed_tools_may_be_named_without_their_kind_below() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "function", "name": "f"}]}}
    assert DIALECT.decode_request(body(tools=[TOOL], tool_choice=choice)).tool_choice == ToolChoice(
        "auto", allowed=["f"]
    )


AT = "messages[0].content[0]"


@pytest.mark.parametrize(
    ("given", "said", "losses"),
    [
        (Text("a", [Citation("url", "q")]), {"type": "text", "text": "a"}, {f"{AT}.citations[0]": "info"}),
        (Text("a", cache=CacheMark("1h")), {"type": "text", "text": "a"}, {f"{AT}.cache_control": "info"}),
        (Text("a", extras={OTHER: {"x": 1}}), {"type": "text", "text": "a"}, {f"{AT}.x": "warning"}),
        (Refusal("no"), {"type": "refusal", "refusal": "no"}, {}),
        (
            Image(Base64("QUJD"), cache=CacheMark()),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
            {f"{AT}.cache_control": "info"},
        ),
        (Audio("UklG"), {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}, {}),
        (
            Document(Base64("JVBE"), context="c", citations=True),
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {f"{AT}.context": "warning", f"{AT}.citations": "warning"},
        ),
        (
            Document(PlainText("The text."), title="T", context="C", cache=CacheMark()),
            {"type": "text", "text": "T\nC\n\nThe text."},
            {AT: "info", f"{AT}.cache_control": "info"},
        ),
        (Document(PlainText("The text.")), {"type": "text", "text": "The text."}, {AT: "info"}),
        (Document(Blocks([Text("a"), Text("b")])), {"type": "text", "text": "a\nb"}, {AT: "info"}),
        (
            SearchResult("https://s", "T", [Text("a")], extras={OTHER: {"x": 1}}),
            {"type": "text", "text": "T\nhttps://s\n\na"},
            {AT: "info", f"{AT}.x": "warning"},
        ),
        (Opaque(OTHER, {"type": "container_upload"}), None, {AT: "warning"}),
        (Opaque(OTHER, {}), None, {AT: "warning"}),
        (Thinking("hm"), None, {AT: "warning"}),
    ],
)
def test_parts_of_other_dialects_are_said_or_reported(given: Part, said: Any, losses: dict[str, str]) -> None:
    messages, lost = encode_parts("user", given, Text("and"))
    expected = [said, {"type": "text", "text": "and"}] if said else "and"
    assert (messages[0]["content"], lost) == (expected, losses)


@pytest.mark.parametrize(
    ("role", "given"),
    [
        ("user", Image(FileId("f"))),
        ("user", Audio("", id="audio_1")),
        ("user", Document(Url("https://example.com/a.pdf"))),
        ("user", Document(Blocks([Image(Url("u"))]))),
        ("user", ToolCall("c", "f")),
        ("user", ToolResult("c", [Image(FileId("f"))])),
        ("user", ToolResult("c", [Opaque(OTHER, {"type": "tool_reference"})])),
        ("user", Opaque(OTHER, {"type": "container_upload"})),
        ("assistant", Image(Url("u"))),
        ("assistant", Audio("UklG")),
        ("assistant", Opaque(OTHER, {"type": "web_search_tool_result"})),
        ("assistant", ToolCall("c", "f", kind="server")),
    ],
)
def test_content_that_cannot_be_said_is_refused(role: Any, given: Part) -> None:
    with pytest.raises(BadRequest) as caught:
        encode_parts(role, given)
    assert caught.value.code == "unsupported_content"
    assert (caught.value.param or "").startswith("messages[0].content")


def test_what_a_tool_gave_beside_texts_is_said_after_the_results() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    seen = ToolResult("c", [Text("Look:"), Image(Url("https://example.com/a.png"))])
    heard = ToolResult("d", [Audio("UklG", "wav"), Document(Base64("JVBE"))])
    sound = {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}
    file = {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"}}
    tools = [
        {"role": "tool", "tool_call_id": "c", "content": "Look:"},
        {"role": "tool", "tool_call_id": "d", "content": ""},
    ]
    media = {"role": "user", "content": [image, sound, file]}
    turns = [Message("user", [seen]), Message("user", [heard])]
    after: list[tuple[list[Message], list[Any]]] = [
        ([], []),
        ([Message("user", [Text("So?")])], [{"role": "user", "content": "So?"}]),
        ([Message("assistant", [Text("So.")])], [{"role": "assistant", "content": "So."}]),
    ]
    for more, said in after:
        encoded, lost = encode(request(*turns, *more))
        assert encoded["messages"] == [*tools, media, *said]
        where = ("messages[0].content[0].content[1]", "messages[1].content[0].content[0]",
                 "messages[1].content[0].content[1]")  # fmt: skip
        assert lost == dict.fromkeys(where, "warning")
    together, _ = encode(request(Message("user", [seen, Text("So?")])))
    assert together["messages"] == [tools[0], {"role": "user", "content": [image]}, {"role": "user", "content": "So?"}]


def test_tool_results_are_text_and_cannot_be_failures() -> None:
    result = ToolResult(
        "c", [Text("a"), Document(PlainText("b"))], is_error=True, cache=CacheMark(), extras={OTHER: {"x": 1}}
    )
    messages, losses = encode_parts("user", result)
    assert messages == [
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": t} for t in "ab"]},
    ]
    assert losses == {
        f"{AT}.is_error": "warning",
        f"{AT}.content[1]": "info",
        f"{AT}.x": "warning",
        f"{AT}.cache_control": "info",
    }
    assert encode_parts("user", ToolResult("c", [])) == ([{"role": "tool", "tool_call_id": "c", "content": ""}], {})


def test_what_the_assistant_said_is_one_message_with_its_calls_last() -> None:
    messages, losses = encode_parts(
        "assistant",
        Thinking("hm", "sig"),
        ToolCall("c", "f", "{}", cache=CacheMark(), extras={OTHER: {"caller": {}}}),
        Text("a"),
        Refusal("no"),
        Refusal("!"),
        Refusal("?", extras={NAME: {"x": 1}}),
        ToolCall("s", "web_search", kind="server"),
        Opaque(OTHER, {"type": "web_search_tool_result"}),
    )
    assert messages == [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "?", "x": 1}],
            "refusal": "no!",
            "reasoning_content": "hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "sig", "index": 0}],
            "tool_calls": [CALL],
        }
    ]
    assert losses == {
        "messages[0].content[1].caller": "info",
        "messages[0].content[1].cache_control": "info",
        "messages[0].content[2]": "info",
        "messages[0].content[5]": "info",
        "messages[0].content[6]": "warning",
        "messages[0].content[7]": "warning",
    }


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], {"content": ""}),
        ([Text("")], {"content": ""}),
        ([Thinking("hm")], {"content": "", "reasoning_content": "hm"}),
        ([Audio("", id="audio_1")], {"content": None, "audio": {"id": "audio_1"}}),
    ],
)
def test_a_message_of_the_assistant_always_has_content(parts: list[Part], said: dict[str, Any]) -> None:
    assert encode_parts("assistant", *parts) == ([{"role": "assistant", **said}], {})
