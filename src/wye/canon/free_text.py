"""Custom tools for models that know functions only: the free text of a call is the one member of its arguments.

The request says `{"input": text}` where it held a text; in the answer, calls of such tools are texts again, streamed as
they come.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from wye.canon.events import ArgumentsDelta, Event, PartEnd, PartStart, Rewrite
from wye.canon.loss import Losses
from wye.canon.parts import Part, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message
from wye.canon.tools import CustomTool, FunctionTool, Tool
from wye.kernel.json import as_object, encode_text

_MEMBER = "input"
_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_COMPACT_HEAD = '{"input":"'
_HIGH, _LOW = r"u[dD][89abAB][0-9a-fA-F]{2}", r"u[dD][c-fC-F][0-9a-fA-F]{2}"
_NO_LOW = r"(?=[^\\]|\\[^u]|\\u[^dD]|\\u[dD][^c-fC-F])"
_ESCAPE = re.compile(rf"\\(?:{_HIGH}\\{_LOW}|u[0-9a-fA-F]{{4}}|[^u])", re.DOTALL)
_PIECE = re.compile(
    rf'(?:[^"\\]++|\\(?:{_HIGH}\\{_LOW}|{_HIGH}{_NO_LOW}|(?!{_HIGH})u[0-9a-fA-F]{{4}}|[^u]))*+', re.DOTALL
)
"""Of a JSON string, all that means the same whatever follows: half a pair of surrogates waits for the other half."""
_MEANING = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def as_functions(request: ChatRequest, losses: Losses) -> ChatRequest:
    """The request without custom tools: each is a function of one text, and so are the calls of it so far."""
    tools = request.tools
    if tools is not None:
        tools = [_function(tool, f"tools[{i}]", losses) for i, tool in enumerate(tools)]
    messages = [_without_texts(message) for message in request.messages]
    return replace(request, tools=tools, messages=messages)


def _function(tool: Tool, path: str, losses: Losses) -> Tool:
    if not isinstance(tool, CustomTool):
        return tool
    described = tool.description or ""
    if tool.format is not None and tool.format.get("type") != "text":
        losses.add(f"{path}.format", "the grammar of the input is told to the model, which is not bound by it")
        grammar = as_grammar(tool.format)
        described += f"\n\nThe input is a text in this {grammar[0]}:\n{grammar[1]}"
    text = {"type": "string", "description": "The whole input, as free text."}
    schema = {"type": "object", "properties": {_MEMBER: text}, "required": [_MEMBER], "additionalProperties": False}
    return FunctionTool(tool.name, described.strip() or None, schema, extras=tool.extras)


def as_grammar(form: dict[str, Any]) -> tuple[str, str]:
    """What a grammar is written in, and the grammar. Chat has it one level deeper than Responses."""
    grammar = as_object(form.get("grammar")) or form
    definition = grammar.get("definition")
    if not isinstance(definition, str):
        return "format", encode_text(form)
    return f"{grammar.get('syntax', 'formal')} grammar", definition


def _without_texts(message: Message) -> Message:
    if not any(isinstance(part, ToolCall | ToolResult) and part.kind == "custom" for part in message.parts):
        return message
    return replace(message, parts=[_plain(part) for part in message.parts])


def _plain(part: Part) -> Part:
    match part:
        case ToolCall(kind="custom"):
            return replace(part, kind="function", arguments=encode_text({_MEMBER: part.arguments}))
        case ToolResult(kind="custom"):
            return replace(part, kind="function")
        case _:
            return part


def as_texts(request: ChatRequest) -> Rewrite | None:
    """What makes the calls of the request's custom tools texts again; None when it has no such tools."""
    names = {tool.name for tool in request.tools or () if isinstance(tool, CustomTool)}
    return _Texts(names) if names else None


class _Texts:
    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._open: dict[tuple[int, int], _Text] = {}

    def __call__(self, events: list[Event]) -> list[Event]:
        rewritten: list[Event] = []
        for event in events:
            match event:
                case PartStart(index, ToolCall(kind="function") as call, choice) if call.name in self._names:
                    text = self._open[choice, index] = _Text()
                    rewritten.append(PartStart(index, replace(call, kind="custom", arguments=""), choice))
                    rewritten += _delta(index, text.add(call.arguments), choice)
                case ArgumentsDelta() if (text := self._open.get((event.choice, event.index))) is not None:
                    rewritten += _delta(event.index, text.add(event.text), event.choice)
                case PartEnd() if self._open.pop((event.choice, event.index), None) is not None:
                    whole = event.part
                    if isinstance(whole, ToolCall):
                        whole = replace(whole, kind="custom", arguments=_Text().add(whole.arguments))
                    rewritten.append(PartEnd(event.index, event.choice, whole))
                case _:
                    rewritten.append(event)
        return rewritten


def _delta(index: int, text: str, choice: int) -> list[Event]:
    return [ArgumentsDelta(index, text, choice)] if text else []


class _Text:
    """The text in `{"input": "..."}`, piece by piece; arguments of any other form are the text themselves."""

    def __init__(self) -> None:
        self._held = ""
        """What was read, and means something only together with what follows."""
        self._inside: bool | None = None
        """Whether this is within the text; None before it, False where there is none."""

    def add(self, arguments: str) -> str:
        self._held += arguments
        if self._inside is None:
            head = _HEAD.match(self._held)
            if head is not None:
                self._inside, self._held = True, self._held[head.end() :]
            elif not _COMPACT_HEAD.startswith("".join(self._held.split())):
                self._inside = False
        if self._inside is None:
            return ""
        if not self._inside:
            text, self._held = self._held, ""
            return text
        # After the quote that ends the text nothing matches any more.
        found = _PIECE.match(self._held)
        assert found is not None, "the expression matches an empty text, too"
        self._held = self._held[found.end() :]
        return _ESCAPE.sub(_meaning, found[0])


def _meaning(escape: re.Match[str]) -> str:
    said = escape[0]
    if said[1] != "u":
        return _MEANING.get(said[1], said[1])
    units = bytes.fromhex(said.replace("\\u", ""))
    return units.decode("utf-16-be", "replace")
