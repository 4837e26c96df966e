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
    __slots__ = ("capacity", "level", "rate")

    def __init__(self, per_minute: int) -> None:
        self.capacity = self.level = float(per_minute)
        self.rate = per_minute / 60

    def refill(self, seconds: float) -> None:
        self.level = min(self.capacity, self.level + seconds * self.rate)

    def wait_s(self, amount: float) -> float:
        """Seconds until so much is there; more than the capacity is let through when the bucket is full."""
        return max(0.0, (min(amount, self.capacity) - self.level) / self.rate)


class _Account:
    __slots__ = ("requests", "running", "seen", "tokens")

    def __init__(self, limits: Limits, now: float) -> None:
        self.requests = _Bucket(limits.requests_per_minute) if limits.requests_per_minute else None
        self.tokens = _Bucket(limits.tokens_per_minute) if limits.tokens_per_minute else None
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
        headers: list[tuple[bytes, bytes]] = []
        for bucket, amount, what in ((account.requests, 1, "requests"), (account.tokens, tokens, "tokens")):
            if bucket is not None and (wait_s := bucket.wait_s(amount)) > 0:
                raise LimitExceeded(
                    f"This key may use {bucket.capacity:.0f} {what} per minute; try again in {wait_s:.1f} s",
                    retry_after_s=wait_s,
                )
        for bucket, amount, what in ((account.requests, 1, b"requests"), (account.tokens, tokens, b"tokens")):
            if bucket is not None:
                bucket.level -= amount
                headers.append((b"x-ratelimit-limit-" + what, b"%d" % bucket.capacity))
                headers.append((b"x-ratelimit-remaining-" + what, b"%d" % max(0.0, bucket.level)))
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
