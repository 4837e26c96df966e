"""Limits per key, one count for all replicas: reserve before the call, settle after it.

While the state that replicas share is away, each replica counts its own calls: every one lets as many through.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec

from wye.kernel.errors import LimitExceeded
from wye.kernel.ids import new_id
from wye.ports.quota import Grant, LocalQuotas, Quota
from wye.ports.state import State, StateAway

LEASE_S = 10.0
"""After so long what a replica held that is gone is free again."""
_MINUTE_S = 60.0
_KNOWN_S = 24 * 3600.0
"""No answer takes longer."""
_MAX_ACCOUNTS = 10_000


class Limits(msgspec.Struct, frozen=True):
    """None means without limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


class Account(msgspec.Struct, frozen=True):
    """The quotas of one principal, and how they are spoken of."""

    quotas: list[Quota]
    """Requests, then those that are held, then tokens: those there are."""
    settled: list[Quota]
    """Without requests: those are spent as they are reserved."""
    refusals: list[str]
    """Of each quota."""
    told: bytes
    """The header lines, with a `%d` for what is left of each quota of these places."""
    places: list[int]
    has_tokens: bool

    def amounts(self, tokens: int) -> list[int]:
        """What a call takes of each quota."""
        amounts = [1] * len(self.quotas)
        if self.has_tokens:
            amounts[-1] = tokens
        return amounts

    def lines(self, left: list[int]) -> bytes:
        return self.told % tuple([left[place] for place in self.places])

    def check(self, grant: Grant) -> None:
        """Raises LimitExceeded."""
        if grant.refused is not None:
            wait_s = grant.wait_s or 1.0
            raise LimitExceeded(self.refusals[grant.refused].format(wait_s=wait_s), retry_after_s=wait_s)


class Reservation(msgspec.Struct):
    """What a call was granted. `lines` tell the caller what is left: ready header lines, each ended by CRLF
    (`x-ratelimit-remaining-requests: 59`)."""

    account: Account
    amounts: list[int]
    """Of the quotas that are settled."""
    owner: str
    shared: bool
    """Whether it is counted for all replicas, or for this one."""
    lines: bytes

    @property
    def tokens(self) -> int:
        return self.amounts[-1] if self.account.has_tokens else 0


class Limiter:
    def __init__(self, limits: Limits, local: LocalQuotas, state: State, namespace: str = "wye") -> None:
        """`local` counts while `state` is away, or always where nobody shares it."""
        self._limits = limits
        self._local = local
        self._state = state
        self._prefix = f"{namespace}:limit:"
        self._owners = f"{namespace}:replica:"
        self._owner = new_id(self._owners)
        self._accounts: dict[str, Account] = {}
        self._held: Counter[str] = Counter()
        self._renewal: asyncio.Task[None] | None = None
        self._settling: set[asyncio.Task[None]] = set()

    @property
    def degraded(self) -> str | None:
        """What is not as it should be; None when all replicas count together, or there is but one."""
        return "each replica counts the calls of a key for itself" if self._state.away is not None else None

    async def reserve(self, principal: str, tokens: int) -> Reservation:
        """Take one call and so many tokens. Raises LimitExceeded with `retry_after_s`, and then takes nothing."""
        account = self._accounts.get(principal) or self._open(principal)
        amounts = account.amounts(tokens)
        if self._state.shared:
            owner = self._owner
            try:
                grant = await self._reserve_shared(account, amounts, owner)
            except StateAway:
                if self._owner == owner:  # it may come back without what was held
                    self._owner = new_id(self._owners)
            else:
                account.check(grant)
                self._hold(owner)
                return _reservation(account, amounts, owner, True, grant)
        grant = self._local.reserve(account.quotas, amounts, self._owner, _KNOWN_S)
        account.check(grant)
        return _reservation(account, amounts, self._owner, False, grant)

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Give back what was not used, or take what was used beyond; end the call's share of `concurrent`."""
        account, amounts, owner = reservation.account, reservation.amounts, reservation.owner
        spent = [0] * len(amounts)
        if account.has_tokens:
            spent[-1] = tokens
        if reservation.shared:
            self._release(owner)
            self._tell(account.settled, amounts, spent, owner)
        else:
            self._local.settle(account.settled, amounts, spent, owner)

    async def stop(self) -> None:
        """Settle what is not settled yet."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._settling:
            await asyncio.wait(self._settling)

    async def _reserve_shared(self, account: Account, amounts: list[int], owner: str) -> Grant:
        """Raises StateAway. What is granted to a caller that left meanwhile is given back."""
        task = asyncio.create_task(_reserved(self._state, account.quotas, amounts, owner))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(self._give_back, account.quotas, amounts, owner))
            raise

    def _give_back(self, quotas: list[Quota], amounts: list[int], owner: str, task: asyncio.Task[Grant]) -> None:
        if not task.cancelled() and task.exception() is None and task.result().refused is None:
            self._tell(quotas, amounts, [0] * len(amounts), owner)

    def _tell(self, quotas: list[Quota], amounts: list[int], spent: list[int], owner: str) -> None:
        told = self._state.settle(quotas, amounts, spent, owner)
        task = asyncio.create_task(_unless_away(told))
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

    def _open(self, principal: str) -> Account:
        if len(self._accounts) >= _MAX_ACCOUNTS:
            self._accounts.clear()
        account = self._accounts[principal] = account_of(self._limits, f"{self._prefix}{principal}:")
        return account


def account_of(limits: Limits, prefix: str) -> Account:
    quotas: list[Quota] = []
    refusals: list[str] = []
    told = b""
    places: list[int] = []
    per_minute, concurrent, tokens = limits.requests_per_minute, limits.concurrent, limits.tokens_per_minute
    for what, limit, refills in (
        ("requests", per_minute, True),
        ("calls", concurrent, False),
        ("tokens", tokens, True),
    ):
        if limit is None:
            continue
        quotas.append(Quota(f"{prefix}{what}", limit, _MINUTE_S if refills else _KNOWN_S, refills))
        if refills:
            refusals.append(f"This key may use {limit} {what} per minute; try again in {{wait_s:.1f}} s")
            told += f"x-ratelimit-limit-{what}: {limit}\r\nx-ratelimit-remaining-{what}: %d\r\n".encode()
            places.append(len(quotas) - 1)
        else:
            refusals.append(f"This key may have {limit} {what} running at the same time")
    settled = quotas[1:] if per_minute is not None else quotas
    return Account(quotas, settled, refusals, told, places, tokens is not None)


def _reservation(account: Account, amounts: list[int], owner: str, shared: bool, grant: Grant) -> Reservation:
    settled = amounts[len(amounts) - len(account.settled) :]
    return Reservation(account, settled, owner, shared, account.lines(grant.left))


async def _reserved(state: State, quotas: list[Quota], amounts: list[int], owner: str) -> Grant:
    return await state.reserve(quotas, amounts, owner, LEASE_S)


async def _unless_away(work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except StateAway:
        return  # what was held ends with its lease
