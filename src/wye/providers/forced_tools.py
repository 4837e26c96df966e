"""Forcing a tool call on a model whose engine cannot: a JSON schema over the tools, and its text read as the call."""

from __future__ import annotations

import re
from typing import Any

from wye.canon.events import ArgumentsDelta, Event, Finish, PartEnd, PartStart, TextDelta
from wye.canon.parts import Text, ToolCall
from wye.canon.tools import FunctionTool
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, decode, encode_text

_NO_ARGUMENTS: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')


def forced_schema(tools: list[FunctionTool]) -> JsonObject:
    """What the model may write: one object that names a tool and holds its arguments, in this order."""
    calls: list[JsonObject] = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": tool.schema or _NO_ARGUMENTS},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def instruction(tools: list[FunctionTool]) -> str:
    """What the model is told, since its template may have no place for tools."""
    known: list[dict[str, Any]] = [
        {"name": tool.name, "description": tool.description or "", "arguments": tool.schema or _NO_ARGUMENTS}
        for tool in tools
    ]
    return (
        'Call one of these tools to answer. Write one JSON object, {"name": ..., "arguments": {...}}, nothing else.\n'
        f"Tools: {encode_text(known)}"
    )


class ForcedTools:
    """Rewrites the text of each choice into a tool call, its arguments streamed as they come."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def __call__(self, events: list[Event]) -> list[Event]:
        rewritten: list[Event] = []
        for event in events:
            match event:
                case PartStart() if isinstance(event.part, Text):
                    self._calls[event.choice] = _Call(event.index, event.choice)
                    rewritten += self._calls[event.choice].add(event.part.text)
                case TextDelta() if event.choice in self._calls:
                    rewritten += self._calls[event.choice].add(event.text)
                case PartEnd() if event.choice in self._calls and self._calls[event.choice].index == event.index:
                    rewritten += self._calls[event.choice].end()
                case Finish(reason="stop") if event.choice in self._calls:
                    rewritten.append(Finish("tool_calls", event.choice, extras=event.extras))
                case _:
                    rewritten.append(event)
        return rewritten


class _Call:
    """One choice's text: first the head that names the tool, then arguments up to the brace that closes them."""

    def __init__(self, index: int, choice: int) -> None:
        self.index = index
        self._choice = choice
        self._head = ""
        self._named = False
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._closed = False

    def add(self, text: str) -> list[Event]:
        if self._named:
            return self._arguments(text)
        self._head += text
        found = _HEAD.match(self._head)
        if found is None:
            return []
        self._named = True
        name = decode(found[1])
        start = PartStart(self.index, ToolCall(new_id("call_"), name), self._choice)
        return [start, *self._arguments(self._head[found.end() :])]

    def end(self) -> list[Event]:
        if self._named:
            return [PartEnd(self.index, self._choice)]
        # Cut off before it named a tool: what there is stays text.
        return [
            PartStart(self.index, Text(""), self._choice),
            TextDelta(self.index, self._head, self._choice),
            PartEnd(self.index, self._choice),
        ]

    def _arguments(self, text: str) -> list[Event]:
        if self._closed or not text:
            return []
        end = len(text)
        for position, character in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = character == "\\"
                self._in_string = character != '"'
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._closed, end = True, position + 1
                    break
        return [ArgumentsDelta(self.index, text[:end], self._choice)]
