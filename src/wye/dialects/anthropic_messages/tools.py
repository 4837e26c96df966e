"""Tools and the choice among them. https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview"""

from __future__ import annotations

from typing import Literal, assert_never

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, Tool, ToolChoice
from wye.dialects.anthropic_messages.content import decode_cache, encode_cache
from wye.dialects.anthropic_messages.name import NAME
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, type_name

_MODES: dict[str, Literal["auto", "none", "required", "named"]] = {
    "auto": "auto",
    "any": "required",
    "tool": "named",
    "none": "none",
}
_CHOICES = {mode: kind for kind, mode in _MODES.items()}


def decode_tools(fields: Fields) -> list[Tool] | None:
    tools = fields.list("tools")
    if tools is None:
        return None
    return [_decode_tool(tool, f"{fields.at('tools')}[{i}]") for i, tool in enumerate(tools)]


def _decode_tool(tool: object, path: str) -> Tool:
    if not isinstance(tool, dict):
        raise BadRequest(f"{path} must be an object, not {type_name(tool)}", param=path)
    fields = Fields(tool, path)
    if fields.str("type") not in (None, "custom"):
        return NativeTool(NAME, tool)  # pyright: ignore[reportUnknownArgumentType]
    return FunctionTool(
        name=fields.required_str("name"),
        description=fields.str("description"),
        schema=fields.dict("input_schema"),
        strict=fields.bool("strict"),
        cache=decode_cache(fields),
        extras=extras_of(NAME, fields.rest()),
    )


def decode_tool_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether several calls at a time are allowed."""
    choice = fields.fields("tool_choice")
    if choice is None:
        return None, None
    kind = choice.one_of("type", tuple(_MODES))
    if kind is None:
        raise BadRequest(f"{choice.at('type')} is required", param=choice.at("type"))
    single = choice.bool("disable_parallel_tool_use")
    name = choice.required_str("name") if kind == "tool" else None
    chosen = ToolChoice(_MODES[kind], name, extras=extras_of(NAME, choice.rest()))
    return chosen, None if single is None else not single


def encode_tools(tools: list[Tool], choice: ToolChoice | None, losses: Losses) -> list[JsonObject]:
    """The tools that may be called: `ToolChoice.allowed` has no member here, so the others are left out."""
    encoded: list[JsonObject] = []
    allowed = None if choice is None else choice.allowed
    if allowed is not None:
        losses.add("tool_choice.allowed", "the tools that may not be called are not shown to the model")
    for i, tool in enumerate(tools):
        path = f"tools[{i}]"
        match tool:
            case FunctionTool():
                if allowed is None or tool.name in allowed:
                    encoded.append(_encode_function(tool, path, losses))
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
    function: JsonObject = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["input_schema"] = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    if tool.cache is not None:
        function["cache_control"] = encode_cache(tool.cache, path, losses)
    return function | own_extras(tool.extras, NAME, losses, path)


def encode_tool_choice(choice: ToolChoice | None, parallel: bool | None, losses: Losses) -> JsonObject | None:
    if choice is None:
        # Parallel calls are what happens without being asked for.
        return {"type": "auto", "disable_parallel_tool_use": True} if parallel is False else None
    said: JsonObject = {"type": _CHOICES[choice.mode]}
    if choice.mode == "named":
        said["name"] = choice.name
    # Without tools to call there is nothing to do one at a time, and no member to say so.
    if parallel is not None and choice.mode != "none":
        said["disable_parallel_tool_use"] = not parallel
    return said | own_extras(choice.extras, NAME, losses, "tool_choice")
