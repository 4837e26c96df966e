"""The counts of one process: buckets that refill continuously, and amounts held by owners that have a lease.

https://en.wikipedia.org/wiki/Leaky_bucket#As_a_meter
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from wye.kernel import clock
from wye.ports.quota import Grant, Quota

_SWEPT_S = 60.0


class _Use:
    """What is in use of one quota."""

    __slots__ = ("held", "leaked_s", "limit", "rate", "spent", "until_s", "window_s")

    def __init__(self, quota: Quota, now_s: float) -> None:
        self.limit = float(quota.limit)
        self.window_s = quota.window_s
        self.rate = quota.limit / quota.window_s if quota.refills else 0.0
        """What comes back in a second."""
        self.spent = float(quota.start or 0)
        self.held: dict[str, int] = {}
        self.leaked_s = now_s
        self.until_s = inf if quota.refills else now_s + quota.window_s
        """When it is forgotten; one that refills is forgotten when nothing of it is in use."""

    def leak(self, now_s: float) -> float:
        """What is spent of one that refills, less what has come back since it was looked at."""
        spent = self.spent - (now_s - self.leaked_s) * self.rate
        self.spent = spent = spent if spent > 0.0 else 0.0
        self.leaked_s = now_s
        return spent

    def is_over(self, now_s: float) -> bool:
        return not self.leak(now_s) if self.rate else self.until_s <= now_s


class MemoryQuotas:
    """Implements `ports.quota.LocalQuotas`."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}
        self._leases: dict[str, float] = {}
        self._swept_s = clock.monotonic_s()

    def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_s: float) -> Grant:
        now_s = clock.monotonic_s()
        if now_s - self._swept_s > _SWEPT_S:
            self._sweep(now_s)
        left: list[int] = []
        for place, quota in enumerate(quotas):
            amount = amounts[place]
            use = self._uses.get(quota.key)
            if use is None or use.until_s <= now_s:
                if quota.start is None:
                    return self._undone(Grant([], unknown=place), quotas, amounts, owner)
                use = self._uses[quota.key] = _Use(quota, now_s)
            if use.rate:
                spent = use.leak(now_s)
                free = int(use.limit - spent)
                # What is larger than the whole of it may go when nothing of it is in use.
                if amount > free and spent:
                    wait_s = (spent + min(amount, use.limit) - use.limit) / use.rate
                    return self._undone(Grant([], place, wait_s), quotas, amounts, owner)
                use.spent = spent + amount
            else:
                held = use.held
                free = int(use.limit - use.spent) - (self._held(use, owner, now_s) if held else 0)
                if amount > free:
                    return self._undone(Grant([], place), quotas, amounts, owner)
                use.until_s = now_s + use.window_s
                held[owner] = held.get(owner, 0) + amount
                self._leases[owner] = now_s + lease_s
            left.append(free - amount if free > amount else 0)
        return Grant(left)

    def _undone(self, grant: Grant, quotas: Sequence[Quota], amounts: Sequence[int], owner: str) -> Grant:
        """A refusal; what was granted before it is given back."""
        place = grant.refused if grant.refused is not None else grant.unknown
        self.settle(quotas[:place], amounts[:place], [0] * (place or 0), owner)
        return grant

    def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        now_s = clock.monotonic_s()
        for place, quota in enumerate(quotas):
            amount, used = amounts[place], spent[place]
            use = self._uses.get(quota.key)
            if use is None or use.until_s <= now_s:
                continue
            if use.rate:
                if used != amount:
                    use.spent = max(0.0, use.leak(now_s) + (used - amount))
            else:
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
        for key in [key for key, use in self._uses.items() if use.is_over(now_s)]:
            del self._uses[key]
