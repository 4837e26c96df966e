"""The counts of one process: buckets that refill continuously, and amounts held by owners that have a lease."""

from __future__ import annotations

from collections.abc import Sequence

from wye.kernel import clock
from wye.kernel.bucket import Bucket
from wye.ports.quota import Grant, Quota

_SWEPT_S = 60.0


class _Use:
    """What is in use of one quota that does not refill."""

    __slots__ = ("held", "limit", "spent", "until_s", "window_s")

    def __init__(self, quota: Quota, now_s: float) -> None:
        self.limit = quota.limit
        self.window_s = quota.window_s
        self.spent = quota.start or 0
        self.held: dict[str, int] = {}
        self.until_s = now_s + quota.window_s


class MemoryQuotas:
    """Implements `ports.quota.LocalQuotas`."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._uses: dict[str, _Use] = {}
        self._leases: dict[str, float] = {}
        self._swept_s = clock.monotonic_s()

    def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_s: float) -> Grant:
        now_s = clock.monotonic_s()
        if now_s - self._swept_s > _SWEPT_S:
            self._sweep(now_s)
        left: list[int] = []
        for quota, amount in zip(quotas, amounts, strict=True):
            if quota.refills:
                bucket = self._buckets.get(quota.key)
                if bucket is None:
                    bucket = Bucket(quota.limit, quota.window_s, now_s, quota.start or 0)
                    self._buckets[quota.key] = bucket
                free = bucket.take(amount, now_s)
                if free < 0:
                    return self._undone(Grant([], len(left), bucket.wait_s(amount)), quotas, amounts, owner)
                left.append(free)
                continue
            use = self._uses.get(quota.key)
            if use is None or use.until_s <= now_s:
                if quota.start is None:
                    return self._undone(Grant([], unknown=len(left)), quotas, amounts, owner)
                use = self._uses[quota.key] = _Use(quota, now_s)
            free = use.limit - use.spent - (self._held(use, owner, now_s) if use.held else 0)
            if amount > free:
                return self._undone(Grant([], len(left)), quotas, amounts, owner)
            use.until_s = now_s + use.window_s
            use.held[owner] = use.held.get(owner, 0) + amount
            self._leases[owner] = now_s + lease_s
            left.append(max(0, free - amount))
        return Grant(left)

    def _undone(self, grant: Grant, quotas: Sequence[Quota], amounts: Sequence[int], owner: str) -> Grant:
        """A refusal; what was granted before it is given back."""
        place = grant.refused if grant.refused is not None else grant.unknown
        self.settle(quotas[:place], amounts[:place], [0] * (place or 0), owner)
        return grant

    def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        now_s = clock.monotonic_s()
        for quota, amount, used in zip(quotas, amounts, spent, strict=True):
            if quota.refills:
                bucket = self._buckets.get(quota.key)
                if bucket is not None and used != amount:
                    bucket.correct(used - amount, now_s)
                continue
            use = self._uses.get(quota.key)
            if use is None or use.until_s <= now_s:
                continue
            use.until_s = now_s + use.window_s
            use.spent += used
            held = use.held.get(owner, 0) - amount
            if held > 0:
                use.held[owner] = held
            else:
                use.held.pop(owner, None)

    def renew(self, owner: str, lease_s: float) -> None:
        self._leases[owner] = clock.monotonic_s() + lease_s

    def _held(self, use: _Use, asking: str, now_s: float) -> int:
        """By those who still have their lease, and by whoever asks."""
        if len(use.held) == 1 and asking in use.held:
            return use.held[asking]
        for owner in [owner for owner in use.held if owner != asking and self._leases.get(owner, 0.0) <= now_s]:
            del use.held[owner]
        return sum(use.held.values())

    def _sweep(self, now_s: float) -> None:
        """Forget what nobody uses, so that memory follows those who call and not all who ever did."""
        self._swept_s = now_s
        for owner in [owner for owner, until_s in self._leases.items() if until_s <= now_s]:
            del self._leases[owner]
        for key in [key for key, bucket in self._buckets.items() if bucket.is_empty(now_s)]:
            del self._buckets[key]
        for key in [key for key, use in self._uses.items() if use.until_s <= now_s]:
            del self._uses[key]
