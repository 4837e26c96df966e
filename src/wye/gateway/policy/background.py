"""Answers that are made while nobody waits for them, at upstreams that know no such thing. The replica that was asked
makes one; any may tell how far it is, or cancel it.

https://platform.openai.com/docs/guides/background
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec.structs import replace

from wye.canon.loss import Losses
from wye.dialects.openai_responses.errors import response_error
from wye.gateway.exchange import Whole
from wye.gateway.policy.kept_responses import KeptResponse, KeptResponses
from wye.kernel import clock
from wye.kernel.errors import Overloaded, WyeError
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, decode, encode, split_object
from wye.ports.state import State, StateAway

MAX_UNDER_WAY = 256
"""Answers that are made at the same time; each holds its request in memory."""
LEASE_S = 15.0
"""After so long without a sign of life an answer is taken for failed."""
_HEARD_S = 3.0
"""What another replica may need to cancel one."""
_POLLED_S = 0.05


class _Making(NamedTuple):
    queued: KeptResponse
    task: asyncio.Task[None]


class Background:
    def __init__(self, store: KeptResponses, state: State, namespace: str = "wye") -> None:
        self._store = store
        self._state = state
        self._topic = f"{namespace}:cancel"
        self._prefix = f"{namespace}:making:"
        self._owner = new_id("replica_")
        self._made: dict[str, _Making] = {}
        self._beside: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """From now on hear what is cancelled at other replicas."""
        self._state.subscribe(self._topic, self._hear, lambda: None)

    def check_room(self) -> None:
        """Raise Overloaded when no further answer can be begun."""
        if len(self._made) >= MAX_UNDER_WAY:
            raise Overloaded(f"{MAX_UNDER_WAY} background responses are under way: try again later", retry_after_s=5)

    async def start(self, queued: KeptResponse, answer: Callable[[], Awaitable[Whole]], losses: Losses) -> None:
        """Keep a queued answer, and put the made one in its place once it is there; its losses are known by then."""
        name = self._name(queued)
        with suppress(StateAway):
            await self._state.acquire(name, self._owner, LEASE_S)
        await self._store.put(queued)
        task = asyncio.create_task(self._make(queued, answer(), losses))
        self._made[name] = _Making(queued, task)
        task.add_done_callback(lambda _: self._made.pop(name, None))
        self._run(self._keep_lease(name, task))

    async def look(self, kept: KeptResponse) -> KeptResponse:
        """One that is under way, as it is now: failed, where the replica that made it is gone."""
        name = self._name(kept)
        if name in self._made:
            return kept
        try:
            if not await self._state.acquire(name, self._owner, LEASE_S):
                return kept
        except StateAway:
            return kept
        now = await self._store.get(kept.principal, kept.id) or kept
        if is_under_way(decode(now.response)):  # else it was made in this moment
            now = _failed(now, WyeError("The server that made this answer has ended"))
            await self._store.put(now)
        return now

    async def cancel(self, kept: KeptResponse) -> KeptResponse:
        """The answer as it is after that: cancelled, unless it was there before. Raises StateAway."""
        name = self._name(kept)
        if name in self._made:
            await self._end(self._made[name])
        else:
            await self._state.publish(self._topic, name.encode())
        until_s = clock.monotonic_s() + _HEARD_S
        while True:
            now = await self._store.get(kept.principal, kept.id) or kept
            if not is_under_way(decode(now.response)) or clock.monotonic_s() > until_s:
                return now
            await asyncio.sleep(_POLLED_S)

    def _hear(self, message: bytes) -> None:
        making = self._made.get(message.decode("utf-8", "replace"))
        if making is not None:
            self._run(self._end(making))

    async def _end(self, making: _Making) -> None:
        making.task.cancel()
        await asyncio.wait([making.task])
        if making.task.cancelled():
            await self._store.put(_changed(making.queued, {"status": "cancelled"}))

    async def _keep_lease(self, name: str, making: asyncio.Task[None]) -> None:
        while not (await asyncio.wait([making], timeout=LEASE_S / 4))[0]:
            with suppress(StateAway):
                await self._state.acquire(name, self._owner, LEASE_S)
        with suppress(StateAway):
            await self._state.release(name, self._owner)

    async def _make(self, queued: KeptResponse, answer: Awaitable[Whole], losses: Losses) -> None:
        made: KeptResponse | None = _failed(queued, WyeError("The answer could not be made"))
        try:
            whole = await answer
            made = _changed(queued, {**split_object(whole.body), **_own(queued)})
            made = replace(made, losses=losses.header())
        except WyeError as error:
            made = _failed(queued, error)
        except asyncio.CancelledError:
            made = None  # told by whoever cancels
            raise
        finally:
            if made is not None:
                await self._store.put(made)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _name(self, kept: KeptResponse) -> str:
        """Of its lease, and of it among those that are made."""
        return f"{self._prefix}{kept.principal}:{kept.id}"


def is_under_way(response: JsonObject) -> bool:
    return response.get("status") in ("queued", "in_progress")


def _own(queued: KeptResponse) -> JsonObject:
    """What its caller knows an answer by, whoever makes it."""
    response: JsonObject = decode(queued.response)
    return {name: response[name] for name in ("id", "background", "previous_response_id", "created_at")}


def _failed(queued: KeptResponse, error: WyeError) -> KeptResponse:
    return _changed(queued, {"status": "failed", "error": response_error(error)})


def _changed(kept: KeptResponse, members: JsonObject) -> KeptResponse:
    response: JsonObject = decode(kept.response)
    return replace(kept, response=encode({**response, **members}))
