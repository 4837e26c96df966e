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
from wye.canon.request import ChatRequest, Message, OutputFormat
from wye.canon.seal import seal
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.dialects.bedrock_converse import DIALECT, encode_count_request, invoke_body
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadRequest, Unprocessable

USER = {"role": "user", "content": [{"text": "Hi"}]}
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SECRET = Thinking("", "", "r", "i", "openai")
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
NAME = "bedrock_converse"


def body(**members: Any) -> dict[str, Any]:
    return {"messages": [USER], **members}


def block(**members: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": [members]}])


def request(*messages: Message, model: str = "", **members: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=list(messages) or [Message("user", [Text("Hi")])], **members)


def encode(value: ChatRequest) -> tuple[dict[str, Any], dict[str, str]]:
    """What is said, and the severity of each loss by its field."""
    losses = Losses()
    said = DIALECT.encode_request(value, losses, Quirks())
    return said, {loss.field: loss.severity for loss in losses}


def encode_part(part: Part, role: Any = "user", model: str = "") -> tuple[Any, dict[str, str]]:
    said, losses = encode(request(Message(role, [part, Text("and")]), model=model, tools=[FunctionTool("n")]))
    content = said["messages"][0]["content"]
    assert content.pop() == {"text": "and"}
    return content, losses


@pytest.mark.parametrize(
    ("wrong", "error", "param"),
    [
        ({}, Unprocessable, "messages"),
        ({"messages": []}, Unprocessable, "messages"),
        ({"messages": "Hi"}, BadRequest, "messages"),
        ({"messages": ["Hi"]}, BadRequest, "messages[0]"),
        ({"messages": [{"content": []}]}, BadRequest, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": []}]}, BadRequest, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, BadRequest, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, BadRequest, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, BadRequest, "messages[0].content[0]"),
        (block(text=7), BadRequest, "messages[0].content[0].text"),
        (block(image=7), BadRequest, "messages[0].content[0].image"),
        (block(image={"source": {"bytes": 7}}), BadRequest, "messages[0].content[0].image.source.bytes"),
        (block(image={"source": {"s3Location": {}}}), BadRequest,
         "messages[0].content[0].image.source.s3Location.uri"),
        (block(toolUse={"name": "n"}), BadRequest, "messages[0].content[0].toolUse.toolUseId"),
        (block(toolResult={"toolUseId": "t", "content": 7}), BadRequest, "messages[0].content[0].toolResult.content"),
        (block(searchResult={"source": "s"}), BadRequest, "messages[0].content[0].searchResult.title"),
        (block(citationsContent={"citations": [7]}), BadRequest,
         "messages[0].content[0].citationsContent.citations[0]"),
        (body(system="S"), BadRequest, "system"),
        (body(inferenceConfig={"maxTokens": 0}), BadRequest, "inferenceConfig.maxTokens"),
        (body(inferenceConfig={"temperature": "hot"}), BadRequest, "inferenceConfig.temperature"),
        (body(inferenceConfig=7), BadRequest, "inferenceConfig"),
        (body(toolConfig={"tools": [7]}), BadRequest, "toolConfig.tools[0]"),
        (body(toolConfig={"tools": [{"toolSpec": {}}]}), BadRequest, "toolConfig.tools[0].toolSpec.name"),
        (body(toolConfig={"toolChoice": {}}), BadRequest, "toolConfig.toolChoice"),
        (body(toolConfig={"toolChoice": {"none": {}}}), BadRequest, "toolConfig.toolChoice"),
        (body(toolConfig={"toolChoice": {"any": 7}}), BadRequest, "toolConfig.toolChoice.any"),
        (body(toolConfig={"toolChoice": {"tool": {}}}), BadRequest, "toolConfig.toolChoice.tool.name"),
        (body(additionalModelRequestFields=7), BadRequest, "additionalModelRequestFields"),
        (body(outputConfig={"textFormat": {"type": "xml"}}), BadRequest, "outputConfig.textFormat.type"),
        (body(outputConfig={"textFormat": {}}), BadRequest, "outputConfig.textFormat.structure.jsonSchema"),
        (body(outputConfig={"textFormat": {"structure": {"jsonSchema": {"schema": "{"}}}}), BadRequest,
         "outputConfig.textFormat.structure.jsonSchema.schema"),
        (body(outputConfig={"textFormat": {"structure": {"jsonSchema": {"schema": "[]"}}}}), BadRequest,
         "outputConfig.textFormat.structure.jsonSchema.schema"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_path(wrong: dict[str, Any], error: type[BadRequest], param: str) -> None:
    with pytest.raises(error) as caught:
        DIALECT.decode_request(wrong)
    assert caught.value.param == param


def test_model_and_stream_are_in_the_url_but_may_be_in_the_body() -> None:
    assert DIALECT.decode_request(body()).model == ""
    assert DIALECT.decode_request(body(modelId="m")).model == "m"
    found = DIALECT.decode_request(body(model="n", stream=True))
    assert (found.model, found.stream) == ("n", True)
    assert encode(found)[0] == body()


def test_what_a_request_means() -> None:
    found = DIALECT.decode_request(
        body(
            system=[{"text": "S"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            inferenceConfig={"maxTokens": 5, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
            requestMetadata={"a": "b"},
            serviceTier={"type": "flex"},
            toolConfig={
                "tools": [
                    {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}, "strict": True}},
                    {"cachePoint": {"type": "default"}},
                    {"systemTool": {"name": "s"}},
                ],
                "toolChoice": {"any": {}},
            },
        )
    )
    assert found == ChatRequest(
        model="",
        messages=[Message("system", [Text("S", cache=CacheMark("1h"))]), Message("user", [Text("Hi")])],
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        stop=["x"],
        metadata={"a": "b"},
        service_tier="flex",
        tools=[
            FunctionTool("f", schema={"type": "object"}, strict=True, cache=CacheMark()),
            NativeTool(NAME, {"systemTool": {"name": "s"}}),
        ],
        tool_choice=ToolChoice("required"),
    )


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"image": {"format": "png", "source": {"bytes": "AA=="}}}, Image(Base64("AA==", "image/png"))),
        ({"image": {"source": {"bytes": "AA=="}}}, Image(Base64("AA=="))),
        ({"document": {"format": "docx", "name": "D", "source": {"bytes": "AA=="}}},
         Document(Base64("AA==", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"), "D")),
        ({"document": {"format": "md", "name": "D", "source": {"text": "t"}, "context": "c",
                       "citations": {"enabled": True}}},
         Document(PlainText("t", "text/markdown"), "D", "c", True)),
        ({"audio": {"format": "wav", "source": {"bytes": "AA=="}}}, Audio("AA==", "wav")),
        ({"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}, Thinking("t", "s")),
        ({"reasoningContent": {"redactedContent": "RW13SytBPT0="}}, Thinking(redacted="EmwK+A==")),
        ({"reasoningContent": {"reasoningText": {"text": "t", "signature": seal(SECRET)}}},
         Thinking("t", "", "r", "i", "openai")),
        ({"reasoningContent": {"reasoningText": {"text": "", "signature": seal(Opaque("d", {"type": "x"}))}}},
         Opaque("d", {"type": "x"})),
        ({"toolUse": {"toolUseId": "t", "name": "n", "input": {"a": [1, None]}}},
         ToolCall("t", "n", '{"a":[1,null]}')),
        ({"toolResult": {"toolUseId": "t", "content": [{"text": "r"}], "status": "error"}},
         ToolResult("t", [Text("r")], True)),
        ({"searchResult": {"source": "s", "title": "t", "content": [{"text": "r"}]}},
         SearchResult("s", "t", [Text("r")])),
        ({"citationsContent": {"content": [{"text": "r"}], "citations": [{"title": "T"}]}},
         Text("r", [Citation("block", title="T")])),
        ({"video": {"format": "mp4"}}, Opaque(NAME, {"video": {"format": "mp4"}})),
        ({"cachePoint": {"type": "default"}}, Opaque(NAME, {"cachePoint": {"type": "default"}})),
        ({}, Opaque(NAME, {})),
    ],
)  # fmt: skip
def test_what_a_block_means(value: dict[str, Any], part: Part) -> None:
    wire = body(messages=[{"role": "assistant", "content": [value]}])
    assert DIALECT.decode_request(wire).messages[0].parts == [part]


def test_what_a_guardrail_looks_at_is_a_text_to_other_dialects() -> None:
    wire = block(guardContent={"text": {"text": "Is it safe?", "qualifiers": ["query"], "weight": 1}})
    [message] = DIALECT.decode_request(wire).messages
    assert isinstance(message.parts[0], Text)
    assert message.parts[0].text == "Is it safe?"
    assert encode(request(message))[0] == wire


def test_json_in_a_tool_s_result_is_a_text_to_other_dialects() -> None:
    wire = block(toolResult={"toolUseId": "t", "content": [{"json": {"a": 1}}]})
    [message] = DIALECT.decode_request(wire).messages
    result = message.parts[0]
    assert isinstance(result, ToolResult)
    [text] = result.parts
    assert isinstance(text, Text)
    assert text.text == '{"a":1}'
    text.text = "no longer JSON"
    assert encode(request(message))[0]["messages"] == block(
        toolResult={"toolUseId": "t", "content": [{"text": "no longer JSON"}]}
    )["messages"]  # fmt: skip


@pytest.mark.parametrize("kind", ["toolResult", "guardContent"])
def test_what_may_not_nest_stays_whole_however_deep_it_goes(kind: str) -> None:
    deep: dict[str, Any] = {kind: {}}
    for _ in range(400):
        deep = {kind: {"toolUseId": "t", "content": [deep]}}
    wire = block(toolResult={"toolUseId": "t", "content": [deep, {"text": "x"}]})
    assert DIALECT.decode_request(wire).messages[0].parts == [ToolResult("t", [Opaque(NAME, deep), Text("x")])]


# What other dialects ask


@pytest.mark.parametrize(
    ("part", "blocks", "losses"),
    [
        (Image(Base64("/9j/4AA"), "high"), [{"image": {"format": "jpeg", "source": {"bytes": "/9j/4AA"}}}],
         {"messages[0].content[0].detail": "warning"}),
        (Image(Base64("AA", "image/jpg"), "auto"), [{"image": {"format": "jpeg", "source": {"bytes": "AA"}}}], {}),
        (Image(Url("s3://b/k.JPG")),
         [{"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://b/k.JPG"}}}}], {}),
        (Document(Base64("JVBERi0xLjQ"), "report_2.pdf"),
         [{"document": {"name": "report-2-pdf", "format": "pdf", "source": {"bytes": "JVBERi0xLjQ"}}}],
         {"messages[0].content[0].title": "info"}),
        (Document(PlainText("t"), ""),
         [{"document": {"name": "document 0-0", "format": "txt", "source": {"text": "t"}}}], {}),
        (Document(Base64("AA", "text/x-rust")),
         [{"document": {"name": "document 0-0", "format": "txt", "source": {"bytes": "AA"}}}], {}),
        (Document(Url("s3://b/k"), "K"),
         [{"document": {"name": "K", "source": {"s3Location": {"uri": "s3://b/k"}}}}], {}),
        (Document(Blocks([Text("a"), Text("b")]), "K"),
         [{"document": {"name": "K", "source": {"content": [{"text": "a"}, {"text": "b"}]}}}], {}),
        (SearchResult("s", "t", [Text("a", [Citation("block", "q")], CacheMark(), {"anthropic_messages": {"x": 1}})]),
         [{"searchResult": {"source": "s", "title": "t", "content": [{"text": "a"}]}}],
         {"messages[0].content[0].content[0].citations": "info",
          "messages[0].content[0].content[0].cache_control": "info",
          "messages[0].content[0].content[0].x": "warning"}),
        (Audio("AA", transcript="hi", id="a1"), [{"audio": {"format": "wav", "source": {"bytes": "AA"}}}],
         {"messages[0].content[0].id": "info", "messages[0].content[0].transcript": "warning"}),
        (Refusal("No."), [{"text": "No."}], {"messages[0].content[0].refusal": "info"}),
        (Opaque("openai_chat", {"type": "hologram"}), [], {"messages[0].content[0]": "warning"}),
        (ToolCall("t", "n", "free", "custom"),
         [{"toolUse": {"toolUseId": "t", "name": "n", "input": {"input": "free"}}}],
         {"messages[0].content[0].arguments": "warning"}),
        (ToolCall("t", "n", " "), [{"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}], {}),
        (ToolCall("t", "web_search", kind="server", extras={"anthropic_messages": {"type": "server_tool_use"}}), [],
         {"messages[0].content[0]": "warning"}),
        (ToolCall("t|/" * 2, "n"),
         [{"toolUse": {"toolUseId": "call_74a5d1c8208cfafe5f12cdafc8f9de0e", "name": "n", "input": {}}}],
         {"messages[0].content[0].id": "info"}),
        (Text("t", cache=CacheMark("1h", {"anthropic_messages": {"scope": "x"}})),
         [{"text": "t"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
         {"messages[0].content[0].cache_control.scope": "info"}),
        (Text("t", [Citation("char", "q", file_id="f", document=1, start=0, end=2, text_start=0, text_end=1)]),
         [{"citationsContent": {"content": [{"text": "t"}], "citations": [
             {"sourceContent": [{"text": "q"}], "location": {"documentChar": {"documentIndex": 1, "start": 0,
                                                                             "end": 2}}}]}}],
         {"messages[0].content[0].citations[0].file_id": "info",
          "messages[0].content[0].citations[0].text_start": "info"}),
        (Text("t", [Citation("container_file", file_id="f")]), [{"text": "t"}],
         {"messages[0].content[0].citations[0]": "info"}),
        (Text("t", [Citation("url", "q", source="s")]),
         [{"citationsContent": {"content": [{"text": "t"}],
                                "citations": [{"source": "s", "sourceContent": [{"text": "q"}]}]}}], {}),
        (ToolResult("t", [Text("a", cache=CacheMark("5m")), Opaque("openai_chat", {"type": "x"})]),
         [{"toolResult": {"toolUseId": "t", "content": [{"text": "a"}]}},
          {"cachePoint": {"type": "default", "ttl": "5m"}}],
         {"messages[0].content[0].content[1]": "warning"}),
        (Thinking("t", "s", id="rs_1"),
         [{"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}],
         {"messages[0].content[0].id": "info"}),
        (Thinking("t", redacted="gA", origin="openai"), [], {"messages[0].content[0]": "warning"}),
        (Thinking("t", redacted="data", origin="anthropic"),
         [{"reasoningContent": {"redactedContent": "ZGF0YQ=="}}],
         {"messages[0].content[0].text": "info"}),
    ],
)  # fmt: skip
def test_what_other_dialects_say_is_said_here_or_named(part: Part, blocks: list[Any], losses: dict[str, str]) -> None:
    assert encode_part(part, "assistant") == (blocks, losses)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        (Image(Url("https://x/a.png")), "messages[0].content[0].source"),
        (Image(Url("s3://bucket.of.mine/key")), "messages[0].content[0].source"),
        (Image(FileId("f")), "messages[0].content[0].source"),
        (Image(Base64("AAAA")), "messages[0].content[0].source"),
        (Document(Url("https://x/a.pdf")), "messages[0].content[0].source"),
        (Document(FileId("f")), "messages[0].content[0].source"),
        (Document(Base64("AAAA")), "messages[0].content[0].source"),
        (Document(Base64("AAAA", "application/zip")), "messages[0].content[0].source"),
        (Document(Blocks([Image(Base64("AA", "image/png"))])), "messages[0].content[0].source"),
        (SearchResult("s", "t", [Image(Base64("AA", "image/png"))]), "messages[0].content[0]"),
        (Audio("", id="a1"), "messages[0].content[0]"),
        (ToolResult("t", [Audio("AA")]), "messages[0].content[0].content[0]"),
        (ToolCall("t", "n", "{"), "messages[0].content[0].arguments"),
        (ToolCall("t", "n", "[1]"), "messages[0].content[0].arguments"),
    ],
)
def test_content_without_words_is_refused(part: Part, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        encode_part(part)
    assert caught.value.param == param


def test_a_message_of_which_nothing_is_left_is_refused_unless_the_model_said_it() -> None:
    lost = Opaque("openai_chat", {"type": "x"})
    with pytest.raises(BadRequest) as caught:
        encode(request(Message("user", [lost])))
    assert caught.value.param == "messages[0]"
    said, _ = encode(request(Message("user", [Text("a")]), Message("assistant", [lost]), Message("user", [Text("b")])))
    assert said["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]


def test_cache_points_follow_what_they_mark_when_turns_are_joined() -> None:
    mark = CacheMark()
    said, losses = encode(
        request(
            Message("user", [Text("a", cache=mark)]),
            Message("user", [ToolResult("t", [Text("r")], cache=mark), ToolResult("u", [])]),
        )
    )
    kinds = [next(iter(block)) for block in said["messages"][0]["content"]]
    assert kinds == ["toolResult", "cachePoint", "toolResult", "text", "cachePoint"]
    assert losses == {}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([Message("user", [Text("a")])], [{"text": "a"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]),
        ([Message("user", [Text("a", cache=CacheMark())])], [{"text": "a"}, {"cachePoint": {"type": "default"}}]),
        ([Message("user", [])], []),
    ],
)
def test_a_mark_on_the_whole_request_is_a_point_at_its_end(messages: list[Message], expected: list[Any]) -> None:
    said, losses = encode(request(*messages, cache=CacheMark("1h")))
    assert said["messages"][-1]["content"] == expected
    assert losses == {}


def test_a_model_without_a_cache_is_not_pointed_at_one() -> None:
    tool = FunctionTool("f", cache=CacheMark())
    said, losses = encode(
        request(Message("user", [Text("a", cache=CacheMark())]), model=LLAMA, cache=CacheMark(), tools=[tool])
    )
    assert "cachePoint" not in str(said)
    assert losses == {
        "messages[0].content[0].cache_control": "info",
        "cache_control": "info",
        "tools[0].cache_control": "info",
    }


@pytest.mark.parametrize(
    ("thought", "model", "blocks", "losses"),
    [
        (Thinking("t"), CLAUDE, [], {"messages[0].content[0]": "warning"}),
        (Thinking("t", "s", origin="anthropic"), CLAUDE,
         [{"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}], {}),
        (Thinking("t"), LLAMA, [{"reasoningContent": {"reasoningText": {"text": "t"}}}], {}),
        (Thinking("t", "s"), LLAMA, [{"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}], {}),
        (Thinking("t", "s", origin="anthropic"), LLAMA, [{"reasoningContent": {"reasoningText": {"text": "t"}}}],
         {"messages[0].content[0].signature": "info"}),
        (Thinking("t", origin="anthropic"), LLAMA, [{"reasoningContent": {"reasoningText": {"text": "t"}}}], {}),
        (Thinking(redacted="r", origin="anthropic"), LLAMA, [], {"messages[0].content[0]": "warning"}),
    ],
)  # fmt: skip
def test_a_model_gets_the_thoughts_that_it_can_read(
    thought: Thinking, model: str, blocks: list[Any], losses: dict[str, str]
) -> None:
    assert encode_part(thought, "assistant", model) == (blocks, losses)


@pytest.mark.parametrize(
    ("citation", "model", "said"),
    [
        (Citation("url", url="https://x"), "", True),
        (Citation("url", url="https://x"), CLAUDE, False),
        (Citation("char", document=0), CLAUDE, True),
        (Citation("char", document=0), LLAMA, False),
    ],
)
def test_citations_go_to_models_that_read_them(citation: Citation, model: str, said: bool) -> None:
    [block], losses = encode_part(Text("t", [citation]), "assistant", model)
    assert ("citationsContent" in block) is said
    assert losses == ({} if said else {"messages[0].content[0].citations[0]": "info"})


def test_a_citation_whose_pieces_changed_is_one_piece() -> None:
    cited = {"sourceContent": [{"text": "ab"}, {"text": "c"}]}
    wire = body(messages=[{"role": "user", "content": [{"citationsContent": {"content": [], "citations": [cited]}}]}])
    decoded = DIALECT.decode_request(wire)
    text = decoded.messages[0].parts[0]
    assert isinstance(text, Text)
    text.citations[0].quote = "abcd"
    assert encode(decoded)[0]["messages"][0]["content"][0]["citationsContent"]["citations"] == [
        {"sourceContent": [{"text": "abcd"}]}
    ]
    text.citations[0].extras = {NAME: {"~": {"sourceContent": ["x"]}}}
    assert encode(decoded)[0]["messages"][0]["content"][0]["citationsContent"]["citations"] == [
        {"sourceContent": [{"text": "abcd"}]}
    ]


def test_system_prompts_are_lifted_as_far_as_they_lead() -> None:
    said, losses = encode(
        request(
            Message("system", [Text("a"), Text("")], name="n"),
            Message("developer", [Text("b")]),
            Message("user", [Text("c")]),
            Message("developer", [Text("d")]),
            Message("user", [Text("e")], name="m"),
        )
    )
    assert said["system"] == [{"text": "a"}, {"text": "b"}]
    assert [message["role"] for message in said["messages"]] == ["user", "system", "user"]
    assert losses == {"messages[0].name": "warning", "messages[4].name": "warning"}
    said, _ = encode(request(Message("system", [Image(Base64("AA", "image/png"))]), Message("user", [Text("c")])))
    assert "system" not in said
    assert said["messages"][0]["role"] == "system"
    assert encode(request(Message("system", [Text("a")])))[0] == {"system": [{"text": "a"}], "messages": []}


def test_members_of_other_dialects_beside_a_system_prompt_are_named() -> None:
    losses = Losses()
    system = Message("system", [Text("Be brief.")], extras={"openai_chat": {"mood": "grim"}})
    wire = DIALECT.encode_request(
        ChatRequest(model="", messages=[system, Message("user", [Text("Hi")])]), losses, Quirks()
    )
    assert wire["system"] == [{"text": "Be brief."}]
    assert [loss.field for loss in losses] == ["messages[0].mood"]


def test_a_guarded_image_may_be_in_the_system_prompt() -> None:
    wire = body(system=[{"guardContent": {"image": {"format": "png", "source": {"bytes": "AA=="}}}}])
    assert encode(DIALECT.decode_request(wire))[0] == wire


@pytest.mark.parametrize(
    ("settings", "said", "losses"),
    [
        ({"temperature": 1.5}, {"inferenceConfig": {"temperature": 1}}, {"temperature": "warning"}),
        ({"stop": []}, {}, {}),
        ({"service_tier": "standard_only"}, {"serviceTier": {"type": "default"}}, {}),
        ({"service_tier": "auto"}, {}, {"service_tier": "info"}),
        ({"metadata": {"a": "b", "c": 1, "d": "é", "": "x" * 257}}, {"requestMetadata": {"a": "b"}},
         {"metadata.c": "info", "metadata.d": "info", "metadata.": "info"}),
        ({"metadata": {"a": 1}}, {}, {"metadata.a": "info"}),
        ({"seed": 1, "n": 2, "logprobs": True, "verbosity": "low", "user": "u", "store": True}, {},
         {"seed": "warning", "n": "warning", "logprobs": "warning", "verbosity": "warning", "user": "info",
          "store": "info"}),
        ({"output": OutputFormat("text")}, {}, {}),
        ({"output": OutputFormat("json_object")}, {}, {"output": "warning"}),
        ({"output": OutputFormat("json_schema", {"a": 1}, strict=False)},
         {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"a":1}'}}}}},
         {"output.strict": "info"}),
        ({"output": OutputFormat("json_schema", {"a": 1}, extras={NAME: {"~": {"schema": "{"}}})},
         {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"a":1}'}}}}},
         {}),
        ({"extras": {"openai_chat": {"modalities": ["text"]}}}, {}, {"modalities": "warning"}),
    ],
)  # fmt: skip
def test_settings_of_other_dialects(settings: dict[str, Any], said: dict[str, Any], losses: dict[str, str]) -> None:
    assert encode(request(**settings)) == (body(**said), losses)


def test_metadata_has_room_for_sixteen_tags() -> None:
    said, losses = encode(request(metadata={f"k{i}": "v" for i in range(18)}))
    assert len(said["requestMetadata"]) == 16
    assert losses == {"metadata.k16": "info", "metadata.k17": "info"}


def test_tags_that_the_service_would_refuse_are_its_to_refuse() -> None:
    wire = body(requestMetadata={**{f"k{i}": "v" for i in range(17)}, "né": "v"})
    decoded = DIALECT.decode_request(wire)
    assert decoded.metadata == {f"k{i}": "v" for i in range(16)}
    assert encode(decoded) == (wire, {})


F, G = FunctionTool("f", "d"), FunctionTool("g")
F_SPEC = {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
G_SPEC = {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
CALLED = [
    Message("user", [Text("a")]),
    Message("assistant", [ToolCall("c", "g", "{}")]),
    Message("user", [ToolResult("c", [Text("r")])]),
]


@pytest.mark.parametrize(
    ("messages", "members", "said", "losses"),
    [
        ([], {"tools": [F], "tool_choice": ToolChoice("auto")}, {"tools": [F_SPEC], "toolChoice": {"auto": {}}}, {}),
        ([], {"tools": [F], "tool_choice": ToolChoice("required")},
         {"tools": [F_SPEC], "toolChoice": {"any": {}}}, {}),
        ([], {"tools": [F], "tool_choice": ToolChoice("named", "f")},
         {"tools": [F_SPEC], "toolChoice": {"tool": {"name": "f"}}}, {}),
        ([], {"tools": [F, G], "tool_choice": ToolChoice("required", allowed=["g"])},
         {"tools": [G_SPEC], "toolChoice": {"any": {}}}, {"tool_choice.allowed": "warning"}),
        ([], {"tools": [F], "tool_choice": ToolChoice("none")}, None, {"tool_choice": "info"}),
        (CALLED, {"tools": [F, G], "tool_choice": ToolChoice("none")}, {"tools": [F_SPEC, G_SPEC]},
         {"tool_choice": "warning"}),
        ([], {"tool_choice": ToolChoice("auto")}, None, {"tool_choice": "info"}),
        ([], {"tools": [CustomTool("c"), NativeTool("anthropic_messages", {"type": "bash"})],
              "tool_choice": ToolChoice("required")}, None,
         {"tools[0]": "warning", "tools[1]": "warning", "tool_choice": "info"}),
        (CALLED, {}, {"tools": [G_SPEC]}, {"tools": "warning"}),
        (CALLED, {"tools": [CustomTool("c")], "tool_choice": ToolChoice("required")}, {"tools": [G_SPEC]},
         {"tools[0]": "warning", "tool_choice": "info", "tools": "warning"}),
        ([], {"tools": [F], "tool_choice": ToolChoice("auto", extras={"openai_chat": {"x": 1}})},
         {"tools": [F_SPEC], "toolChoice": {"auto": {}}}, {"tool_choice.x": "warning"}),
    ],
)  # fmt: skip
def test_tools_and_the_choice_among_them(
    messages: list[Message], members: dict[str, Any], said: dict[str, Any] | None, losses: dict[str, str]
) -> None:
    found, lost = encode(request(*messages, **members))
    assert found.get("toolConfig") == said
    assert lost == losses


# Counting


def test_an_input_is_counted_without_the_settings_of_an_answer() -> None:
    assert DIALECT.decode_count is not None
    wire = {"input": {"converse": {**body(), "system": [{"text": "S"}]}}}
    decoded = DIALECT.decode_count(wire)
    assert encode_count_request(decoded, Losses(), Quirks()) == wire
    decoded.max_tokens, decoded.temperature = 5, 0.5
    assert encode_count_request(decoded, Losses(), Quirks()) == wire
    assert invoke_body(wire) is None
    assert invoke_body({"input": {"invokeModel": {"body": "eyJhIjoxfQ=="}}}) == b'{"a":1}'


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({}, "input"),
        ({"input": {}}, "input.converse"),
        ({"input": {"converse": {"messages": [7]}}}, "input.converse.messages[0]"),
    ],
)
def test_an_input_that_cannot_be_counted_is_refused(wrong: dict[str, Any], param: str) -> None:
    assert DIALECT.decode_count is not None
    with pytest.raises(BadRequest) as caught:
        DIALECT.decode_count(wrong)
    assert caught.value.param == param


@pytest.mark.parametrize("given", [{}, {"body": "{"}, {"body": "é"}])
def test_a_body_to_be_counted_is_base64(given: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        invoke_body({"input": {"invokeModel": given}})
    assert caught.value.param == "input.invokeModel.body"
