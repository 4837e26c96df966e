"""Limits that all replicas count together."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from wye.gateway.policy.counts import KNOWN_S, Counts, Held
from wye.gateway.policy.limits import MAX_ACCOUNTS, MINUTE_S, Limits, refusal, told_of
from wye.ports.quota import Grant, Quota


class Account(msgspec.Struct, frozen=True):
    """The quotas of one principal, and how they are spoken of."""

    quotas: list[Quota]
    """Requests, then those that are held, then tokens: those there are."""
    settled: list[Quota]
    """Without requests: those are spent as they are reserved."""
    names: list[str]
    """Of each quota: requests, calls, tokens."""
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
            raise refusal(self.names[grant.refused], self.quotas[grant.refused].limit, grant.wait_s)


class SharedReservation(msgspec.Struct):
    """Implements `limits.Reservation`."""

    counts: Counts
    account: Account
    amounts: list[int]
    """Of the quotas that are settled."""
    held: Held
    lines: bytes

    @property
    def tokens(self) -> int:
        return self.amounts[-1] if self.account.has_tokens else 0

    def settle(self, tokens: int) -> None:
        spent = [0] * len(self.amounts)
        if self.account.has_tokens:
            spent[-1] = tokens
        self.counts.settle(self.account.settled, self.amounts, spent, self.held)


class SharedLimiter:
    def __init__(self, limits_of: Callable[[str], Limits], counts: Counts, namespace: str = "wye") -> None:
        """`limits_of` tells a principal's limits, which never change."""
        self._limits_of = limits_of
        self._counts = counts
        self._prefix = f"{namespace}:limit:"
        self._accounts: dict[str, Account] = {}

    @property
    def degraded(self) -> str | None:
        """What is not as it should be; None when all replicas count together, or there is but one."""
        return self._counts.degraded

    async def reserve(self, principal: str, tokens: int) -> SharedReservation | None:
        """Take one call and so many tokens; None for a principal without limits. Raises LimitExceeded with
        `retry_after_s`, and then takes nothing."""
        account = self._accounts.get(principal) or self._open(principal)
        if not account.quotas:
            return None
        amounts = account.amounts(tokens)
        grant, held = await self._counts.reserve(account.quotas, amounts)
        account.check(grant)
        settled = amounts[len(amounts) - len(account.settled) :]
        return SharedReservation(self._counts, account, settled, held, account.lines(grant.left))

    def _open(self, principal: str) -> Account:
        if len(self._accounts) >= MAX_ACCOUNTS:
            self._accounts.clear()
        account = account_of(self._limits_of(principal), f"{self._prefix}{principal}:")
        self._accounts[principal] = account
        return account


def account_of(limits: Limits, prefix: str) -> Account:
    given = (
        ("requests", limits.requests_per_minute, MINUTE_S, True),
        ("calls", limits.concurrent, KNOWN_S, False),
        ("tokens", limits.tokens_per_minute, MINUTE_S, True),
    )
    found = [(name, limit, window_s, refills) for name, limit, window_s, refills in given if limit is not None]
    quotas = [Quota(f"{prefix}{name}", limit, window_s, refills) for name, limit, window_s, refills in found]
    return Account(
        quotas,
        quotas[1:] if limits.requests_per_minute is not None else quotas,
        [name for name, *_ in found],
        told_of("requests", limits.requests_per_minute) + told_of("tokens", limits.tokens_per_minute),
        [place for place, quota in enumerate(quotas) if quota.refills],
        limits.tokens_per_minute is not None,
    )
