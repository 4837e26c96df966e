"""Tools and the choice among them.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html
"""

from __future__ import annotations

from typing import Literal, assert_never

from wye.canon.loss import Losses
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, Tool, ToolChoice
from wye.dialects.bedrock_converse.content import Reader, decode_cache, encode_cache, takes_cache
from wye.dialects.bedrock_converse.form import block, block_extras, extras_with, merged, own_members
from wye.dialects.bedrock_converse.model_fields import is_field
from wye.dialects.bedrock_converse.name import NAME
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject

_MODES: dict[str, Literal["auto", "required"]] = {"any": "required", "auto": "auto"}


def decode_tools(config: Fields) -> list[Tool] | None:
    if not config.has("tools"):
        return None
    tools: list[Tool] = []
    for item in config.list("tools") or ():
        fields = Fields(item, f"{config.at('tools')}[{len(tools)}]")
        last = tools[-1] if tools else None
        if fields.has("toolSpec"):
            tools.append(_decode_spec(fields))
        elif fields.has("cachePoint") and len(item) == 1 and isinstance(last, FunctionTool) and last.cache is None:
            last.cache = decode_cache(fields)
        else:
            tools.append(NativeTool(NAME, item))
    return tools


def _decode_spec(outer: Fields) -> FunctionTool:
    inner = outer.fields("toolSpec") or Fields({})
    name, description = inner.required_str("name"), inner.str("description")
    schema = inner.fields("inputSchema")
    tool = FunctionTool(name, description, schema.dict("json") if schema else None, inner.bool("strict"))
    if schema is not None and schema.rest():
        inner.rest()["inputSchema"] = schema.rest()
    tool.extras = block_extras(inner, outer)
    return tool


def decode_tool_choice(config: Fields) -> ToolChoice | None:
    choice = config.fields("toolChoice")
    if choice is None:
        return None
    if choice.has("tool"):
        named = Fields(choice.any("tool"), choice.at("tool"))
        name = named.required_str("name")
        if named.rest():
            choice.rest()["tool"] = named.rest()
        return ToolChoice("named", name, extras=extras_with(choice.rest()))
    for kind, mode in _MODES.items():
        if choice.has(kind):
            more = choice.dict(kind)
            return ToolChoice(mode, extras=extras_with({**choice.rest(), **({kind: more} if more else {})}))
    raise BadRequest(f"{choice.path} must be one of auto, any, tool", param=choice.path)


def encode_tools(tools: list[Tool], choice: ToolChoice | None, losses: Losses, reader: Reader) -> list[JsonObject]:
    """The tools that may be called: `ToolChoice.allowed` has no member here, so the others are left out."""
    encoded: list[JsonObject] = []
    allowed = None if choice is None else choice.allowed
    if allowed is not None:
        losses.add("tool_choice.allowed", "the tools that may not be called are not shown to the model")
    for i, tool in enumerate(tools):
        path = f"tools[{i}]"
        match tool:
            case FunctionTool():
                if allowed is not None and tool.name not in allowed:
                    continue
                encoded.append(_encode_spec(tool, path, losses))
                if tool.cache is not None and takes_cache(tool.cache, path, losses, reader):
                    encoded.append(encode_cache(tool.cache, path, losses))
            case CustomTool():
                losses.add(path, f"the input of a tool is always an object in {NAME}, never free text")
            case NativeTool():
                if is_field(tool, reader.family):
                    continue
                if tool.dialect == NAME:
                    encoded.append(tool.value)
                else:
                    losses.add(path, f"only {tool.dialect} has the tool {tool.type!r}")
            case _:
                assert_never(tool)
    return encoded


def _encode_spec(tool: FunctionTool, path: str, losses: Losses) -> JsonObject:
    spec: JsonObject = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": {"type": "object", "properties": {}} if tool.schema is None else tool.schema}
    if tool.strict is not None:
        spec["strict"] = tool.strict
    return block("toolSpec", spec, own_members(tool.extras, losses, path))


def named_in_history(names: list[str]) -> list[JsonObject]:
    """Specifications for tools of which nothing is known but that they were called."""
    schema: JsonObject = {"type": "object", "properties": {}}
    return [{"toolSpec": {"name": name, "inputSchema": {"json": schema}}} for name in names]


def encode_tool_choice(choice: ToolChoice, losses: Losses) -> JsonObject:
    """Of any mode but `none`, for which there is no word."""
    said: JsonObject
    match choice.mode:
        case "named":
            said = {"tool": {"name": choice.name}}
        case "required":
            said = {"any": {}}
        case _:
            said = {"auto": {}}
    return merged(said, own_members(choice.extras, losses, "tool_choice"))
