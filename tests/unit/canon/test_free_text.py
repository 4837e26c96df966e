from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wye.canon.events import ArgumentsDelta, End, Event, PartEnd, PartStart, TextDelta
from wye.canon.fold import fold, unfold
from wye.canon.free_text import as_functions, as_texts
from wye.canon.loss import Losses
from wye.canon.parts import Text, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import CustomTool, FunctionTool, NativeTool

LARK = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
PATCH = CustomTool("patch", "Edits files.", LARK)
OTHER = FunctionTool("run", schema={"type": "object"})


def request(*tools: Any, parts: list[Any] | None = None) -> ChatRequest:
    return ChatRequest(model="m", messages=[Message("assistant", parts or [])], tools=list(tools) or None)


def read(arguments: str, size: int = 1000) -> str:
    """The text that a call's arguments are, when they come in pieces of this size."""
    texts = as_texts(request(PATCH))
    assert texts is not None
    pieces = [arguments[i : i + size] for i in range(0, len(arguments), size)]
    events: list[Event] = [PartStart(0, ToolCall("c", "patch")), *(ArgumentsDelta(0, piece) for piece in pieces)]
    said = [event for one in [*events, PartEnd(0)] for event in texts([one])]
    assert said[0] == PartStart(0, ToolCall("c", "patch", kind="custom"))
    assert said[-1] == PartEnd(0)
    deltas = [event for event in said if isinstance(event, ArgumentsDelta)]
    assert all(delta.text for delta in deltas)
    return "".join(delta.text for delta in deltas)


@settings(derandomize=True, deadline=None)
@given(st.text(), st.booleans(), st.sampled_from([1, 2, 5, 7, 1000]))
def test_a_text_comes_out_as_it_went_in(text: str, ascii_only: bool, size: int) -> None:
    assert read(json.dumps({"input": text}, ensure_ascii=ascii_only), size) == text


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (' {\n "input" : "a\\nb" }', "a\nb"),
        ('{"input":"\\ud83d\\ude00\\u0041\\/\\q"}', "\U0001f600A/q"),
        ('{"input":"\\ud83d\\u0041 \\ud83d"}', "\ufffdA \ufffd"),
        ('{"input":"a raw \n line"}', "a raw \n line"),
        ('{"input":"done","more":"x"}', "done"),
        # Broken off: what is sure.
        ('{"input":"half \\ud83d', "half "),
        ('{"input":"half \\', "half "),
        ('{"inp', ""),
        # Of another form: as the model wrote them.
        ('{"patch":"x"}', '{"patch":"x"}'),
        ("*** Begin", "*** Begin"),
        ("", ""),
    ],
)
def test_whatever_a_model_writes_is_read(arguments: str, text: str, size: int) -> None:
    assert read(arguments, size) == text


def test_a_tool_of_free_text_becomes_a_function_that_tells_its_grammar() -> None:
    losses = Losses()
    native = NativeTool("openai_responses", {"type": "web_search"})
    extras = {"openai_responses": {"namespace": {"name": "n"}}}
    nested = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}
    odd = {"type": "grammar", "rules": ["a"]}
    plain = as_functions(
        request(
            PATCH,
            OTHER,
            native,
            CustomTool("free", extras=extras),
            CustomTool("text", "T", {"type": "text"}),
            CustomTool("nested", format=nested),
            CustomTool("odd", format=odd),
        ),
        losses,
    )
    assert plain.tools is not None
    patch, other, kept, free, text, regex, unknown = plain.tools
    assert isinstance(patch, FunctionTool)
    assert patch.description == "Edits files.\n\nThe input is a text in this lark grammar:\nstart: /a+/"
    assert patch.schema is not None
    assert (patch.schema["required"], patch.schema["properties"]["input"]["type"]) == (["input"], "string")
    assert (other, kept) == (OTHER, native)
    assert isinstance(free, FunctionTool)
    assert (free.description, free.extras) == (None, extras)
    descriptions = [tool.description for tool in (text, regex, unknown) if isinstance(tool, FunctionTool)]
    assert descriptions == [
        "T",
        "The input is a text in this regex grammar:\na+",
        'The input is a text in this format:\n{"type":"grammar","rules":["a"]}',
    ]
    assert [(loss.field, loss.severity) for loss in losses] == [(f"tools[{i}].format", "warning") for i in (0, 5, 6)]


def test_calls_and_results_so_far_follow() -> None:
    parts = [
        Text("t"),
        ToolCall("c", "patch", "*** a\n", "custom"),
        ToolCall("d", "run", "{}"),
        ToolResult("c", [Text("ok")], kind="custom"),
    ]
    before = request(PATCH, parts=parts)
    plain = as_functions(before, Losses())
    assert plain.messages[0].parts == [
        Text("t"),
        ToolCall("c", "patch", '{"input":"*** a\\n"}'),
        ToolCall("d", "run", "{}"),
        ToolResult("c", [Text("ok")]),
    ]
    assert before.messages[0].parts == parts
    same = request(parts=[Text("t")])
    assert as_functions(same, Losses()).messages[0] is same.messages[0]
    assert as_functions(same, Losses()).tools is None


def test_only_calls_of_those_tools_are_read() -> None:
    assert as_texts(request(OTHER)) is None
    assert as_texts(request()) is None
    texts = as_texts(request(PATCH, OTHER))
    assert texts is not None
    calls = [ToolCall("a", "run", '{"input":"x"}'), ToolCall("b", "patch", '{"input":"x"}'), Text("said")]
    answer = ChatResponse(id="1", model="m", choices=[Choice(list(calls))])
    custom = ToolCall("b", "patch", "x", "custom")
    events = [*unfold(answer)[:-1], PartStart(3, calls[1], 1), TextDelta(2, "!"), PartEnd(3, 1, calls[1])]
    said = texts(events)
    assert fold([*said[:-4], End()]).choices[0].parts == [calls[0], custom, calls[2]]
    assert said[-4:] == [
        PartStart(3, ToolCall("b", "patch", kind="custom"), 1),
        ArgumentsDelta(3, "x", 1),
        TextDelta(2, "!"),
        PartEnd(3, 1, custom),
    ]
