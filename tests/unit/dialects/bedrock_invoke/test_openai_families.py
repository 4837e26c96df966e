"""The families whose bodies are OpenAI's, more or less: what each has other words for, and what it has none for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.dialects.bedrock_invoke.wire import as_sse, chunks, decoded, encode, request
from wye.canon.events import Aside, End, Event, Failure, Finish, PartEnd, PartStart, Start, TextDelta, UsageReport
from wye.canon.fold import fold
from wye.canon.loss import Losses
from wye.canon.parts import Audio, Base64, Image, Opaque, Part, Text, Thinking, ToolCall, ToolResult, Url
from wye.canon.request import Message, OutputFormat
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.ai21 import DIALECT as AI21
from wye.dialects.bedrock_invoke.mistral import DIALECT as MISTRAL
from wye.dialects.bedrock_invoke.openai import DIALECT as OPENAI
from wye.dialects.bedrock_invoke.writer import DIALECT as WRITER
from wye.dialects.dialect import Dialect
from wye.kernel import sse
from wye.kernel.errors import BadAnswer, BadRequest, StreamCut

ALL = pytest.mark.parametrize("dialect", [MISTRAL, AI21, WRITER, OPENAI], ids=lambda dialect: dialect.name)
NARROW = pytest.mark.parametrize("dialect", [MISTRAL, AI21, WRITER], ids=lambda dialect: dialect.name)
WITH_TOOLS = pytest.mark.parametrize("dialect", [MISTRAL, WRITER], ids=lambda dialect: dialect.name)

USER = {"role": "user", "content": "Hi"}
F, G = FunctionTool("f", schema={"type": "object"}), FunctionTool("g")
PIXEL = Image(Base64("AA==", "image/png"))
SETTINGS: dict[str, Any] = {
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["END"],
    "n": 2,
    "seed": 7,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "top_k": 5,
}


@ALL
def test_the_url_names_the_model_and_asks_for_a_stream(dialect: Dialect) -> None:
    value = dialect.decode_request({"messages": [USER], "model": "m", "stream": True})
    assert (value.model, value.stream) == ("m", True)
    assert encode(dialect, value) == ({"messages": [USER]}, {})
    assert dialect.decode_request({"messages": [USER]}).model == ""


@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        (MISTRAL, ["max_tokens", "temperature", "top_p", "stop"]),
        (AI21, ["max_tokens", "temperature", "top_p", "stop", "n", "frequency_penalty", "presence_penalty"]),
        (WRITER, ["max_tokens", "temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty"]),
        (OPENAI, [name for name in SETTINGS if name != "top_k"]),
    ],
)
def test_every_setting_is_said_or_named_as_lost(dialect: Dialect, said: list[str]) -> None:
    body, losses = encode(dialect, request(**SETTINGS))
    assert {name: value for name, value in body.items() if name != "messages"} == {n: SETTINGS[n] for n in said}
    assert losses == {name: "warning" for name in SETTINGS if name not in said}


@ALL
def test_members_of_its_own_are_nobody_else_s(dialect: Dialect) -> None:
    value = dialect.decode_request({"messages": [USER], "new": 1})
    assert encode(dialect, value) == ({"messages": [USER], "new": 1}, {})
    other = WRITER if dialect is not WRITER else MISTRAL
    body, losses = encode(other, value)
    assert body == {"messages": [USER]}
    assert losses == {"new": "warning"}


@NARROW
@pytest.mark.parametrize("part", [Audio("AA=="), Image(Url("https://x/a.png")), ToolCall("c", "f")])
def test_content_without_words_is_refused(dialect: Dialect, part: Part) -> None:
    sayable = {"bedrock_mistral": (Image, ToolCall), "bedrock_writer": (ToolCall,), "bedrock_ai21": ()}[dialect.name]
    message = Message("assistant" if isinstance(part, ToolCall) else "user", [Text("a"), part])
    if isinstance(part, sayable):
        assert encode(dialect, request(message))[1] == {}
        return
    with pytest.raises(BadRequest) as caught:
        encode(dialect, request(message))
    assert (caught.value.param, caught.value.code) == ("messages[0].content[1]", "unsupported_content")


@NARROW
def test_what_its_messages_cannot_carry_is_named(dialect: Dialect) -> None:
    parts: list[Part] = [Thinking("hm", "sig"), Text("a"), Opaque("openai_responses", {"type": "x"}), Text("b")]
    messages = [Message("user", [Text("Hi")], name="ann"), Message("assistant", parts), Message("user", [Text("So")])]
    body, losses = encode(dialect, request(*messages))
    said = body["messages"][1]["content"]
    # Where images may stand among them, texts are parts of their own.
    assert said == ([{"type": "text", "text": text} for text in "ab"] if dialect is MISTRAL else "a\nb")
    assert losses == {
        "messages[0].name": "warning",
        "messages[1].content[0]": "warning",
        "messages[1].content[2]": "warning",
    }


def test_mistral_sees_images_between_its_texts() -> None:
    body, losses = encode(MISTRAL, request(Message("user", [Text("a"), PIXEL, Text("b")])))
    assert [part["type"] for part in body["messages"][0]["content"]] == ["text", "image_url", "text"]
    assert losses == {}


# Tools


@WITH_TOOLS
def test_calls_and_the_text_of_their_results_are_said(dialect: Dialect) -> None:
    result = ToolResult("c", [Text("1"), Text("2"), Thinking("hm")])
    messages = [Message("assistant", [ToolCall("c", "f", "{}")]), Message("user", [result])]
    body, losses = encode(dialect, request(*messages, tools=[F]))
    assert body["messages"][1] == {"role": "tool", "tool_call_id": "c", "content": "1\n2"}
    assert body["messages"][0]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert losses == {"messages[1].content[0].content[2]": "warning"}
    with pytest.raises(BadRequest) as caught:
        encode(dialect, request(messages[0], Message("user", [ToolResult("c", [PIXEL])])))
    assert caught.value.param == "messages[1].content[0].content[0]"


@WITH_TOOLS
def test_only_functions_are_tools(dialect: Dialect) -> None:
    tools = [CustomTool("c"), NativeTool("anthropic_messages", {"type": "web_search"}), F]
    body, losses = encode(dialect, request(tools=tools, parallel_tool_calls=False))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f"]
    assert losses == {"tools[0]": "warning", "tools[1]": "warning", "parallel_tool_calls": "warning"}
    assert encode(dialect, request(parallel_tool_calls=False)) == ({"messages": [USER]}, {})


@pytest.mark.parametrize(
    ("dialect", "choice", "said", "names", "losses"),
    [
        (MISTRAL, None, None, ["f", "g"], {}),
        (MISTRAL, ToolChoice("auto"), "auto", ["f", "g"], {}),
        (MISTRAL, ToolChoice("none"), "none", ["f", "g"], {}),
        (MISTRAL, ToolChoice("required"), "any", ["f", "g"], {}),
        (MISTRAL, ToolChoice("named", "g"), "any", ["g"], {"tool_choice": "info", "tool_choice.allowed": "info"}),
        (MISTRAL, ToolChoice("required", allowed=["f"]), "any", ["f"], {"tool_choice.allowed": "info"}),
        (WRITER, ToolChoice("required"), "required", ["f", "g"], {}),
        (WRITER, ToolChoice("named", "g"), {"type": "function", "function": {"name": "g"}}, ["f", "g"], {}),
        (WRITER, ToolChoice("auto", allowed=["f"]), "auto", ["f"], {"tool_choice.allowed": "info"}),
    ],
)
def test_a_choice_is_said_or_is_the_only_one_left(
    dialect: Dialect, choice: ToolChoice | None, said: Any, names: list[str], losses: dict[str, str]
) -> None:
    body, lost = encode(dialect, request(tools=[F, G], tool_choice=choice))
    assert body.get("tool_choice") == said
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert lost == losses
    again = dialect.decode_request(body)
    assert (again.tool_choice is None) == (choice is None)
    if choice is not None and choice.mode != "named":
        assert again.tool_choice == ToolChoice(choice.mode)


def test_jamba_has_no_tools_and_none_of_them_formats() -> None:
    for members in ({"tools": [F]}, {"output": OutputFormat("json_object")}):
        for dialect in (AI21,) if "tools" in members else (AI21, MISTRAL, WRITER):
            with pytest.raises(BadRequest) as caught:
                encode(dialect, request(**members))
            assert caught.value.code == "unsupported_content"


# Answers


def test_mistral_tells_why_it_ended_in_either_member() -> None:
    message = {"role": "assistant", "content": "a"}
    for ends in (
        {"stop_reason": "length"},
        {"finish_reason": "length"},
        {"stop_reason": None, "finish_reason": "length"},
        {"stop_reason": "length", "finish_reason": None},
    ):
        answer = MISTRAL.decode_response({"choices": [{"index": 0, "message": message, **ends}]})
        assert (answer.choices[0].parts, answer.choices[0].finish_reason) == ([Text("a")], "length")
        assert answer.choices[0].extras is None


@pytest.mark.parametrize("choices", [None, "?", ["?"], [1]])
def test_an_answer_without_choices_is_none(choices: Any) -> None:
    body = {} if choices is None else {"choices": choices}
    for dialect in (MISTRAL, AI21, WRITER, OPENAI):
        with pytest.raises(BadAnswer):
            dialect.decode_response(body)


def test_jurassic_is_understood() -> None:
    completions = [
        {"data": {"text": "a"}, "finishReason": {"reason": "endoftext"}},
        {"data": {"text": "b"}, "finishReason": {"reason": "length", "length": 9}},
        {"data": {"text": "c"}},
    ]
    answer = AI21.decode_response({"id": 1234, "prompt": {"text": "Hi"}, "completions": completions})
    assert answer.id == "1234"
    assert [(choice.parts, choice.finish_reason) for choice in answer.choices] == [
        ([Text("a")], "stop"),
        ([Text("b")], "length"),
        ([Text("c")], None),
    ]


@pytest.mark.parametrize("completion", ["?", {}, {"data": {}}, {"data": {"text": None}, "finishReason": "stop"}])
def test_a_completion_without_a_text_is_a_bad_answer(completion: Any) -> None:
    with pytest.raises(BadAnswer, match=r"completions\[0\]"):
        AI21.decode_response({"id": 1, "completions": [completion]})


# Streams


EVENTS: list[Event] = [
    Start("x", "m", 5),
    PartStart(0, Text("")),
    TextDelta(0, "a"),
    TextDelta(0, "b"),
    PartEnd(0),
    Finish("length"),
    UsageReport(Usage(3, 2)),
    End(),
]


@ALL
def test_a_stream_comes_out_as_it_came_in(dialect: Dialect) -> None:
    said = chunks(dialect, EVENTS)
    told = fold(decoded(dialect, *said))
    assert told.choices[0].parts == [Text("ab")]
    assert told.choices[0].finish_reason == "length"
    assert told.usage is not None
    assert (told.usage.input_tokens, told.usage.output_tokens) == (3, 2)


def test_mistral_s_chunks_have_messages_and_a_reason_of_their_own() -> None:
    said = chunks(MISTRAL, EVENTS)
    for chunk in said:
        for choice in chunk["choices"]:
            assert "delta" not in choice
            assert choice["stop_reason"] == choice["finish_reason"]
    assert [choice["message"].get("content") for chunk in said for choice in chunk["choices"]][1:3] == ["a", "b"]
    assert [chunk["choices"][0]["stop_reason"] for chunk in said if chunk["choices"]][-1] == "length"


def test_mistral_s_own_chunks_are_read_as_they_are() -> None:
    def chunk(text: str, reason: str | None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "stop_reason": reason}]}

    events = decoded(MISTRAL, chunk("a", None), chunk("b", None), chunk("", "stop"))
    assert [type(event) for event in events] == [Start, PartStart, TextDelta, TextDelta, PartEnd, Finish, End]
    assert not any(isinstance(event, Aside) for event in events)


@ALL
@pytest.mark.parametrize("wire", [b"data: {\n\n", b"data: [1]\n\n"])
def test_a_chunk_that_makes_no_sense_is_one_failure(dialect: Dialect, wire: bytes) -> None:
    decoder = as_sse(dialect).stream_decoder()
    (failure,) = decoder.feed(wire + wire)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadAnswer)
    assert decoder.feed(wire) == decoder.close() == []


@ALL
def test_a_stream_that_breaks_off_does_not_look_complete(dialect: Dialect) -> None:
    said = [chunk for chunk in chunks(dialect, EVENTS) if chunk["choices"]][:-1]
    *_, failure = decoded(dialect, *said)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, StreamCut)


@ALL
def test_its_own_terminator_ends_a_stream_of_events(dialect: Dialect) -> None:
    wire = b"".join(as_sse(dialect).stream_encoder(request(), Losses()).encode(event) for event in EVENTS)
    assert wire.endswith(b"data: [DONE]\n\n")
    decoder = as_sse(dialect).stream_decoder()
    assert isinstance(decoder.feed(wire)[-1], End)
    assert decoder.feed(sse.frame(b"{}")) == decoder.close() == []
