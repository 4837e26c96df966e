"""What the pages have in common: an answer of JSON, and a list of which a caller wants a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from wye.kernel.errors import BadRequest, TooLarge
from wye.kernel.json import JsonObject, decode_body, encode
from wye.ports.store import Page

_MAX_BODY_BYTES = 1024 * 1024


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(value), status, headers, media_type="application/json")


def speaks_anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


async def read_object(request: Request) -> JsonObject:
    """The body as a JSON object; an empty one for no body. Raises BadRequest, TooLarge."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise TooLarge(f"The request body is larger than {_MAX_BODY_BYTES} bytes")
    return decode_body(body) if body else {}


def asked_page(request: Request, *, default: int, most: int) -> Page:
    """`limit`, `after`, `before` and `order`, as OpenAI's lists take them; Anthropic's `after_id` and `before_id`. One
    more is asked for than the caller wants, so that `listed` can say whether there is more. Raises BadRequest."""
    query = request.query_params
    limit, order = query.get("limit", str(default)), query.get("order", "desc")
    if not (limit.isdecimal() and limit.isascii() and len(limit) <= 5 and 1 <= int(limit) <= most):
        raise BadRequest(f"limit must be a number from 1 to {most}", param="limit")
    if order not in ("asc", "desc"):
        raise BadRequest("order must be 'asc' or 'desc'", param="order")
    after, before = query.get("after") or query.get("after_id"), query.get("before") or query.get("before_id")
    return Page(limit=int(limit) + 1, after=after, before=before, order="asc" if order == "asc" else "desc")


def listed(page: Page, found: Sequence[JsonObject], name: str = "id") -> JsonObject:
    """https://platform.openai.com/docs/api-reference/files/list"""
    wanted = page.limit - 1
    data = found[-wanted:] if page.before is not None else found[:wanted]
    ends = {"first_id": data[0][name], "last_id": data[-1][name]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": len(found) > len(data)}
