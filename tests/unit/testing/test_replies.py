"""What the fake answers to what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wye.canon.parts import Part, Text, Thinking, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import BadRequest, ConfigError
from wye.testing.replies import (
    Call,
    Rule,
    check_history,
    input_tokens,
    load_rules,
    reply_to,
    signature,
    text_of,
    thinks,
    tokens_of,
)
from wye.testing.telling import response_of

WEATHER = FunctionTool("get_weather", "The weather", {"type": "object", "properties": {"city": {"type": "string"}}})
TIME = FunctionTool("get_time")
NOTE = CustomTool("take_notes")
SEARCH = NativeTool("openai_responses", {"type": "web_search"})


def asked(text: str, **more: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=[Message("user", [Text(text)])], **more)


def said(text: str, **more: Any) -> str:
    return text_of(reply_to(asked(text, **more)).parts)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is 2+2?", "4"),
        ("2 + 2", "4"),
        ("12+21", "12+21"),
        ("What is the capital of France?", "Paris"),
        ("Count from 1 to 5", "1, 2, 3, 4, 5"),
        ("please count from 3 to 4.", "3, 4"),
        ("Name three colors", "Red, green, blue"),
        ("Hi there", "Hi there"),
        ("", "Hello"),
    ],
)
def test_the_answers_that_everybody_expects(question: str, answer: str) -> None:
    assert said(question) == answer


def test_the_answer_is_to_what_the_user_said_last() -> None:
    request = asked("Hi")
    request.messages += [Message("assistant", [Text("2+2")]), Message("user", []), Message("system", [Text("Be nice")])]
    assert text_of(reply_to(request).parts) == "Hi"


@pytest.mark.parametrize(("begun", "rest"), [("1, 2", ", 3"), ("1, 2, 3", ""), ("Well", "1, 2, 3")])
def test_an_answer_that_is_begun_goes_on(begun: str, rest: str) -> None:
    messages = [Message("user", [Text("Count from 1 to 3.")]), Message("assistant", [Text(begun)])]
    assert text_of(reply_to(ChatRequest(model="m", messages=messages)).parts) == rest


def test_a_limit_and_a_stop_sequence_end_the_text() -> None:
    reply = reply_to(asked("one two three four", max_tokens=2))
    assert (text_of(reply.parts), reply.finish) == ("one two", "length")
    reply = reply_to(asked("one two three four", stop=["four", "three", ""], max_tokens=100))
    assert (text_of(reply.parts), reply.finish, reply.stop_sequence) == ("one two ", "stop", "three")


@pytest.mark.parametrize(
    ("question", "more", "called"),
    [
        ("What is the weather?", {"tools": [WEATHER, TIME]}, ["get_weather"]),
        ("What time, and what weather?", {"tools": [WEATHER, TIME]}, ["get_weather", "get_time"]),
        ("time and weather", {"tools": [WEATHER, TIME], "parallel_tool_calls": False}, ["get_weather"]),
        ("Hi", {"tools": [WEATHER, TIME]}, []),
        ("weather", {"tools": [WEATHER], "tool_choice": ToolChoice("none")}, []),
        ("Hi", {"tools": [SEARCH, WEATHER], "tool_choice": ToolChoice("required")}, ["get_weather"]),
        ("weather", {"tools": [WEATHER, TIME], "tool_choice": ToolChoice("named", "get_time")}, ["get_time"]),
        (
            "weather and time",
            {"tools": [WEATHER, TIME], "tool_choice": ToolChoice("auto", allowed=["get_time"])},
            ["get_time"],
        ),
        ("notes", {"tools": [NOTE]}, ["take_notes"]),
    ],
)
def test_tools_are_called_when_they_are_asked_about_or_must_be(
    question: str, more: dict[str, Any], called: list[str]
) -> None:
    reply = reply_to(asked(question, **more))
    calls = [part for part in reply.parts if isinstance(part, ToolCall)]
    assert [call.name for call in calls] == called
    assert reply.finish == ("tool_calls" if called else "stop")
    assert len({call.id for call in calls}) == len(calls)


def test_arguments_are_what_the_schema_allows() -> None:
    calls = reply_to(asked("weather, time and notes", tools=[WEATHER, TIME, NOTE])).parts
    assert [(c.arguments, c.kind) for c in calls if isinstance(c, ToolCall)] == [
        ('{"city":"city"}', "function"),
        ("{}", "function"),
        ("text", "custom"),
    ]


def test_a_result_of_a_tool_is_told() -> None:
    request = asked("weather", tools=[WEATHER])
    results: list[Part] = [ToolResult("c1", [Text("rain")]), ToolResult("c2", [Text("sun")])]
    request.messages += [Message("assistant", [ToolCall("c1", "get_weather")]), Message("user", results)]
    assert text_of(reply_to(request).parts) == "The tool says: rain | sun"


def test_json_is_answered_where_it_is_asked_for() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    assert said("Hi", output=OutputFormat("json_schema", schema)) == '{"age":1}'
    assert said("2+2", output=OutputFormat("json_object")) == '{"answer":"4"}'
    assert said("2+2", output=OutputFormat("text")) == "4"


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (None, False),
        (Reasoning("disabled"), False),
        (Reasoning("enabled", budget_tokens=1024), True),
        (Reasoning("adaptive"), True),
        (Reasoning(effort="none"), False),
        (Reasoning(effort="low"), True),
        (Reasoning(display="auto"), False),
    ],
)
def test_it_thinks_when_asked_to(reasoning: Reasoning | None, expected: bool) -> None:
    request = asked("Hi", reasoning=reasoning)
    assert thinks(request) is expected
    assert isinstance(reply_to(request).parts[0], Thinking) is expected


def test_a_rule_decides() -> None:
    rule = Rule(when=r"weather in (\w+)", say="Sun in {1}, {0}, {7}", think="Hm", finish="length")
    request = asked("The weather in Paris?")
    reply = reply_to(request, rule)
    assert reply.parts == [Thinking("Hm"), Text("Sun in Paris, weather in Paris, {7}")]
    assert reply.finish == "length"
    called = reply_to(request, Rule(call=[Call("a"), Call("b", {"x": 1})]))
    assert [(c.name, c.arguments) for c in called.parts if isinstance(c, ToolCall)] == [("a", "{}"), ("b", '{"x":1}')]
    assert called.finish == "tool_calls"
    assert reply_to(request, Rule(fault="503")).parts == [Text("The weather in Paris?")]


@pytest.mark.parametrize(
    ("rule", "model", "question", "expected"),
    [
        (Rule(), "m", "", True),
        (Rule(model="gpt-*"), "gpt-4o", "Hi", True),
        (Rule(model="gpt-*"), "claude", "Hi", False),
        (Rule(when="^hi"), "m", "HI there", True),
        (Rule(when="^hi"), "m", "oh hi", False),
        (Rule(system="you (review|judge)", when="hi"), "m", "hi", True),
        (Rule(system="you review", when="hi"), "m", "ho", False),
        (Rule(system="you write"), "m", "You write", False),
    ],
)
def test_which_requests_a_rule_matches(rule: Rule, model: str, question: str, expected: bool) -> None:
    system = Message("system", [Text("As always: You judge.")])
    request = ChatRequest(model=model, messages=[system, Message("user", [Text(question)])])
    if rule.system == "you review":
        request.messages[0] = Message("developer", [Text("you review")])
    assert (rule.matches(request) is not None) is expected


def test_a_rule_says_what_the_usage_tells() -> None:
    request = asked("one two three")
    counted = response_of(DIALECTS["openai_chat"], request, [reply_to(request, Rule(say="a b"))], "t").usage
    assert counted is not None
    assert (counted.input_tokens, counted.output_tokens) == (input_tokens(request), 2)
    rule = Rule(say="a b", think="c", input_tokens=70, output_tokens=9)
    told = response_of(DIALECTS["openai_chat"], request, [reply_to(request, rule)] * 2, "t").usage
    assert told is not None
    assert (told.input_tokens, told.output_tokens, told.reasoning_tokens) == (70, 18, 2)


def test_rules_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text("- when: hello\n  say: Hi!\n- model: gpt-*\n  fault: '503'\n  times: 2\n- call: {name: f}\n")
    assert load_rules(path) == [
        Rule(when="hello", say="Hi!"),
        Rule(model="gpt-*", fault="503", times=2),
        Rule(call=Call("f")),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- wen: x", "unknown field `wen`"),
        ("say: x", "Expected `array`"),
        ("- when: '('", "no regular expression"),
        ("- [", "parsing"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_wrong_says_so(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_rules(path)


def test_a_conversation_must_make_sense() -> None:
    result = Message("user", [ToolResult("c1", [Text("rain")])])
    request = ChatRequest(model="m", messages=[result])
    with pytest.raises(BadRequest, match="no tool call with the id 'c1'"):
        check_history(request)
    check_history(request, {"c1"})
    check_history(ChatRequest(model="m", messages=[Message("assistant", [ToolCall("c1", "f")]), result]))


@pytest.mark.parametrize(
    ("text", "signed", "good"),
    [
        ("Hm", signature("Hm"), True),
        ("Hm!", signature("Hm"), False),
        ("Hm", signature("Hm")[:-4], False),
        ("Hm", "of another vendor", True),
        ("Hm", None, True),
    ],
)
def test_a_thought_that_was_changed_is_refused(text: str, signed: str | None, good: bool) -> None:
    request = ChatRequest(model="m", messages=[Message("assistant", [Thinking(text, signed)])])
    if good:
        check_history(request)
        return
    with pytest.raises(BadRequest, match="Invalid `signature`"):
        check_history(request)


@pytest.mark.parametrize("text", ["", " ", "a", " a b", "a\n\nb  ", "thé → 🙂"])
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text


def test_more_input_has_more_tokens() -> None:
    small = input_tokens(asked("Hi"))
    assert small == 5
    assert input_tokens(asked("Hi there you")) == 7
    assert input_tokens(asked("Hi", tools=[WEATHER])) > small
    answered = asked("Hi")
    answered.messages += [
        Message("assistant", [ToolCall("c", "f", "{}")]),
        Message("user", [ToolResult("c", [Text("x")])]),
    ]
    assert input_tokens(answered) == small + 4 + 1 + 4 + 1
