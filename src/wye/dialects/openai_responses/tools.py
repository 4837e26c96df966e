"""Tools and the choice among them. https://platform.openai.com/docs/guides/function-calling

A namespace holds tools whose names need to be unique in it alone. The canonical form has one list: each tool of a
namespace remembers it, and is called `namespace__name` where its name is another tool's too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

from msgspec.structs import replace

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import ToolCall
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, Tool, ToolChoice
from wye.dialects.openai_responses.content import extras_with, form_of, own_members
from wye.dialects.openai_responses.name import NAME
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_object, type_name

_USUAL: JsonObject = {"parameters": {"type": "object", "properties": {}}, "strict": False}
"""What a function must say here; without `strict` it would be strict, which no other dialect means."""

Names = dict[tuple[str | None, str], str]
"""The canonical name of each tool, by its namespace and its name."""


def decode_tools(fields: Fields) -> list[Tool] | None:
    tools = fields.list("tools")
    if tools is None:
        return None
    decoded: list[Tool] = []
    for i, value in enumerate(tools):
        path = f"{fields.at('tools')}[{i}]"
        space = (as_object(value) or {}).get("type") == "namespace"
        inner = _decode_namespace(Fields(value, path)) if space else None
        decoded += inner or [_decode_tool(value, path)]
    _make_unique([tool for tool in decoded if not isinstance(tool, NativeTool)])
    return decoded


def _make_unique(tools: list[FunctionTool | CustomTool]) -> None:
    taken = {tool.name for tool in tools if _space_of(tool) is None}
    for tool in tools:
        space = _space_of(tool)
        if space is not None and tool.name in taken:
            tool.name = f"{space}__{tool.name}"
        taken.add(tool.name)


def _decode_tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    match fields.required_str("type"):
        case "function":
            absent = [name for name in _USUAL if not fields.has(name)]
            tool = FunctionTool(
                fields.required_str("name"), fields.str("description"), fields.dict("parameters"), fields.bool("strict")
            )
            tool.extras = extras_with(fields.rest(), {"without": absent} if absent else {})
            return tool
        case "custom":
            custom = CustomTool(fields.required_str("name"), fields.str("description"), fields.dict("format"))
            custom.extras = extras_of(NAME, fields.rest())
            return custom
        case _:
            return NativeTool(NAME, value)


def _decode_namespace(fields: Fields) -> list[FunctionTool | CustomTool]:
    """Its tools; none when there is one that is not understood, or none at all: then it stays whole."""
    space = fields.required_str("name")
    tools = [_decode_tool(tool, f"{fields.at('tools')}[{i}]") for i, tool in enumerate(fields.list("tools") or ())]
    found = [tool for tool in tools if not isinstance(tool, NativeTool)]
    if len(found) < len(tools):
        return []
    more = {name: value for name, value in fields.rest().items() if name != "type"}
    for tool in found:
        own, form = own_members(tool.extras, Losses(), "")
        tool.extras = extras_with({**own, "namespace": {"name": space, **more}}, {**form, "name": tool.name})
        more = {}  # said once, with its first tool
    return found


def _space_of(tool: FunctionTool | CustomTool) -> str | None:
    own = (tool.extras or {}).get(NAME, {})
    return (as_object(own.get("namespace")) or {}).get("name")


def names_of(tools: Iterable[Tool] | None) -> Names:
    names: Names = {}
    for tool in tools or ():
        if not isinstance(tool, NativeTool):
            names[_space_of(tool), form_of(tool.extras).get("name", tool.name)] = tool.name
    return names


def spaces_of(tools: Iterable[Tool] | None) -> dict[str, tuple[str, str]]:
    """The namespace, and the name in it, of each tool that has one."""
    names = names_of(tools)
    return {canonical: (space, name) for (space, name), canonical in names.items() if space is not None}


def in_namespace(call: ToolCall, spaces: dict[str, tuple[str, str]]) -> ToolCall:
    """A call of an answer that remembers the namespace which its tool came in."""
    own = (call.extras or {}).get(NAME, {})
    if call.name not in spaces or "namespace" in own:
        return call
    space, name = spaces[call.name]
    own = {**own, "namespace": space, FORM: {"name": name}}
    return replace(call, extras={**(call.extras or {}), NAME: own})


def encode_tools(tools: list[Tool], losses: Losses) -> list[JsonObject]:
    encoded: list[JsonObject] = []
    space: JsonObject = {}
    for i, tool in enumerate(tools):
        path = f"tools[{i}]"
        if isinstance(tool, NativeTool):
            if tool.dialect == NAME:
                encoded.append(tool.value)
            else:
                losses.add(path, f"{NAME} has no tool {tool.type or 'of this kind'}")
            continue
        own, form = own_members(tool.extras, losses, path)
        place = as_object(own.pop("namespace", None))
        said = _encode_tool(tool, own, form, losses, path)
        if place is None:
            encoded.append(said)
            continue
        if len(place) > 1 or space.get("name") != place["name"] or encoded[-1] is not space:
            space = {"type": "namespace", **place, "tools": []}
            encoded.append(space)
        space["tools"].append(said)
    return encoded


def _encode_tool(
    tool: FunctionTool | CustomTool, own: JsonObject, form: JsonObject, losses: Losses, path: str
) -> JsonObject:
    said: JsonObject = {"type": "function", "name": form.get("name", tool.name)}
    if tool.description is not None:
        said["description"] = tool.description
    match tool:
        case FunctionTool():
            if tool.cache is not None:
                losses.add(f"{path}.cache_control", f"{NAME} caches by itself", "info")
            for name, value in (("parameters", tool.schema), ("strict", tool.strict)):
                if value is not None or name not in form.get("without", ()):
                    said[name] = _USUAL[name] if value is None else value
        case CustomTool():
            said["type"] = "custom"
            if tool.format is not None:
                said["format"] = tool.format
        case _:
            assert_never(tool)
    return {**said, **own}


def decode_tool_choice(fields: Fields) -> ToolChoice | None:
    value = fields.any("tool_choice")
    path = fields.at("tool_choice")
    match value:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(value)
        case str():
            raise BadRequest(f"{path} must be 'auto', 'none', 'required' or an object, not {value!r}", param=path)
        case dict():
            return _decode_choice(Fields(value, path), value)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            raise BadRequest(f"{path} must be a string or an object, not {type_name(value)}", param=path)


def _decode_choice(fields: Fields, value: JsonObject) -> ToolChoice:
    kind = fields.required_str("type")
    match kind:
        case "function" | "custom":
            choice = ToolChoice("named", fields.required_str("name"))
            choice.extras = extras_of(NAME, fields.rest())
            return choice
        case "allowed_tools":
            mode = fields.one_of("mode", ("auto", "required")) or "auto"
            choice = ToolChoice("required" if mode == "required" else "auto", allowed=_allowed(fields))
            choice.extras = extras_of(NAME, fields.rest())
            return choice
        case _:
            # A tool that OpenAI runs: here, that one; anywhere else, any.
            return ToolChoice("required", extras={NAME: value})


def _allowed(fields: Fields) -> list[str]:
    tools = fields.list("tools") or []
    names: list[str] = []
    plain = True
    for i, value in enumerate(tools):
        tool = Fields(value, f"{fields.at('tools')}[{i}]")
        kind, name = tool.required_str("type"), tool.str("name")
        if name is not None:
            names.append(name)
        plain = plain and kind in ("function", "custom") and name is not None and not tool.rest()
    if not plain:
        # They say more than names, so they stay as they are beside them.
        fields.rest()["tools"] = tools
    return names


def encode_tool_choice(choice: ToolChoice, tools: list[Tool], losses: Losses) -> str | JsonObject:
    own = own_extras(choice.extras, NAME, losses, "tool_choice")
    custom = {tool.name for tool in tools if isinstance(tool, CustomTool)}
    wire = {canonical: name for (_, name), canonical in names_of(tools).items()}

    def named(name: str) -> JsonObject:
        return {"type": "custom" if name in custom else "function", "name": wire.get(name, name)}

    if choice.allowed is not None:
        tools_named = [named(name) for name in choice.allowed]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools_named, **own}
    if choice.mode == "named":
        return {**named(choice.name or ""), **own}
    return own if "type" in own else choice.mode


def decode_call(fields: Fields, names: Names) -> ToolCall:
    """A `function_call` or `custom_tool_call` item. Raises BadRequest."""
    kind = "custom" if fields.required_str("type") == "custom_tool_call" else "function"
    call = ToolCall(
        fields.required_str("call_id"),
        fields.required_str("name"),
        fields.required_str("input" if kind == "custom" else "arguments"),
        kind,
    )
    space = fields.str("namespace")
    place, form = ({}, {}) if space is None else ({"namespace": space}, {"name": call.name})
    call.name = names.get((space, call.name), call.name)
    call.extras = extras_with({**fields.rest(), **place}, form)
    return call


def encode_call(call: ToolCall, losses: Losses, path: str) -> JsonObject:
    """The item of a call that the caller is to run, without an id unless it has one."""
    own, form = own_members(call.extras, losses, path, "info")
    if call.cache is not None:
        losses.add(f"{path}.cache_control", f"{NAME} has no cache marks here", "info")
    text = "input" if call.kind == "custom" else "arguments"
    kind = "custom_tool_call" if call.kind == "custom" else "function_call"
    return {"type": kind, "call_id": call.id, "name": call.name, text: call.arguments, **form, **own}
