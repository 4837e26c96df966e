"""Tools that Wye has itself: for clients and agents to try their ways with tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from wye.api.answers import json_answer, read_object
from wye.kernel.errors import NotFound, Unprocessable
from wye.kernel.json import JsonObject, as_object
from wye.knowledge.calculator import calculate


class Tool(NamedTuple):
    description: str
    argument: str
    meaning: str
    run: Callable[[str], Any]


TOOLS = {
    "echo": Tool("Says what it is told.", "text", "What to say.", str),
    "calculator": Tool("Calculates.", "expression", "Arithmetic, as in `2 * (3 + 4) ^ 2`.", calculate),
}


class ToolPages:
    async def list(self, request: Request) -> Response:
        return json_answer({"object": "list", "data": [_described(name, tool) for name, tool in TOOLS.items()]})

    async def execute(self, request: Request) -> Response:
        """`{name, arguments: {...}}` -> `{name, result}`."""
        body = await read_object(request)
        tool = TOOLS.get(str(body.get("name")))
        if "name" not in body:
            raise Unprocessable("name is required: GET /v1/tools lists the tools", param="name")
        if tool is None:
            raise NotFound(f"Tool {str(body['name'])[:100]!r} not found: there are {', '.join(TOOLS)}", param="name")
        arguments = as_object(body.get("arguments")) or {}
        given = arguments.get(tool.argument)
        if not isinstance(given, str):
            where = f"arguments.{tool.argument}"
            raise Unprocessable(f"{where} is required, as a string", param=where)
        return json_answer({"object": "tool_result", "name": body["name"], "result": tool.run(given)})


def _described(name: str, tool: Tool) -> JsonObject:
    argument = {"type": "string", "description": tool.meaning}
    parameters = {"type": "object", "properties": {tool.argument: argument}, "required": [tool.argument]}
    function = {"name": name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}
