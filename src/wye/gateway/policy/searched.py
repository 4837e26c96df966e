"""`file_search` of the Responses API: Wye runs it over its own vector stores, whoever answers; an upstream that has
stores itself is asked for those untouched. https://platform.openai.com/docs/guides/tools-file-search
"""

from __future__ import annotations

from wye.gateway.deployment import Route
from wye.gateway.exchange import Exchange
from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode
from wye.ports.file_search import FileSearches

_TOOL = "file_search"


async def searched(exchange: Exchange, route: Route, searches: FileSearches) -> Route:
    """The route of a request of the Responses API, where it asks for a search.

    Raises NotFound, BadRequest and StoreAway, as `FileSearches.panel` does.
    """
    tools = _tools(exchange)
    if not tools:
        return route
    native = [d for d in route.deployments if d.provider.passthrough and d.speaks(exchange.dialect) is exchange.dialect]
    panel = await searches.panel(exchange.principal, tools, demanded=not native)
    if panel is None:
        return route if len(native) == len(route.deployments) else route.only(native)
    if route.panel is not None:
        raise BadRequest(f"'{route.name[:200]}' stands for several models: {_TOOL} is for a single one", param="tools")
    return Route(route.name, [], route.strict, panel=panel, asks=route)


def _tools(exchange: Exchange) -> list[JsonObject]:
    raw = exchange.members.get("tools")
    if raw is None or _TOOL.encode() not in bytes(raw):
        return []
    try:
        tools = as_list(decode(raw)) or []
    except JsonError:
        return []  # said by whoever reads the whole
    return [tool for value in tools if (tool := as_object(value)) is not None and tool.get("type") == _TOOL]
