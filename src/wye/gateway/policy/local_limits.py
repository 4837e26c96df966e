"""Limits where one process has all the calls: nothing is waited for."""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec

from wye.gateway.policy.limits import MAX_ACCOUNTS, MINUTE_S, Limits, refusal, told_of
from wye.kernel import clock
from wye.kernel.bucket import Bucket


class Account:
    """What one principal has in use."""

    __slots__ = ("_concurrent", "_limits", "_requests", "_told", "running", "tokens")

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._limits = limits
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = Bucket(requests, MINUTE_S, now_s) if requests is not None else None
        self._concurrent = limits.concurrent if limits.concurrent is not None else sys.maxsize
        self._told = told_of("requests", requests) + told_of("tokens", tokens)
        self.tokens = Bucket(tokens, MINUTE_S, now_s) if tokens is not None else None
        self.running = 0

    def reserve(self, tokens: int) -> LocalReservation:
        """Raises LimitExceeded."""
        now_s = clock.monotonic_s()
        if self.running >= self._concurrent:
            raise refusal("calls", self._concurrent, 0.0)
        left: tuple[int, ...] = ()
        if self._requests is not None:
            requests_left = self._requests.take(1, now_s)
            if requests_left < 0:
                raise refusal("requests", self._limits.requests_per_minute or 0, self._requests.wait_s(1))
            left = (requests_left,)
        if self.tokens is not None:
            tokens_left = self.tokens.take(tokens, now_s)
            if tokens_left < 0:
                if self._requests is not None:
                    self._requests.correct(-1, now_s)
                raise refusal("tokens", self._limits.tokens_per_minute or 0, self.tokens.wait_s(tokens))
            left += (tokens_left,)
        self.running += 1
        return LocalReservation(self, tokens, self._told % left)

    def is_idle(self, now_s: float) -> bool:
        if self.running:
            return False
        return all(bucket is None or bucket.is_empty(now_s) for bucket in (self._requests, self.tokens))


class LocalReservation(msgspec.Struct, gc=False):
    """Implements `limits.Reservation`."""

    account: Account
    tokens: int
    lines: bytes

    def settle(self, tokens: int) -> None:
        account = self.account
        account.running -= 1
        if account.tokens is not None and tokens != self.tokens:
            account.tokens.correct(tokens - self.tokens, clock.monotonic_s())


class LocalLimiter:
    def __init__(self, limits_of: Callable[[str], Limits]) -> None:
        """`limits_of` tells a principal's limits, which never change."""
        self._limits_of = limits_of
        self._accounts: dict[str, Account | None] = {}
        self._swept_s = clock.monotonic_s()

    def reserve(self, principal: str, tokens: int) -> LocalReservation | None:
        """Take one call and so many tokens; None for a principal without limits. Raises LimitExceeded with
        `retry_after_s`, and then takes nothing."""
        try:
            account = self._accounts[principal]
        except KeyError:
            account = self._open(principal)
        return account.reserve(tokens) if account is not None else None

    def _open(self, principal: str) -> Account | None:
        now_s = clock.monotonic_s()
        if len(self._accounts) >= MAX_ACCOUNTS and now_s - self._swept_s > MINUTE_S:
            # Memory follows those who call, and not all who ever did.
            self._swept_s = now_s
            self._accounts = {
                name: account for name, account in self._accounts.items() if account and not account.is_idle(now_s)
            }
        limits = self._limits_of(principal)
        account = self._accounts[principal] = Account(limits, now_s) if limits != Limits() else None
        return account
