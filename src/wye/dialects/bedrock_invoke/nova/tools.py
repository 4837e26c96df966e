"""Tools and the choice among them. https://docs.aws.amazon.com/nova/latest/userguide/tool-use.html"""

from __future__ import annotations

from typing import Any, assert_never

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.parts import ToolCall, ToolResult
from wye.canon.request import ChatRequest
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, Tool, ToolChoice
from wye.dialects.bedrock_invoke.nova.content import decode_cache_point, encode_cache_point
from wye.dialects.bedrock_invoke.nova.name import NAME
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_object


def decode_tools(config: Fields) -> list[Tool] | None:
    items = config.list("tools")
    if items is None:
        return None
    tools: list[Tool] = []
    for i, item in enumerate(items):
        members = as_object(item) or {}
        point = as_object(members.get("cachePoint"))
        last = tools[-1] if tools else None
        if point is not None and isinstance(last, FunctionTool) and last.cache is None:
            last.cache = decode_cache_point(point)
        else:
            tools.append(_decode_tool(item, f"{config.at('tools')}[{i}]"))
    return tools


def _decode_tool(value: Any, path: str) -> Tool:
    fields = Fields(value, path)
    spec = fields.fields("toolSpec")
    if spec is None or fields.rest():
        return NativeTool(NAME, value)
    schema = spec.fields("inputSchema") or Fields({})
    tool = FunctionTool(spec.required_str("name"), spec.str("description"), schema.dict("json"), spec.bool("strict"))
    if schema.rest():
        return NativeTool(NAME, value)
    tool.extras = extras_of(NAME, spec.rest())
    return tool


def decode_tool_choice(config: Fields) -> ToolChoice | None:
    choice = config.fields("toolChoice")
    if choice is None:
        return None
    if choice.dict("auto") is not None:
        return ToolChoice("auto", extras=extras_of(NAME, choice.rest()))
    if choice.dict("any") is not None:
        return ToolChoice("required", extras=extras_of(NAME, choice.rest()))
    named = choice.fields("tool")
    if named is None:
        raise BadRequest(f"{choice.path} must have one of the members auto, any, tool", param=choice.path)
    return ToolChoice("named", named.required_str("name"), extras=extras_of(NAME, choice.rest()))


def encode_tool_config(request: ChatRequest, losses: Losses) -> JsonObject:
    """`tools` and `toolChoice`, where there are tools that may be called."""
    tools, choice = request.tools or [], request.tool_choice
    if request.parallel_tool_calls is False and tools:
        losses.add("parallel_tool_calls", f"{NAME} cannot keep the model from calling several tools at once")
    if choice is not None and choice.mode == "none" and tools and not _called(request):
        losses.add("tool_choice", "the tools that may not be called are not shown to the model", "info")
        return {}
    config: JsonObject = {}
    encoded = _encode_tools(tools, choice, losses)
    if encoded:
        config["tools"] = encoded
    if choice is not None:
        config |= _encode_choice(choice, bool(encoded), losses)
    return config


def _called(request: ChatRequest) -> bool:
    """Whether the conversation holds calls: the model refuses those of tools that it is not told of."""
    return any(isinstance(part, ToolCall | ToolResult) for message in request.messages for part in message.parts)


def _encode_tools(tools: list[Tool], choice: ToolChoice | None, losses: Losses) -> list[JsonObject]:
    encoded: list[JsonObject] = []
    allowed = None if choice is None else choice.allowed
    if allowed is not None:
        losses.add("tool_choice.allowed", "the tools that may not be called are not shown to the model")
    for i, tool in enumerate(tools):
        path = f"tools[{i}]"
        match tool:
            case FunctionTool():
                if allowed is None or tool.name in allowed:
                    encoded.append({"toolSpec": _encode_function(tool, path, losses)})
                    if tool.cache is not None:
                        encoded.append(encode_cache_point(tool.cache, path, losses))
            case CustomTool():
                losses.add(path, f"the input of a tool is always an object in {NAME}, never free text")
            case NativeTool():
                if tool.dialect == NAME:
                    encoded.append(tool.value)
                else:
                    losses.add(path, f"only {tool.dialect} has the tool {tool.type!r}")
            case _:
                assert_never(tool)
    return encoded


def _encode_function(tool: FunctionTool, path: str, losses: Losses) -> JsonObject:
    spec: JsonObject = {"name": tool.name}
    if tool.description is not None:
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": {"type": "object", "properties": {}} if tool.schema is None else tool.schema}
    if tool.strict is not None:
        spec["strict"] = tool.strict
    return spec | own_extras(tool.extras, NAME, losses, path)


def _encode_choice(choice: ToolChoice, tools: bool, losses: Losses) -> JsonObject:
    own = own_extras(choice.extras, NAME, losses, "tool_choice")
    if not tools:
        forced = choice.mode in ("required", "named")
        losses.add("tool_choice", "there are no tools to choose from", "warning" if forced else "info")
        return {}
    match choice.mode:
        case "auto":
            return {"toolChoice": {"auto": {}, **own}}
        case "required":
            return {"toolChoice": {"any": {}, **own}}
        case "named":
            return {"toolChoice": {"tool": {"name": choice.name}, **own}}
        case "none":
            losses.add("tool_choice", f"{NAME} cannot forbid the tools that the conversation has used")
            return {}
        case _:
            assert_never(choice.mode)
