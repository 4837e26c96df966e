"""Tools of Command R, whose parameters are a flat list, and their calls and results, which have no ids.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
"""

from __future__ import annotations

import re
from typing import Any

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Part, Text, ToolCall, ToolResult
from wye.canon.request import ChatRequest
from wye.canon.tools import FunctionTool, Tool
from wye.dialects.bedrock_invoke.cohere.name import NAME
from wye.dialects.bedrock_invoke.turns import say_text
from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, encode_text, type_name

_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict"}
_SCHEMA_TYPES = {own: name for name, own in _TYPES.items()} | {name: name for name in _TYPES}
_LIST = re.compile(r"[Ll]ist\[(\w+)\]")


def decode_tools(fields: Fields) -> list[Tool] | None:
    if not fields.has("tools"):
        return None
    return [_decode_tool(item) for item in fields.each("tools")]


def _decode_tool(fields: Fields) -> Tool:
    tool = FunctionTool(fields.required_str("name"), fields.str("description"))
    definitions = fields.dict("parameter_definitions")
    rest = fields.rest()
    if definitions is not None:
        tool.schema = _schema_of(definitions)
        rest = {**rest, FORM: {"parameter_definitions": definitions}}
    tool.extras = extras_of(NAME, rest)
    return tool


def _schema_of(definitions: JsonObject) -> JsonObject:
    properties: JsonObject = {}
    required: list[str] = []
    for name, value in definitions.items():
        definition = as_object(value) or {}
        properties[name] = _schema_of_type(str(definition.get("type")))
        if isinstance(definition.get("description"), str):
            properties[name]["description"] = definition["description"]
        if definition.get("required") is True:
            required.append(name)
    schema: JsonObject = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _schema_of_type(kind: str) -> JsonObject:
    """A type in Python's words. One that JSON Schema has no word for is any."""
    items = _LIST.fullmatch(kind)
    if items is not None:
        return {"type": "array", "items": _schema_of_type(items[1])}
    known = _SCHEMA_TYPES.get(kind)
    return {} if known is None else {"type": known}


def _take_type(schema: JsonObject) -> str | None:
    """Remove a parameter's type, said in Python's words; None when there is no word for it."""
    kind: Any = schema.pop("type", None)
    own = _TYPES.get(kind) if isinstance(kind, str) else None
    items = as_object(schema.get("items")) or {}
    item = items.get("type")
    if own == "list" and len(items) == 1 and isinstance(item, str) and item in _TYPES:
        del schema["items"]
        return f"List[{_TYPES[item]}]"
    return own


def encode_tools(request: ChatRequest, losses: Losses) -> list[JsonObject]:
    """The tools that may be called; a choice among them has no word."""
    choice = request.tool_choice
    allowed = None if choice is None else choice.allowed
    own_extras(None if choice is None else choice.extras, NAME, losses, "tool_choice")
    if choice is not None and choice.mode == "none":
        losses.add("tool_choice", "the tools that may not be called are not shown to the model", "info")
        return []
    if choice is not None and choice.mode != "auto":
        losses.add("tool_choice", f"{NAME} cannot make the model call a tool")
    if allowed is not None:
        losses.add("tool_choice.allowed", "the tools that may not be called are not shown to the model", "info")
    if request.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", f"{NAME} cannot keep the model from calling several tools at once")
    tools: list[JsonObject] = []
    for i, tool in enumerate(request.tools or ()):
        if not isinstance(tool, FunctionTool):
            losses.add(f"tools[{i}]", f"{NAME} knows only functions")
        elif allowed is None or tool.name in allowed:
            tools.append(_encode_tool(tool, f"tools[{i}]", losses))
    return tools


def _encode_tool(tool: FunctionTool, path: str, losses: Losses) -> JsonObject:
    own = dict(own_extras(tool.extras, NAME, losses, path))
    kept = own.pop(FORM, {}).get("parameter_definitions")
    said: JsonObject = {"name": tool.name, "description": tool.description or ""}
    if kept is not None and _schema_of(kept) == tool.schema:
        said["parameter_definitions"] = kept
    elif tool.schema is not None:
        said["parameter_definitions"] = _definitions(tool.schema, f"{path}.parameters", losses)
    if tool.strict:
        losses.add(f"{path}.strict", f"{NAME} does not hold the model to the schema")
    if tool.cache is not None:
        losses.add(f"{path}.cache_control", f"{NAME} has no cache marks", "info")
    return said | own


def _definitions(schema: JsonObject, path: str, losses: Losses) -> JsonObject:
    definitions: JsonObject = {}
    required = as_list(schema.get("required")) or []
    for name, value in (as_object(schema.get("properties")) or {}).items():
        left = dict(as_object(value) or {})
        own = _take_type(left)
        if own is None:
            losses.add(f"{path}.properties.{name}.type", f"{NAME} knows no such type: said as a string")
        definition: JsonObject = {"type": own or "str", "required": name in required}
        if isinstance(left.get("description"), str):
            definition["description"] = left.pop("description")
        for member in left:
            losses.add(f"{path}.properties.{name}.{member}", f"{NAME} has only a type and a description")
        definitions[name] = definition
    for member in schema.keys() - {"type", "properties", "required"}:
        losses.add(f"{path}.{member}", f"{NAME} has only a list of parameters")
    return definitions


class Calls:
    """The calls of a conversation. On the wire a result repeats its call; here it names it by an id."""

    def __init__(self) -> None:
        self._known: dict[str, ToolCall] = {}
        self._open: list[ToolCall] = []

    def decode(self, fields: Fields) -> ToolCall:
        call = ToolCall(f"call_{len(self._known)}", fields.required_str("name"))
        call.arguments = encode_text(fields.dict("parameters") or {})
        call.extras = extras_of(NAME, fields.rest())
        self.add(call)
        return call

    def add(self, call: ToolCall) -> None:
        self._known[call.id] = call
        self._open.append(call)

    def answered(self, fields: Fields) -> tuple[ToolCall, bool]:
        """The call that a result repeats, and whether it was made before."""
        name, given = fields.required_str("name"), encode_text(fields.dict("parameters") or {})
        same = [call for call in self._open if call.name == name]
        exact = [call for call in same if call.arguments == given]
        for found in (*exact, *same):
            self._open.remove(found)
            return found, True
        call = ToolCall(f"call_{len(self._known)}", name, given, extras=extras_of(NAME, fields.rest()))
        self._known[call.id] = call
        return call, False

    def encode_result(self, part: ToolResult, path: str, losses: Losses) -> JsonObject:
        call = self._known.get(part.call_id)
        if call is None:
            raise cannot_say(NAME, "the result of a call that is not in the conversation", path)
        if part.is_error:
            losses.add(f"{path}.is_error", f"{NAME} cannot mark a tool's failure; its text says it")
        if part.cache is not None:
            losses.add(f"{path}.cache_control", f"{NAME} has no cache marks", "info")
        own = own_extras(part.extras, NAME, losses, path)
        outputs = [_encode_output(item, f"{path}.content[{i}]", losses) for i, item in enumerate(part.parts)]
        said = {
            "call": encode_call(call, path, losses),
            "outputs": [output for output in outputs if output is not None],
        }
        return said | own


def decode_output(value: Any, path: str) -> Part:
    output = as_object(value)
    if output is None:
        raise BadRequest(f"{path} must be an object, not {type_name(value)}", param=path)
    if output.keys() == {"text"} and isinstance(output["text"], str):
        return Text(output["text"])
    return Text(encode_text(output), extras={NAME: {FORM: {"object": True}}})


def _encode_output(part: Part, path: str, losses: Losses) -> JsonObject | None:
    text = say_text(part, path, NAME, losses)
    if text is None:
        return None
    form: Any = ((part.extras or {}).get(NAME, {}) if isinstance(part, Text) else {}).get(FORM, {})
    value = _object_in(text) if form.get("object") else None
    return {"text": text} if value is None else value


def _object_in(text: str) -> JsonObject | None:
    try:
        return as_object(decode(text))
    except JsonError:
        return None


def encode_call(call: ToolCall, path: str, losses: Losses, *, answer: bool = False) -> JsonObject:
    """Raises BadRequest for arguments that are no object; in an answer, the model's own mistake is passed on."""
    parameters = _object_in(call.arguments or "{}")
    if call.kind == "custom":
        losses.add(f"{path}.arguments", "the free text of a custom tool is sent as the object {input: text}")
        parameters = {"input": call.arguments}
    elif parameters is None:
        at = f"{path}.arguments"
        if not answer:
            raise BadRequest(f"{at}: the arguments of the call to {call.name!r} are no JSON object", param=at)
        losses.add(at, "the model's arguments are no JSON object")
        parameters = {"_raw": call.arguments}
    return {"name": call.name, "parameters": parameters, **own_extras(call.extras, NAME, losses, path, "info")}
