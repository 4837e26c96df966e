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
    __slots__ = ("_filled_s", "_lines", "_what", "capacity", "level", "rate")

    def __init__(self, per_minute: int, what: str, now: float) -> None:
        self.capacity = self.level = float(per_minute)
        self.rate = per_minute / 60
        self._filled_s = now
        self._what = what
        self._lines = f"x-ratelimit-limit-{what}: {per_minute}\r\nx-ratelimit-remaining-{what}: ".encode()

    def check(self, amount: int, now: float) -> None:
        """Raises LimitExceeded. More than the capacity passes when the bucket is full."""
        level = self.level + (now - self._filled_s) * self.rate
        self._filled_s = now
        if level >= self.capacity:
            self.level = self.capacity
            return
        self.level = level
        if amount > level:
            wait_s = (min(amount, self.capacity) - level) / self.rate
            raise LimitExceeded(
                f"This key may use {self.capacity:.0f} {self._what} per minute; try again in {wait_s:.1f} s",
                retry_after_s=wait_s,
            )

    def take(self, amount: int) -> bytes:
        """Take so much; the header lines that tell the caller of the limit and of what is left."""
        self.level = level = self.level - amount
        return b"%b%d\r\n" % (self._lines, level if level > 0 else 0)


class _Account:
    __slots__ = ("requests", "running", "seen", "tokens")

    def __init__(self, limits: Limits, now: float) -> None:
        per_minute, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self.requests = _Bucket(per_minute, "requests", now) if per_minute else None
        self.tokens = _Bucket(tokens, "tokens", now) if tokens else None
        self.running = 0
        self.seen = now


class MemoryLimiter:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._accounts: dict[str, _Account] = {}
        self._swept = clock.monotonic_s()

    def reserve(self, principal: str, tokens: int) -> Reservation:
        now = clock.monotonic_s()
        account = self._accounts.get(principal) or self._open(principal, now)
        account.seen = now
        limit = self._limits.concurrent
        if limit is not None and account.running >= limit:
            raise LimitExceeded(f"This key may have {limit} calls running at the same time", retry_after_s=1)
        of_requests, of_tokens = account.requests, account.tokens
        if of_requests is not None:
            of_requests.check(1, now)
        lines = b""
        if of_tokens is not None:
            of_tokens.check(tokens, now)
            lines = of_tokens.take(tokens)
        if of_requests is not None:
            lines += of_requests.take(1)
        account.running += 1
        return Reservation(principal, tokens, lines)

    def settle(self, reservation: Reservation, tokens: int) -> None:
        account = self._accounts.get(reservation.principal)
        if account is None:
            return
        account.running -= 1
        if account.tokens is not None:
            account.tokens.level = min(account.tokens.capacity, account.tokens.level + reservation.tokens - tokens)

    def _open(self, principal: str, now: float) -> _Account:
        self._sweep(now)
        account = self._accounts[principal] = _Account(self._limits, now)
        return account

    def _sweep(self, now: float) -> None:
        """Forget idle principals, so that memory follows those who call and not all who ever did."""
        if now - self._swept > _IDLE_S:
            self._swept = now
            idle = [name for name, a in self._accounts.items() if not a.running and now - a.seen > _IDLE_S]
            for name in idle:
                del self._accounts[name]
