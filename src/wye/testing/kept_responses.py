"""What a fake of OpenAI's Responses keeps: answers to go on from, to show again, and to forget.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from wye.canon.parts import Part, ToolCall
from wye.canon.request import ChatRequest
from wye.dialects.openai_responses.conversation import continued, page_of, with_ids
from wye.kernel.errors import BadRequest, NotFound
from wye.kernel.json import JsonObject, as_list, as_object, decode
from wye.kernel.sse import parse
from wye.testing.telling import Told

DIALECT = "openai_responses"
_MOST = 1000
_ENDS = ("response.completed", "response.incomplete", "response.failed")


class _Kept(msgspec.Struct):
    response: JsonObject
    items: list[JsonObject]
    """What it was asked with, the turns before it included."""
    calls: set[str]
    """The ids of its calls, and of those before it."""


class KeptResponses:
    """The latest answers of one provider."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def calls_before(self, chat: ChatRequest) -> set[str]:
        """The ids of calls that a request may answer without repeating them. Raises BadRequest for a turn that is not
        kept."""
        previous = self._previous(chat)
        return previous.calls if previous is not None else set()

    def keep(self, chat: ChatRequest, given: Any, said: Iterable[Part], told: Told) -> None:
        """`given` is the request's `input`, `said` the parts of the answer, `told` its bytes."""
        response = _whole(told)
        if chat.store is False or response is None:
            return
        previous = self._previous(chat)
        before, output = (previous.items, as_list(previous.response["output"])) if previous is not None else ([], None)
        items = with_ids(continued(before, [item for each in output or () if (item := as_object(each))], given))
        parts = [*said, *(part for message in chat.messages for part in message.parts)]
        calls = self.calls_before(chat) | {part.id for part in parts if isinstance(part, ToolCall)}
        self._kept[str(response["id"])] = _Kept(response, items, calls)
        while len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]

    def page(self, method: str, steps: list[str], query: str) -> JsonObject | None:
        """What the address below `/v1/responses` says; None for one that there is not. Raises BadRequest, NotFound."""
        match method, steps:
            case "GET", [identity]:
                return self._find(identity).response
            case "DELETE", [identity]:
                self._find(identity)
                del self._kept[identity]
                return {"id": identity, "object": "response", "deleted": True}
            case "GET", [identity, "input_items"]:
                asked = {name: values[-1] for name, values in parse_qs(query).items()}
                limit, order = asked.get("limit", "20"), asked.get("order", "desc")
                if order not in ("asc", "desc") or not limit.isdecimal():
                    raise BadRequest("order must be 'asc' or 'desc', and limit a number", param="order")
                return page_of(self._find(identity).items, after=asked.get("after"), limit=int(limit), order=order)
            case "POST", [identity, "cancel"]:
                self._find(identity)
                raise BadRequest("Only responses created with background=true can be cancelled.")
            case _:
                return None

    def _previous(self, chat: ChatRequest) -> _Kept | None:
        """Raises BadRequest."""
        wanted = (chat.extras or {}).get(DIALECT, {}).get("previous_response_id")
        if wanted is None:
            return None
        found = self._kept.get(str(wanted))
        if found is None:
            raise BadRequest(
                f"Previous response with id '{str(wanted)[:100]}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return found

    def _find(self, identity: str) -> _Kept:
        """Raises NotFound."""
        found = self._kept.get(identity)
        if found is None:
            raise NotFound(f"Response with id '{identity[:100]}' not found.", param="id")
        return found


def _whole(told: Told) -> JsonObject | None:
    """The answer's object; of a stream that of its last event."""
    said = b"".join(piece for piece in told.pieces if isinstance(piece, bytes))
    if not told.stream:
        return as_object(decode(said))
    ends = [frame.data for frame in parse(said) if frame.event in _ENDS]
    return as_object((as_object(decode(ends[-1])) or {}).get("response")) if ends else None
