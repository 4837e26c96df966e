"""Documents that are to be cited, in a request for a model that cites nothing itself.

https://docs.anthropic.com/en/docs/build-with-claude/citations
"""

from __future__ import annotations

from wye.canon.parts import Document
from wye.canon.request import ChatRequest
from wye.gateway.deployment import Route
from wye.gateway.exchange import Exchange
from wye.kernel.errors import BadRequest
from wye.ports.citing import Citing


def is_cited(exchange: Exchange, route: Route) -> bool:
    """Whether a request asks for citations that Wye must find."""
    return bool(exchange.cited_files) or (exchange.dialect.cites and _asks(exchange, route))


async def cited(exchange: Exchange, route: Route, citing: Citing) -> Route:
    """The route of such a request. Raises as `Citing.panel` does."""
    if route.panel is not None:
        raise BadRequest(
            f"citations are for a single model that answers alone: '{route.name[:200]}' is more than that",
            param="citations",
        )
    panel = await citing.panel(exchange.principal, exchange.canonical(), exchange.cited_files)
    return Route(route.name, [], route.strict, panel=panel, asks=route)


def _asks(exchange: Exchange, route: Route) -> bool:
    if route.panel is not None or any(deployment.speaks(exchange.dialect).cites for deployment in route.deployments):
        return False
    messages = exchange.members.get("messages")
    return messages is not None and b'"citations"' in bytes(messages) and _has_documents(exchange.canonical())


def _has_documents(request: ChatRequest) -> bool:
    parts = (part for message in request.messages for part in message.parts)
    return any(isinstance(part, Document) and part.citations for part in parts)
