"""Command R: tools whose parameters are a flat list, calls without ids, and a last message that stands apart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.dialects.bedrock_invoke.wire import as_sse, chunks, decoded, encode, request
from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    End,
    Event,
    Failure,
    Finish,
    PartEnd,
    PartStart,
    Ping,
    RefusalDelta,
    Start,
    TextDelta,
)
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import CacheMark, Image, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult, Url
from wye.canon.request import ChatRequest, Message, OutputFormat
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.dialects.bedrock_invoke.cohere import DIALECT
from wye.kernel.errors import BadAnswer, BadRequest, LimitExceeded, UpstreamRefused

FOREIGN = {"openai_chat": {"new": 1}}
CALL = {"name": "f", "parameters": {"a": 1}}
RESULT = {"call": CALL, "outputs": [{"text": "x"}]}
F = FunctionTool("f", "Does.", {"type": "object", "properties": {}})


def said(*messages: Message, **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return encode(DIALECT, request(*messages, **members))


def again(body: dict[str, Any]) -> dict[str, Any]:
    out, losses = encode(DIALECT, DIALECT.decode_request(body))
    assert losses == {}
    return out


# Messages


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "message"),
        ({"message": 1}, "message"),
        ({"message": "Hi", "chat_history": [{"message": "x"}]}, "chat_history[0].role"),
        ({"message": "Hi", "chat_history": [{"role": "user"}]}, "chat_history[0].role"),
        ({"message": "Hi", "chat_history": [{"role": "CHATBOT", "tool_calls": [{}]}]},
         "chat_history[0].tool_calls[0].name"),
        ({"message": "Hi", "tool_results": [{"outputs": []}]}, "tool_results[0].call"),
        ({"message": "Hi", "tool_results": [{**RESULT, "outputs": ["x"]}]}, "tool_results[0].outputs[0]"),
        ({"message": "Hi", "tools": [{}]}, "tools[0].name"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_path(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        DIALECT.decode_request(body)
    assert caught.value.param == param


def test_each_turn_has_its_role_and_the_last_is_the_message() -> None:
    messages = [
        Message("developer", [Text("Be.")]),
        Message("user", [Text("a"), Text("b")], name="ann", extras=FOREIGN),
        Message("assistant", [Thinking("hm"), Text("c"), Refusal("d"), Opaque("openai_responses", {"type": "x"})]),
        Message("system", [Text("Be so.")]),
        Message("user", [Text("e")]),
    ]
    body, losses = said(*messages)
    assert body == {
        "preamble": "Be.\nBe so.",
        "chat_history": [{"role": "USER", "message": "a\nb"}, {"role": "CHATBOT", "message": "c\nd"}],
        "message": "e",
    }
    assert losses == {
        "messages[1].name": "warning",
        "messages[1].new": "warning",
        "messages[2].content[0]": "warning",
        "messages[2].content[2].refusal": "info",
        "messages[2].content[3]": "warning",
        "messages[3].role": "warning",
    }


@pytest.mark.parametrize("messages", [[], [Message("assistant", [Text("a")])], [Message("system", [Text("a")])]])
def test_a_conversation_must_end_with_the_user(messages: list[Message]) -> None:
    with pytest.raises(BadRequest, match="does not end with the user") as caught:
        encode(DIALECT, ChatRequest(model="", messages=messages))
    assert caught.value.code == "unsupported_content"


@pytest.mark.parametrize(
    ("part", "param"),
    [(Image(Url("https://x/a.png")), "messages[0].content[0]"), (ToolResult("c", []), "messages[0].content[0]")],
)
def test_what_it_cannot_say_is_refused(part: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        said(Message("user", [part]))
    assert (caught.value.param, caught.value.code) == (param, "unsupported_content")
    with pytest.raises(BadRequest) as caught:
        said(output=OutputFormat("json_object"))
    assert caught.value.param == "output"


@pytest.mark.parametrize(
    "body",
    [
        # The calls that a result answers are told by it alone: with the message, or after a history, or with neither.
        {"message": "Well?", "tool_results": [RESULT]},
        {"message": "", "tool_results": [RESULT]},
        {"message": "Well?", "chat_history": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "message": "b"}],
         "tool_results": [RESULT, {**RESULT, "call": {"name": "g", "parameters": {}}}]},
        {"message": "", "chat_history": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "message": "b"}],
         "tool_results": [RESULT]},
        {"message": "", "chat_history": [{"role": "USER", "message": "a"}], "tool_results": [RESULT]},
        # Or they are in the history.
        {"message": "", "chat_history": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "tool_calls": [CALL]}],
         "tool_results": [RESULT]},
        {"message": "More", "chat_history": [{"role": "CHATBOT", "tool_calls": [CALL]}], "tool_results": [RESULT]},
        {"message": "So?", "chat_history": [{"role": "CHATBOT", "tool_calls": [CALL]},
                                            {"role": "TOOL", "tool_results": [RESULT]}]},
        # Outputs of more members, of an odd one, of none; unknown members everywhere.
        {"message": "", "chat_history": [{"role": "CHATBOT", "message": "I look.", "new": 1,
                                          "tool_calls": [{**CALL, "new": 2}]}],
         "tool_results": [{**RESULT, "outputs": [{"text": 1}, {"text": "a", "url": "b"}, {}], "new": 3}], "new": 4},
    ],
)  # fmt: skip
def test_calls_and_results_come_out_as_they_came_in(body: dict[str, Any]) -> None:
    if "new" in body:
        body["tool_results"][0]["call"] = {**CALL, "new": 2}
    assert again(body) == body


def test_a_result_answers_the_call_of_its_parameters_or_of_its_name() -> None:
    other = {"name": "f", "parameters": {"a": 2}}
    history = [{"role": "CHATBOT", "tool_calls": [CALL, other, other]}]
    body = {"message": "", "chat_history": history, "tool_results": [
        {"call": other, "outputs": []}, {"call": {"name": "f", "parameters": {"a": 3}}, "outputs": []},
        {"call": other, "outputs": []},
    ]}  # fmt: skip
    value = DIALECT.decode_request(body)
    assert [part.call_id for part in value.messages[-1].parts if isinstance(part, ToolResult)] == [
        "call_1",
        "call_0",
        "call_2",
    ]


def test_what_a_result_cannot_carry_is_named() -> None:
    call = Message("assistant", [ToolCall("c", "f", '{"a":1}')])
    parts: list[Any] = [Text("x"), Opaque("openai_responses", {"type": "y"})]
    result = ToolResult("c", parts, is_error=True, cache=CacheMark(), extras=FOREIGN)
    body, losses = said(Message("user", [Text("Hi")]), call, Message("user", [result]))
    assert body["tool_results"] == [RESULT]
    at = "messages[2].content[0]"
    assert losses == {
        f"{at}.is_error": "warning",
        f"{at}.cache_control": "info",
        f"{at}.new": "warning",
        f"{at}.content[1]": "warning",
    }


def test_a_result_that_is_no_longer_an_object_is_text() -> None:
    body: dict[str, Any] = {"message": "", "tool_results": [{**RESULT, "outputs": [{"a": 1}]}]}
    value = DIALECT.decode_request(body)
    (result,) = value.messages[-1].parts
    assert isinstance(result, ToolResult)
    (text,) = result.parts
    assert isinstance(text, Text)
    for changed in ("cut {", "[1]"):
        text.text = changed
        assert encode(DIALECT, value)[0]["tool_results"][0]["outputs"] == [{"text": changed}]


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"'])
def test_arguments_that_are_no_object_are_refused_and_in_an_answer_passed_on(arguments: str) -> None:
    call = ToolCall("c", "f", arguments)
    with pytest.raises(BadRequest) as caught:
        said(Message("assistant", [call]), Message("user", [Text("Hi")]))
    assert caught.value.param == "messages[0].content[0].arguments"
    losses = Losses()
    answer = ChatResponse(id="x", model="", choices=[Choice([call], "tool_calls")])
    assert DIALECT.encode_response(answer, losses)["tool_calls"] == [{"name": "f", "parameters": {"_raw": arguments}}]
    assert [(loss.field, loss.severity) for loss in losses] == [("content[0].arguments", "warning")]


def test_a_custom_call_is_an_object_with_its_text() -> None:
    call = ToolCall("c", "f", "free text", kind="custom", extras=FOREIGN)
    body, losses = said(Message("assistant", [call, ToolCall("d", "g", "")]), Message("user", [Text("Hi")]))
    assert body["chat_history"][0]["tool_calls"] == [
        {"name": "f", "parameters": {"input": "free text"}},
        {"name": "g", "parameters": {}},
    ]
    assert losses == {"messages[0].content[0].arguments": "warning", "messages[0].content[0].new": "info"}


# Tools


DEFINITIONS = {
    "city": {"description": "Where.", "type": "str", "required": True},
    "months": {"type": "List[int]", "required": False},
    "n": {"type": "integer"},
    "any": {"type": "Union[int, str]"},
    "rest": {"type": "dict", "description": 5},
    "odd": 1,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where."},
        "months": {"type": "array", "items": {"type": "integer"}},
        "n": {"type": "integer"},
        "any": {},
        "rest": {"type": "object"},
        "odd": {},
    },
    "required": ["city"],
}


def test_a_tool_s_parameters_are_a_schema_to_everybody_else() -> None:
    tool = {"name": "f", "description": "Does.", "parameter_definitions": DEFINITIONS, "new": 1}
    body = {"message": "Hi", "tools": [tool, {"name": "g", "description": "", "parameter_definitions": {}}]}
    value = DIALECT.decode_request(body)
    assert value.tools is not None
    first, second = value.tools
    assert isinstance(first, FunctionTool)
    assert isinstance(second, FunctionTool)
    assert first.schema == SCHEMA
    assert second.schema == {"type": "object", "properties": {}}
    assert again(body) == body


def test_a_schema_is_said_as_far_as_a_list_of_parameters_can() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "a": {"type": "string", "description": "A.", "enum": ["x"]},
            "b": {"type": "array", "items": {"type": "number"}},
            "c": {"type": "array", "items": {"type": "string", "minLength": 1}},
            "d": {"type": ["string", "null"], "description": None},
            "e": {"type": "array", "items": {"type": ["string"]}},
            "f": True,
        },
        "required": ["a"],
    }
    tool = FunctionTool("f", None, schema, strict=True, cache=CacheMark(), extras=FOREIGN)
    body, losses = said(tools=[tool, FunctionTool("bare")])
    assert body["tools"] == [
        {
            "name": "f",
            "description": "",
            "parameter_definitions": {
                "a": {"type": "str", "required": True, "description": "A."},
                "b": {"type": "List[float]", "required": False},
                "c": {"type": "list", "required": False},
                "d": {"type": "str", "required": False},
                "e": {"type": "list", "required": False},
                "f": {"type": "str", "required": False},
            },
        },
        {"name": "bare", "description": ""},
    ]
    at = "tools[0].parameters"
    assert losses == {
        f"{at}.properties.a.enum": "warning",
        f"{at}.properties.c.items": "warning",
        f"{at}.properties.d.type": "warning",
        f"{at}.properties.d.description": "warning",
        f"{at}.properties.e.items": "warning",
        f"{at}.properties.f.type": "warning",
        f"{at}.additionalProperties": "warning",
        "tools[0].strict": "warning",
        "tools[0].cache_control": "info",
        "tools[0].new": "warning",
    }


def test_a_schema_that_is_none_has_no_parameters() -> None:
    body, losses = said(tools=[FunctionTool("f", schema={"properties": 1, "required": 5})])
    assert body["tools"] == [{"name": "f", "description": "", "parameter_definitions": {}}]
    assert losses == {}


@pytest.mark.parametrize(
    ("choice", "names", "losses"),
    [
        (None, ["f", "g"], {}),
        (ToolChoice("auto"), ["f", "g"], {}),
        (ToolChoice("required"), ["f", "g"], {"tool_choice": "warning"}),
        (ToolChoice("named", "f"), ["f", "g"], {"tool_choice": "warning"}),
        (ToolChoice("auto", allowed=["g"]), ["g"], {"tool_choice.allowed": "info"}),
        (ToolChoice("none"), [], {"tool_choice": "info"}),
    ],
)
def test_a_choice_among_tools_is_said_by_showing_them_or_lost(
    choice: ToolChoice | None, names: list[str], losses: dict[str, str]
) -> None:
    body, lost = said(tools=[F, FunctionTool("g")], tool_choice=choice)
    assert [tool["name"] for tool in body.get("tools", [])] == names
    assert lost == losses


def test_only_functions_are_tools() -> None:
    tools = [CustomTool("c"), NativeTool("anthropic_messages", {"type": "web_search"})]
    body, losses = said(tools=tools, parallel_tool_calls=False)
    assert "tools" not in body
    assert losses == {"tools[0]": "warning", "tools[1]": "warning", "parallel_tool_calls": "warning"}


# Answers


@pytest.mark.parametrize("body", [{}, {"text": 1}])
def test_what_is_no_answer_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.decode_response(body)


def test_calls_that_are_not_all_understood_stay_as_they_are() -> None:
    body = {
        "response_id": "r",
        "text": "",
        "generation_id": "g",
        "tool_calls": [CALL, "?"],
        "finish_reason": "COMPLETE",
    }
    answer = DIALECT.decode_response(body)
    assert answer.choices[0].parts == []
    assert answer.choices[0].finish_reason == "stop"
    assert DIALECT.encode_response(answer, Losses()) == body


def test_an_answer_s_calls_are_said_and_what_a_server_ran_is_lost() -> None:
    parts: list[Any] = [Text("I look."), ToolCall("c", "f", '{"a":1}'), ToolCall("d", "web", "{}", kind="server")]
    losses = Losses()
    body = DIALECT.encode_response(ChatResponse(id="x", model="", choices=[Choice(parts, "tool_calls")]), losses)
    assert body == {
        "response_id": "x",
        "generation_id": "x",
        "text": "I look.",
        "tool_calls": [CALL],
        "finish_reason": "COMPLETE",
    }
    assert [(loss.field, loss.severity) for loss in losses] == [("content[2]", "warning")]
    assert DIALECT.decode_response(body).choices[0].finish_reason == "tool_calls"


# Streams


END = {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE"}


def test_what_only_the_last_chunk_tells_is_told() -> None:
    whole = {"response_id": "r", "text": "I look.", "tool_calls": [CALL], "finish_reason": "COMPLETE", "new": 1}
    told = fold(decoded(DIALECT, {"event_type": "stream-start"}, {"event_type": "stream-end", "response": whole}))
    (text, call) = told.choices[0].parts
    assert text == Text("I look.")
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("f", '{"a":1}')
    assert told.choices[0].finish_reason == "tool_calls"
    assert told.extras == {DIALECT.name: {"new": 1}}


def test_the_chunk_of_calls_may_tell_the_text_before_them() -> None:
    said = {"event_type": "tool-calls-generation", "text": "I look.", "tool_calls": [CALL]}
    events = decoded(DIALECT, said, END)
    assert [type(event) for event in events] == [
        *(Start, PartStart, TextDelta, PartEnd),
        *(PartStart, ArgumentsDelta, PartEnd),
        *(Finish, End),
    ]
    known = decoded(DIALECT, {"event_type": "text-generation", "text": "I see."}, said, END)
    assert fold(known).choices[0].parts[0] == Text("I see.")


def test_a_second_text_is_a_part_of_its_own() -> None:
    text = {"event_type": "text-generation", "text": "a"}
    told = fold(decoded(DIALECT, text, {"event_type": "tool-calls-generation", "tool_calls": [CALL]}, text, END))
    assert [type(part) for part in told.choices[0].parts] == [Text, ToolCall, Text]


@pytest.mark.parametrize(
    "chunk",
    [
        {"event_type": "text-generation"},
        {"event_type": "text-generation", "text": 5},
        {"event_type": "tool-calls-generation", "tool_calls": [{}]},
        {"event_type": "citation-generation"},
        {"event_type": "stream-start", "generation_id": 5},
    ],
)
def test_a_chunk_that_tells_nothing_says_nothing(chunk: dict[str, Any]) -> None:
    events = decoded(DIALECT, chunk, END)
    assert [type(event) for event in events] == [Start, Finish, End]


def test_chunks_of_no_known_kind_only_say_that_it_is_alive() -> None:
    assert Ping() in decoded(DIALECT, {"event_type": "search-results", "documents": []}, END)


def test_citations_are_kept_together() -> None:
    pieces = [{"event_type": "citation-generation", "citations": [{"start": i}]} for i in range(2)]
    events = decoded(DIALECT, *pieces, END)
    assert Aside({DIALECT.name: {"citations": [{"start": 0}, {"start": 1}]}}) in events
    told_again = {**END, "response": {"citations": ["whole"]}}
    assert Aside({DIALECT.name: {"citations": ["whole"]}}) in decoded(DIALECT, *pieces, told_again)


def test_a_stream_says_the_answer_in_pieces_and_again_as_a_whole() -> None:
    events: list[Event] = [
        Start("x", "m"),
        PartStart(0, Text("a")),
        TextDelta(0, "b"),
        PartEnd(0),
        PartStart(1, Refusal("")),
        RefusalDelta(1, "c"),
        PartEnd(1),
        PartStart(2, ToolCall("c", "f")),
        ArgumentsDelta(2, '{"a":1}'),
        PartEnd(2),
        PartStart(0, Text(""), choice=1),
        TextDelta(0, "other", choice=1),
        PartEnd(0, choice=1),
        Finish("stop", 1),
        Finish("tool_calls"),
        End(),
    ]
    losses = Losses()
    wire = chunks(DIALECT, events, losses)
    assert [chunk["event_type"] for chunk in wire] == [
        "stream-start",
        *["text-generation"] * 3,
        "tool-calls-generation",
        "stream-end",
    ]
    assert [chunk["text"] for chunk in wire if chunk["event_type"] == "text-generation"] == ["a", "b", "c"]
    assert wire[-1]["response"] == {
        "response_id": "x",
        "generation_id": "x",
        "text": "abc",
        "tool_calls": [CALL],
        "finish_reason": "COMPLETE",
    }
    assert {loss.field for loss in losses} == {"choices[1]", "content[1].refusal"}
    told = fold(decoded(DIALECT, *wire))
    assert told.choices[0].parts[0] == Text("abc")
    assert [(loss.field, loss.severity) for loss in _losses_of(told)] == []


def _losses_of(answer: ChatResponse) -> Losses:
    losses = Losses()
    chunks(DIALECT, unfold(answer), losses)
    return losses


def test_an_error_ends_a_stream_and_is_understood() -> None:
    encoder = as_sse(DIALECT).stream_encoder(request(), Losses())
    wire = encoder.encode(Start("x", "")) + encoder.encode(Failure(LimitExceeded("Slow down")))
    failure = as_sse(DIALECT).stream_decoder().feed(wire)[-1]
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, UpstreamRefused)
    assert (failure.error.status, failure.error.message) == (429, "Slow down")
