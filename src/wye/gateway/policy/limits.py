"""Limits per key: calls and tokens in a minute, calls at the same time."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from wye.gateway.policy.counts import KNOWN_S, Counts, Held
from wye.kernel.errors import LimitExceeded
from wye.ports.quota import Grant, Quota

_MINUTE_S = 60.0
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

    def settled_amounts(self, reserved: int, used: int) -> tuple[list[int], list[int]]:
        """What was taken of each quota that is settled, and what of that is spent; both of tokens."""
        if not self.has_tokens:
            return [1], [0]
        return ([reserved], [used]) if len(self.settled) == 1 else ([1, reserved], [0, used])

    def granted(self, grant: Grant, held: Held, tokens: int) -> Reservation:
        """Raises LimitExceeded."""
        if grant.refused is not None:
            wait_s = grant.wait_s or 1.0
            raise LimitExceeded(self.refusals[grant.refused].format(wait_s=wait_s), retry_after_s=wait_s)
        return Reservation(self, tokens, held, grant.left)


class Reservation(msgspec.Struct):
    """What a call was granted."""

    account: Account
    tokens: int
    held: Held
    left: list[int]
    """Of each quota of the account."""

    @property
    def lines(self) -> bytes:
        """What the caller is told of it: ready header lines, each ended by CRLF
        (`x-ratelimit-remaining-requests: 59`)."""
        account, left = self.account, self.left
        return account.told % tuple([left[place] for place in account.places])


class Limiter:
    def __init__(self, limits_of: Callable[[str], Limits], counts: Counts, namespace: str = "wye") -> None:
        """`limits_of` tells a principal's limits, which never change."""
        self._limits_of = limits_of
        self._counts = counts
        self.shared = counts.shared
        """Whether others count with this process: then `reserve` must be waited for."""
        self._prefix = f"{namespace}:limit:"
        self._accounts: dict[str, Account] = {}

    @property
    def degraded(self) -> str | None:
        """What is not as it should be; None when all replicas count together, or there is but one."""
        return self._counts.degraded

    def reserve_here(self, principal: str, tokens: int) -> Reservation | None:
        """As `reserve`, by this process alone, without waiting."""
        account = self._accounts.get(principal) or self._open(principal)
        if not account.quotas:
            return None
        grant, held = self._counts.reserve_here(account.quotas, account.amounts(tokens))
        return account.granted(grant, held, tokens)

    async def reserve(self, principal: str, tokens: int) -> Reservation | None:
        """Take one call and so many tokens; None for a principal without limits. Raises LimitExceeded with
        `retry_after_s`, and then takes nothing."""
        account = self._accounts.get(principal) or self._open(principal)
        if not account.quotas:
            return None
        grant, held = await self._counts.reserve(account.quotas, account.amounts(tokens))
        return account.granted(grant, held, tokens)

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Give back what was not used, or take what was used beyond; end the call's share of `concurrent`."""
        account = reservation.account
        if account.settled:
            amounts, spent = account.settled_amounts(reservation.tokens, tokens)
            self._counts.settle(account.settled, amounts, spent, reservation.held)

    def _open(self, principal: str) -> Account:
        if len(self._accounts) >= _MAX_ACCOUNTS:
            self._accounts.clear()
        account = account_of(self._limits_of(principal), f"{self._prefix}{principal}:")
        self._accounts[principal] = account
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
        quotas.append(Quota(f"{prefix}{what}", limit, _MINUTE_S if refills else KNOWN_S, refills))
        if refills:
            refusals.append(f"This key may use {limit} {what} per minute; try again in {{wait_s:.1f}} s")
            told += f"x-ratelimit-limit-{what}: {limit}\r\nx-ratelimit-remaining-{what}: %d\r\n".encode()
            places.append(len(quotas) - 1)
        else:
            refusals.append(f"This key may have {limit} {what} running at the same time")
    settled = quotas[1:] if per_minute is not None else quotas
    return Account(quotas, settled, refusals, told, places, tokens is not None)
