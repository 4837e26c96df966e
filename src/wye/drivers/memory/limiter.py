"""Limits of one process, as token buckets that refill continuously over a minute.

https://en.wikipedia.org/wiki/Token_bucket
"""

from __future__ import annotations

from wye.kernel import clock
from wye.kernel.errors import LimitExceeded
from wye.ports.limiter import Limits, Reservation

_IDLE_S = 120.0
"""A principal not seen for this long has full buckets again, and is forgotten."""


class _Bucket:
    __slots__ = ("_left_name", "_limit_line", "capacity", "level", "rate")

    def __init__(self, per_minute: int, what: bytes) -> None:
        self.capacity = self.level = float(per_minute)
        self.rate = per_minute / 60
        self._limit_line = (b"x-ratelimit-limit-" + what, b"%d" % per_minute)
        self._left_name = b"x-ratelimit-remaining-" + what

    def refill(self, seconds: float) -> None:
        level = self.level + seconds * self.rate
        self.level = level if level < self.capacity else self.capacity

    def check(self, amount: int, what: str) -> None:
        """Raises LimitExceeded. More than the capacity passes when the bucket is full."""
        if amount <= self.level or self.level >= self.capacity:
            return
        wait_s = (min(amount, self.capacity) - self.level) / self.rate
        raise LimitExceeded(
            f"This key may use {self.capacity:.0f} {what} per minute; try again in {wait_s:.1f} s",
            retry_after_s=wait_s,
        )

    def take(self, amount: int) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """Take so much; what to tell the caller of the limit and of what is left."""
        self.level -= amount
        left = self.level if self.level > 0 else 0
        return self._limit_line, (self._left_name, b"%d" % left)


class _Account:
    __slots__ = ("requests", "running", "seen", "tokens")

    def __init__(self, limits: Limits, now: float) -> None:
        self.requests = _Bucket(limits.requests_per_minute, b"requests") if limits.requests_per_minute else None
        self.tokens = _Bucket(limits.tokens_per_minute, b"tokens") if limits.tokens_per_minute else None
        self.running = 0
        self.seen = now


class MemoryLimiter:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._accounts: dict[str, _Account] = {}
        self._swept = clock.monotonic_s()

    def reserve(self, principal: str, tokens: int) -> Reservation:
        now = clock.monotonic_s()
        account = self._account(principal, now)
        limit = self._limits.concurrent
        if limit is not None and account.running >= limit:
            raise LimitExceeded(f"This key may have {limit} calls running at the same time", retry_after_s=1)
        of_requests, of_tokens = account.requests, account.tokens
        if of_requests is not None:
            of_requests.check(1, "requests")
        headers: list[tuple[bytes, bytes]] = []
        if of_tokens is not None:
            of_tokens.check(tokens, "tokens")
            headers += of_tokens.take(tokens)
        if of_requests is not None:
            headers += of_requests.take(1)
        account.running += 1
        return Reservation(principal, tokens, headers)

    def settle(self, reservation: Reservation, tokens: int) -> None:
        account = self._accounts.get(reservation.principal)
        if account is None:
            return
        account.running -= 1
        if account.tokens is not None:
            account.tokens.level = min(account.tokens.capacity, account.tokens.level + reservation.tokens - tokens)

    def _account(self, principal: str, now: float) -> _Account:
        account = self._accounts.get(principal)
        if account is None:
            self._sweep(now)
            account = self._accounts[principal] = _Account(self._limits, now)
            return account
        passed = now - account.seen
        account.seen = now
        if account.requests is not None:
            account.requests.refill(passed)
        if account.tokens is not None:
            account.tokens.refill(passed)
        return account

    def _sweep(self, now: float) -> None:
        """Forget idle principals, so that memory follows those who call and not all who ever did."""
        if now - self._swept > _IDLE_S:
            self._swept = now
            idle = [name for name, a in self._accounts.items() if not a.running and now - a.seen > _IDLE_S]
            for name in idle:
                del self._accounts[name]
