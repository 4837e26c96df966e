"""Answers that are made while nobody waits for them, at upstreams that know no such thing.

https://platform.openai.com/docs/guides/background
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from msgspec.structs import replace

from wye.canon.loss import Losses
from wye.dialects.openai_responses.errors import response_error
from wye.gateway.exchange import Whole
from wye.kernel.errors import Overloaded, WyeError
from wye.kernel.json import JsonObject, decode, encode, split_object
from wye.ports.responses import KeptResponse, ResponseStore

MAX_UNDER_WAY = 256
"""Answers that are made at the same time; each holds its request in memory."""


class Background:
    def __init__(self, store: ResponseStore) -> None:
        self._store = store
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def check_room(self) -> None:
        """Raise Overloaded when no further answer can be begun."""
        if len(self._tasks) >= MAX_UNDER_WAY:
            raise Overloaded(f"{MAX_UNDER_WAY} background responses are under way: try again later", retry_after_s=5)

    def start(self, queued: KeptResponse, answer: Awaitable[Whole], losses: Losses) -> None:
        """Put that answer in the place of the queued one, once it is there; its losses are known by then."""
        key = (queued.principal, queued.id)
        task = self._tasks[key] = asyncio.create_task(self._make(queued, answer, losses))
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def cancel(self, kept: KeptResponse) -> KeptResponse:
        """The answer as it is after that: cancelled, unless it was there before."""
        task = self._tasks.get((kept.principal, kept.id))
        if task is None:
            return kept
        task.cancel()
        await asyncio.wait([task])
        cancelled = _changed(kept, {"status": "cancelled"})
        await self._store.put(cancelled)
        return cancelled

    async def _make(self, queued: KeptResponse, answer: Awaitable[Whole], losses: Losses) -> None:
        made = _failed(queued, WyeError("The answer could not be made"))
        try:
            whole = await answer
            made = _changed(queued, {**split_object(whole.body), **_own(queued)})
            made = replace(made, losses=losses.header())
        except WyeError as error:
            made = _failed(queued, error)
        finally:
            await self._store.put(made)


def _own(queued: KeptResponse) -> JsonObject:
    """What its caller knows an answer by, whoever makes it."""
    response: JsonObject = decode(queued.response)
    return {name: response[name] for name in ("id", "background", "previous_response_id", "created_at")}


def _failed(queued: KeptResponse, error: WyeError) -> KeptResponse:
    return _changed(queued, {"status": "failed", "error": response_error(error)})


def _changed(kept: KeptResponse, members: JsonObject) -> KeptResponse:
    response: JsonObject = decode(kept.response)
    return replace(kept, response=encode({**response, **members}))
