"""What calls use of quotas, one count for all replicas: reserved before the call, settled after it.

While the state that replicas share is away, each replica counts its own calls: every one lets as many through.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec

from wye.kernel.ids import new_id
from wye.ports.quota import Grant, LocalQuotas, Quota
from wye.ports.state import State, StateAway

LEASE_S = 10.0
"""After so long what a replica held that is gone is free again."""
KNOWN_S = 24 * 3600.0
"""How long a quota that does not refill is known after its last use. No answer takes longer."""


_Reserving = asyncio.Task[Grant]


class Held(msgspec.Struct, frozen=True):
    """By whom a grant is held, and where."""

    owner: str
    shared: bool
    """Whether it is counted for all replicas, or for this one."""


class Counts:
    def __init__(self, local: LocalQuotas, state: State, namespace: str = "wye") -> None:
        """`local` counts while `state` is away, or always where nobody shares it."""
        self._local = local
        self._state = state
        self.shared = state.shared
        """Whether others count with this process."""
        self._owners = f"{namespace}:replica:"
        self._owner = new_id(self._owners)
        self._held: Counter[str] = Counter()
        self._renewal: asyncio.Task[None] | None = None
        self._settling: set[asyncio.Task[None]] = set()

    @property
    def degraded(self) -> str | None:
        """What is not as it should be; None when all replicas count together, or there is but one."""
        return "each replica counts the calls of a key for itself" if self._state.away is not None else None

    async def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int]) -> tuple[Grant, Held]:
        """All of it, or nothing. What was granted must be settled."""
        owner = self._owner
        if self.shared:
            try:
                grant = await self._reserve_shared(quotas, amounts, owner)
            except StateAway:
                if self._owner == owner:  # it may come back without what was held
                    self._owner = new_id(self._owners)
            else:
                if is_granted(grant):
                    self._hold(owner)
                return grant, Held(owner, True)
        return self._local.reserve(quotas, amounts, owner, KNOWN_S), Held(owner, False)

    def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], held: Held) -> None:
        """Put what was spent in the place of what was granted."""
        if held.shared:
            self._release(held.owner)
            self._tell(quotas, amounts, spent, held.owner)
        else:
            self._local.settle(quotas, amounts, spent, held.owner)

    async def stop(self) -> None:
        """Settle what is not settled yet."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._settling:
            await asyncio.wait(self._settling)

    async def _reserve_shared(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str) -> Grant:
        """Raises StateAway. What is granted to a caller that left meanwhile is given back."""
        task = asyncio.create_task(_reserved(self._state, quotas, amounts, owner))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(self._give_back, quotas, amounts, owner))
            raise

    def _give_back(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, task: _Reserving) -> None:
        if not task.cancelled() and task.exception() is None and is_granted(task.result()):
            self._tell(quotas, amounts, [0] * len(amounts), owner)

    def _tell(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        task = asyncio.create_task(_unless_away(self._state.settle(quotas, amounts, spent, owner)))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def _hold(self, owner: str) -> None:
        """From now on this owner's lease is renewed, until all that it holds is settled."""
        self._held[owner] += 1
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())

    def _release(self, owner: str) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    async def _renew(self) -> None:
        """While something is held: a replica that is gone renews nothing."""
        while self._held:
            await asyncio.sleep(LEASE_S / 4)
            for owner in [*self._held]:
                await _unless_away(self._state.acquire(owner, owner, LEASE_S))


def is_granted(grant: Grant) -> bool:
    return grant.refused is None and grant.unknown is None


async def _reserved(state: State, quotas: Sequence[Quota], amounts: Sequence[int], owner: str) -> Grant:
    return await state.reserve(quotas, amounts, owner, LEASE_S)


async def _unless_away(work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except StateAway:
        return  # what was held ends with its lease
