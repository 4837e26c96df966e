"""Answers that a caller may come back to by their id (OpenAI's Responses API: `store`, `previous_response_id`), at
whichever replica it is."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import msgspec

from wye.ports.state import State, StateAway

KEPT_S = 30 * 24 * 3600.0
"""As long as OpenAI keeps them: https://platform.openai.com/docs/guides/conversation-state"""
MAX_BYTES = 16 * 1024 * 1024
"""Of one answer with all that was said before it; a larger one is not kept."""


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
    losses: str = ""
    """What an answer that was made in the background lost on its way: the X-Wye-Loss header, for who looks it up."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptResponse).decode


class KeptResponses:
    """Bounded by the size of the state that holds them: those not used for longest go first."""

    def __init__(self, state: State, own: State, namespace: str = "wye") -> None:
        """`own` keeps what is answered while `state` is away, for this replica alone."""
        self._state = state
        self._own = own
        self._prefix = f"{namespace}:response:"

    async def put(self, kept: KeptResponse) -> None:
        data = _encode(kept)
        if len(data) > MAX_BYTES:
            return
        key = self._key(kept.principal, kept.id)
        try:
            await self._state.put(key, data, KEPT_S)
        except StateAway:
            await self._own.put(key, data, KEPT_S)
        else:
            await self._own.delete(key)

    async def get(self, principal: str, response_id: str) -> KeptResponse | None:
        """Raises StateAway when it may be where nobody can look now."""
        key = self._key(principal, response_id)
        data = await self._own.get(key)
        if data is None:
            data = await self._state.get(key)
        return _read(data) if data is not None else None

    async def delete(self, principal: str, response_id: str) -> bool:
        """Whether there was one. Raises StateAway."""
        key = self._key(principal, response_id)
        here = await self._own.delete(key)
        return await self._state.delete(key) or here

    def _key(self, principal: str, response_id: str) -> str:
        named = f"{principal}\0{response_id}".encode("utf-8", "surrogatepass")
        return self._prefix + hashlib.sha256(named).hexdigest()


def _read(data: bytes) -> KeptResponse | None:
    with suppress(msgspec.MsgspecError):
        return _decode(data)
    return None  # kept by another version
