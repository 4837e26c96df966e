"""`file_ids` on a chat request of any dialect: what the files hold goes before the caller's last words."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from wye.canon.parts import Part, Text, ToolResult
from wye.canon.request import ChatRequest, Message
from wye.gateway.exchange import Exchange
from wye.gateway.policy.reword import reword, said_in
from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, Raw, as_list, decode, encode
from wye.ports.attachments import Attachments

MEMBER = "file_ids"
CITED = "citations"
"""Beside it: whether the answer is to be cited, `true` or as Anthropic has it with documents: `{"enabled": true}`."""
_MAX_FILES = 20


async def attach(exchange: Exchange, files: Attachments) -> None:
    """Say the files in the body, in the caller's own dialect: from here on it is like any other. Raises BadRequest,
    NotFound, UnsupportedMedia."""
    members = exchange.members
    ids = _file_ids(members.pop(MEMBER))
    if ids and _are_cited(members.pop(CITED, None)):
        exchange.cited_files = ids
    elif ids:
        request = said_in(exchange)
        context = await files.context(exchange.principal, ids)
        reword(exchange, request, partial(_with_context, context))
    exchange.body = encode(members)


def _file_ids(raw: Raw) -> list[str]:
    found = _decoded(raw, MEMBER)
    if found is None:
        return []
    ids = as_list(found)
    if ids is None or not all(isinstance(name, str) and name for name in ids):
        raise BadRequest(f"{MEMBER} must be a list of ids of files", param=MEMBER)
    if len(ids) > _MAX_FILES:
        raise BadRequest(f"{MEMBER} names {len(ids)} files; at most {_MAX_FILES} are read", param=MEMBER)
    return ids


def _decoded(raw: Raw, name: str) -> Any:
    try:
        return decode(raw)
    except JsonError as error:
        raise BadRequest(f"{name} is not valid JSON: {error}", param=name, code="invalid_json") from None


def _are_cited(raw: Raw | None) -> bool:
    match None if raw is None else _decoded(raw, CITED):
        case None | False | {"enabled": False}:
            return False
        case True | {"enabled": True}:
            return True
        case _:
            raise BadRequest(f"{CITED} must be true, false or {{'enabled': true}}", param=CITED)


def _with_context(context: str, request: ChatRequest) -> ChatRequest:
    messages = list(request.messages)
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if message.role == "user" and not all(isinstance(part, ToolResult) for part in message.parts):
            messages[at] = msgspec.structs.replace(message, parts=_before(context, message.parts))
            return msgspec.structs.replace(request, messages=messages)
    messages.append(Message("user", [Text(context)]))
    return msgspec.structs.replace(request, messages=messages)


def _before(context: str, parts: list[Part]) -> list[Part]:
    """One text where there was one: not every upstream takes several."""
    if parts and isinstance(parts[0], Text):
        return [msgspec.structs.replace(parts[0], text=f"{context}\n\n{parts[0].text}"), *parts[1:]]
    return [Text(context), *parts]
