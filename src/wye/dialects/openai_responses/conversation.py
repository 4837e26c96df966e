"""Items from one turn to the next, for whoever keeps conversations: pure functions on lists of items.

https://platform.openai.com/docs/guides/conversation-state
"""

from __future__ import annotations

from typing import Any, Literal

from wye.kernel.errors import BadRequest, NotFound
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object

_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
}
MAX_PAGE = 100


def items_of(given: Any) -> list[JsonObject]:
    """A request's `input` as items: a string is a message of the user. Raises BadRequest for what is neither."""
    if given is None:
        return []
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    values = as_list(given)
    items = [item for value in values or () if (item := as_object(value)) is not None]
    if values is None or len(items) < len(values):
        raise BadRequest("input must be a string or an array of items", param="input")
    return items


def with_ids(items: list[JsonObject]) -> list[JsonObject]:
    """The items as they are kept and listed: each has an id and a type, a message its parts and a status."""
    return [_with_id(item) for item in items]


def _with_id(item: JsonObject) -> JsonObject:
    kind = item.get("type") or "message"
    known: JsonObject = {**item, "type": kind, "id": item.get("id") or new_id(_PREFIXES.get(kind, "item_"))}
    if kind == "message":
        text = "output_text" if item.get("role") == "assistant" else "input_text"
        content = item.get("content")
        known["content"] = [{"type": text, "text": content}] if isinstance(content, str) else content
        known["status"] = item.get("status") or "completed"
    return known


def continued(previous: list[JsonObject], output: list[JsonObject], given: Any) -> list[JsonObject]:
    """The whole input of a turn that continues another: what that was given, what it answered, and the new input.

    References to items of that turn are left out: they are there themselves.
    """
    before = [*previous, *output]
    known = {item.get("id") for item in before}
    return [*before, *(item for item in items_of(given) if not _refers_to(item, known))]


def _refers_to(item: JsonObject, known: set[Any]) -> bool:
    return item.get("type") == "item_reference" and item.get("id") in known


def page_of(
    items: list[JsonObject], *, after: str | None = None, limit: int = 20, order: Literal["asc", "desc"] = "desc"
) -> JsonObject:
    """A page of a turn's items as clients list them. `after` is the last id of the page before.

    Raises BadRequest for a limit that is not from 1 to 100, NotFound for an `after` that is no item's id.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"limit must be from 1 to {MAX_PAGE}, not {limit}", param="limit")
    left = items if order == "asc" else items[::-1]
    if after is not None:
        ids = [item.get("id") for item in left]
        if after not in ids:
            raise NotFound(f"No item has the id {after!r}", param="after")
        left = left[ids.index(after) + 1 :]
    page = left[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0].get("id") if page else None,
        "last_id": page[-1].get("id") if page else None,
        "has_more": len(left) > limit,
    }
