import json

import pytest

from wye.canon.events import ArgumentsDelta, End, Event, Finish, PartEnd, PartStart, Start, TextDelta
from wye.canon.fold import fold, unfold
from wye.canon.parts import Text, Thinking, ToolCall
from wye.canon.response import ChatResponse, Choice
from wye.canon.tools import FunctionTool
from wye.providers.forced_tools import ForcedTools, forced_schema, instruction

CALLS = {
    "compact": ('{"name":"f","arguments":{"a":1}}', "f", {"a": 1}),
    "spaced": ('{\n  "name" : "f",\n "arguments"\n\n: \n{ "a" : [1, {"b": 2}] }\n}', "f", {"a": [1, {"b": 2}]}),
    "braces in strings": (r'{"name":"f","arguments":{"a":"}{\"]\\"}}', "f", {"a": '}{"]\\'}),
    "odd name": (r'{"name":"f\u00e9\"","arguments":{}}', 'fé"', {}),
}


def events(text: str, size: int, reason: str = "stop") -> list[Event]:
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    return [
        Start("i", "m"),
        PartStart(0, Text("")),
        *(TextDelta(0, piece) for piece in pieces),
        PartEnd(0),
        Finish(reason),  # type: ignore[arg-type]
        End(),
    ]


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("name", CALLS)
def test_the_text_becomes_a_call_at_every_chunk_size(name: str, size: int) -> None:
    text, called, arguments = CALLS[name]
    rewrite = ForcedTools()
    out = [event for one in events(text, size) for event in rewrite([one])]
    choice = fold(out).choices[0]
    call = choice.parts[0]
    assert isinstance(call, ToolCall)
    assert (call.name, json.loads(call.arguments)) == (called, arguments)
    assert call.id.startswith("call_")
    assert choice.finish_reason == "tool_calls"


def test_arguments_stream_as_they_come() -> None:
    rewrite = ForcedTools()
    rewrite([Start("i", "m"), PartStart(0, Text(""))])
    assert rewrite([TextDelta(0, '{"name": "f", "argu')]) == []
    first = rewrite([TextDelta(0, 'ments": {"a')])
    assert isinstance(first[0], PartStart)
    assert first[1] == ArgumentsDelta(0, '{"a')
    assert rewrite([TextDelta(0, '": 1}} ')]) == [ArgumentsDelta(0, '": 1}')]
    assert rewrite([TextDelta(0, " ")]) == []


def test_a_call_that_is_cut_off_keeps_what_there_is() -> None:
    choice = fold(ForcedTools()(events('{"name":"f","arguments":{"a":"lo', 5, "length"))).choices[0]
    assert choice.finish_reason == "length"
    assert isinstance(choice.parts[0], ToolCall)
    assert choice.parts[0].arguments == '{"a":"lo'


def test_a_text_that_never_named_a_tool_stays_text() -> None:
    choice = fold(ForcedTools()(events('{"na', 2, "length"))).choices[0]
    assert choice.parts == [Text('{"na')]


def test_choices_are_rewritten_apart_and_thinking_is_left() -> None:
    whole = ChatResponse(
        id="i",
        model="m",
        choices=[
            Choice([Thinking("hm"), Text('{"name":"f","arguments":{}}')], "stop", 0),
            Choice([Text('{"name":"g","arguments":{}}')], "stop", 1),
        ],
    )
    answer = fold(ForcedTools()(unfold(whole)))
    assert answer.choices[0].parts[0] == Thinking("hm")
    names = [part.name for choice in answer.choices for part in choice.parts if isinstance(part, ToolCall)]
    assert names == ["f", "g"]


def test_the_schema_names_every_tool_and_its_arguments() -> None:
    f, g = FunctionTool("f", "does f", {"type": "object"}), FunctionTool("g")
    assert forced_schema([f])["properties"]["name"] == {"const": "f"}
    both = forced_schema([f, g])["anyOf"]
    assert [s["properties"]["name"]["const"] for s in both] == ["f", "g"]
    assert both[1]["properties"]["arguments"]["properties"] == {}
    assert '"does f"' in instruction([f, g])
