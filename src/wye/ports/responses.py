"""Answers that a caller may come back to by their id (OpenAI's Responses API: `store`, `previous_response_id`)."""

from __future__ import annotations

from typing import Protocol

import msgspec


class KeptResponse(msgspec.Struct, frozen=True):
    id: str
    principal: str
    """Whose it is: nobody else finds it."""
    response: bytes
    """The answer as the caller got it: the JSON of a Response."""
    items: bytes
    """All that the model was asked with: the JSON of a list of items, those of the turns before included."""
    deployment: str
    """Who answered."""
    upstream_has_it: bool
    """Whether the upstream keeps it as well, and can go on from it."""
    created_s: float
    losses: str = ""
    """What an answer that was made in the background lost on its way: the X-Wye-Loss header, for who looks it up."""


class ResponseStore(Protocol):
    async def put(self, kept: KeptResponse) -> None: ...

    async def get(self, principal: str, response_id: str) -> KeptResponse | None: ...

    async def delete(self, principal: str, response_id: str) -> bool:
        """Whether there was one."""
        ...
