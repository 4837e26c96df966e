"""Tools, the choice among them, and calls of them. https://platform.openai.com/docs/guides/function-calling"""

from __future__ import annotations

from typing import Any, assert_never

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import ToolCall
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, Tool, ToolChoice
from wye.dialects.openai_chat.content import decode_cache, encode_cache
from wye.dialects.openai_chat.name import NAME
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list, as_object, encode_text, type_name


def decode_tools(fields: Fields) -> list[Tool] | None:
    """`functions`, which `tools` replaced, say the same; they are answered with tool calls."""
    tools, functions = fields.list("tools"), fields.list("functions")
    if tools is None and functions is None:
        return None
    decoded = [_decode_tool(tool, f"{fields.at('tools')}[{i}]") for i, tool in enumerate(tools or ())]
    for i, function in enumerate(functions or ()):
        below = Fields(function, f"{fields.at('functions')}[{i}]")
        tool = _decode_function(below)
        tool.extras = extras_of(NAME, {"function": below.rest()} if below.rest() else {})
        decoded.append(tool)
    return decoded


def _decode_tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    match fields.required_str("type"):
        case "function":
            below = fields.fields("function")
            if below is None:
                raise BadRequest(f"{path}.function is required", param=f"{path}.function")
            tool = _decode_function(below)
            tool.cache = decode_cache(fields)
            tool.extras = _extras(fields, "function", below)
            return tool
        case "custom" if (below := fields.fields("custom")) is not None:
            custom = CustomTool(below.required_str("name"), below.str("description"), below.dict("format"))
            custom.extras = _extras(fields, "custom", below)
            return custom
        case _:
            return NativeTool(NAME, value)


def _decode_function(fields: Fields) -> FunctionTool:
    return FunctionTool(
        name=fields.required_str("name"),
        description=fields.str("description"),
        schema=fields.dict("parameters"),
        strict=fields.bool("strict"),
    )


def _extras(fields: Fields, name: str, below: Fields) -> dict[str, JsonObject] | None:
    rest, inner = fields.rest(), below.rest()
    return extras_of(NAME, {**rest, name: inner} if inner else rest)


def encode_tools(tools: list[Tool], losses: Losses) -> list[JsonObject]:
    encoded: list[JsonObject] = []
    for i, tool in enumerate(tools):
        path = f"tools[{i}]"
        match tool:
            case FunctionTool():
                own = dict(own_extras(tool.extras, NAME, losses, path))
                below = _present(
                    name=tool.name, description=tool.description, parameters=tool.schema, strict=tool.strict
                )
                below.update(own.pop("function", {}))
                encoded.append({"type": "function", "function": below, **encode_cache(tool.cache, losses, path), **own})
            case CustomTool():
                own = dict(own_extras(tool.extras, NAME, losses, path))
                below = _present(name=tool.name, description=tool.description, format=tool.format)
                below.update(own.pop("custom", {}))
                encoded.append({"type": "custom", "custom": below, **own})
            case NativeTool():
                if tool.dialect == NAME:
                    encoded.append(tool.value)
                else:
                    losses.add(path, f"{NAME} has no tool {tool.type or 'of this kind'}")
            case _:
                assert_never(tool)
    return encoded


def _present(**members: Any) -> JsonObject:
    return {name: value for name, value in members.items() if value is not None}


def decode_tool_choice(fields: Fields) -> ToolChoice | None:
    older = fields.any("function_call")
    value = fields.any("tool_choice")
    path = fields.at("tool_choice")
    if value is None and older is not None:
        function, path = as_object(older), fields.at("function_call")
        value = older if function is None else {"type": "function", "function": function}
    match value:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(value)
        case str():
            raise BadRequest(f"{path} must be 'auto', 'none', 'required' or an object, not {value!r}", param=path)
        case dict():
            return _decode_choice(Fields(value, path))
        case _:
            raise BadRequest(f"{path} must be a string or an object, not {type_name(value)}", param=path)


def _decode_choice(fields: Fields) -> ToolChoice:
    kind = fields.one_of("type", ("function", "custom", "allowed_tools"))
    if kind is None:
        raise BadRequest(f"{fields.at('type')} is required", param=fields.at("type"))
    below = fields.fields(kind)
    if below is None:
        raise BadRequest(f"{fields.at(kind)} is required", param=fields.at(kind))
    if kind == "allowed_tools":
        mode = below.one_of("mode", ("auto", "required")) or "auto"
        choice = ToolChoice("required" if mode == "required" else "auto", allowed=_allowed(below))
    else:
        choice = ToolChoice("named", below.required_str("name"))
    choice.extras = _extras(fields, kind, below)
    return choice


def _allowed(fields: Fields) -> list[str]:
    tools = fields.list("tools") or []
    names: list[str] = []
    plain = True
    for i, value in enumerate(tools):
        tool = Fields(value, f"{fields.at('tools')}[{i}]")
        below = tool.fields(tool.required_str("type")) or tool
        names.append(below.required_str("name"))
        plain = plain and not tool.rest() and not below.rest()
    if not plain:
        # They say more than names, so they stay as they are beside them.
        fields.rest()["tools"] = tools
    return names


def encode_tool_choice(choice: ToolChoice, tools: list[Tool], losses: Losses) -> str | JsonObject:
    own = dict(own_extras(choice.extras, NAME, losses, "tool_choice"))
    custom = {tool.name for tool in tools if isinstance(tool, CustomTool)}

    def named(name: str) -> JsonObject:
        kind = "custom" if name in custom else "function"
        return {"type": kind, kind: {"name": name}}

    if choice.allowed is not None:
        below = {"mode": choice.mode, "tools": [named(name) for name in choice.allowed], **own.pop("allowed_tools", {})}
        return {"type": "allowed_tools", "allowed_tools": below, **own}
    if choice.mode == "named":
        said = named(choice.name or "")
        kind = str(said["type"])
        said[kind].update(own.pop(kind, {}))
        return {**said, **own}
    return choice.mode


def take_tool_calls(members: JsonObject) -> list[ToolCall]:
    """Remove the calls from an answer's or a history's assistant message. One that is not understood stays there."""
    calls = as_list(members.get("tool_calls"))
    decoded = [call for value in calls or () if (call := decode_tool_call(value)) is not None]
    if calls is not None and len(decoded) == len(calls):
        del members["tool_calls"]
    else:
        decoded = []
    legacy = as_object(members.get("function_call"))
    if legacy is not None and isinstance(legacy.get("name"), str):
        # Deprecated: a call without an id, known by its name. It is said again as a tool call.
        del members["function_call"]
        decoded.append(ToolCall(legacy["name"], legacy["name"], _text(legacy.get("arguments")) or ""))
    return decoded


def decode_tool_call(value: Any) -> ToolCall | None:
    call = dict(as_object(value) or {})
    kind = call.pop("type", None) or "function"
    below = as_object(call.pop(kind, None)) if kind in ("function", "custom") else None
    if below is None:
        return None
    below = dict(below)
    name, text = below.pop("name", None), _text(below.pop("arguments" if kind == "function" else "input", None))
    if not isinstance(name, str) or name == "" or text is None:
        return None
    identity = call.pop("id", None)
    call.pop("index", None)
    below.pop("parsed_arguments", None)  # OpenAI's SDK adds its reading of them to what it sends back
    decoded = ToolCall(identity if isinstance(identity, str) else "", name, text)
    decoded.kind = "custom" if kind == "custom" else "function"
    decoded.extras = extras_of(NAME, {**call, **({kind: below} if below else {})})
    return decoded


def _text(value: Any) -> str | None:
    """Arguments as text; some servers send the object itself. None for what cannot be arguments."""
    if value is None:
        return ""
    return value if isinstance(value, str) else encode_text(value) if isinstance(value, dict) else None


def encode_tool_call(call: ToolCall, losses: Losses, path: str) -> JsonObject | None:
    """None for a call that the provider runs itself: reported as lost."""
    if call.kind == "server":
        losses.add(path, f"{NAME} has no calls that a provider runs itself")
        return None
    own = dict(own_extras(call.extras, NAME, losses, path, "info"))
    if call.cache is not None:
        losses.add(f"{path}.cache_control", f"{NAME} has no cache marks", "info")
    text = "input" if call.kind == "custom" else "arguments"
    below = {"name": call.name, text: call.arguments, **own.pop(call.kind, {})}
    return {"id": call.id, "type": call.kind, call.kind: below, **own}
