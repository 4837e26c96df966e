"""Sessions: conversations that Wye keeps for their caller until they expire."""

from __future__ import annotations

from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from wye.api.answers import asked_page, json_answer, listed, read_object
from wye.kernel import clock
from wye.kernel.errors import BadRequest, NotFound, TooLarge, Unprocessable
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object
from wye.knowledge.on_demand import LibraryOnDemand
from wye.ports.store import MAX_MESSAGE, Message, Session

_TTL_S, _MAX_TTL_S = 24 * 3600, 30 * 24 * 3600
_MAX_METADATA = 16
_ROLES = ("system", "user", "assistant")


class SessionPages:
    def __init__(self, library: LibraryOnDemand) -> None:
        self._library = library

    async def create(self, request: Request) -> Response:
        body = await read_object(request)
        now, ttl_s = clock.wall_s(), _ttl_s(body)
        session = Session(
            id=new_id("sess-"),
            principal=request.state.principal,
            created_s=now,
            expires_s=now + ttl_s,
            ttl_s=ttl_s,
            metadata=_metadata(body),
        )
        await (await self._library()).store.sessions.add(session)
        return json_answer(_described(session))

    async def list(self, request: Request) -> Response:
        page = asked_page(request, default=20, most=1000)
        sessions = await (await self._library()).store.sessions.list(request.state.principal, page)
        return json_answer(listed(page, [_described(session) for session in sessions]))

    async def show(self, request: Request) -> Response:
        session = await self._session(request)
        messages = await (await self._library()).store.sessions.messages(session.id)
        return json_answer({**_described(session), "messages": [_message(message) for message in messages]})

    async def say(self, request: Request) -> Response:
        """Add messages; the session lives as long again as it was made for."""
        session = await self._session(request)
        said = _messages(await read_object(request))
        expires_s = session.prolonged_s(clock.wall_s())
        await (await self._library()).store.sessions.say(session.id, said, expires_s=expires_s)
        return await self.show(request)

    async def delete(self, request: Request) -> Response:
        session_id = request.path_params["session_id"]
        if not await (await self._library()).store.sessions.delete(request.state.principal, session_id):
            raise _no_session(session_id)
        return json_answer({"id": session_id, "object": "session", "deleted": True})

    async def _session(self, request: Request) -> Session:
        session_id = request.path_params["session_id"]
        found = await (await self._library()).store.sessions.get(request.state.principal, session_id)
        if found is None:
            raise _no_session(session_id)
        return found


def _no_session(session_id: str) -> NotFound:
    return NotFound(f"Session '{session_id[:100]}' not found", param="session_id", code="session_not_found")


def _described(session: Session) -> JsonObject:
    return {
        "id": session.id,
        "object": "session",
        "created_at": int(session.created_s),
        "expires_at": int(session.expires_s),
        "metadata": session.metadata,
    }


def _message(message: Message) -> JsonObject:
    return {"role": message.role, "content": message.content, "created_at": int(message.created_s)}


def _ttl_s(body: JsonObject) -> float:
    ttl_s = body.get("ttl_s", _TTL_S)
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float) or not 0 < ttl_s <= _MAX_TTL_S:
        raise BadRequest(f"ttl_s must be a number of seconds up to {_MAX_TTL_S}", param="ttl_s")
    return float(ttl_s)


def _metadata(body: JsonObject) -> dict[str, str]:
    metadata = as_object(body.get("metadata") or {})
    if metadata is None or len(metadata) > _MAX_METADATA or not all(isinstance(v, str) for v in metadata.values()):
        raise BadRequest(f"metadata must be an object of at most {_MAX_METADATA} strings", param="metadata")
    return metadata


def _messages(body: JsonObject) -> list[Message]:
    given = as_list(body.get("messages"))
    if not given:
        raise Unprocessable("messages is required: a list of {role, content}", param="messages")
    found: list[Message] = []
    for i, item in enumerate(given):
        said = as_object(item) or {}
        role, content = said.get("role"), said.get("content")
        where = f"messages[{i}]"
        if role not in _ROLES or not isinstance(content, str):
            raise BadRequest(f"{where} must have a role ({', '.join(_ROLES)}) and content, a string", param=where)
        if len(content) > MAX_MESSAGE:
            raise TooLarge(
                f"{where} has {len(content)} characters, and at most {MAX_MESSAGE} may be", param=f"{where}.content"
            )
        found.append(Message(role=cast(Any, role), content=content, created_s=clock.wall_s()))
    return found
