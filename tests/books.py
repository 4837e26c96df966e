"""Issued keys and a ledger in memory, which can be away."""

from __future__ import annotations

from collections.abc import Sequence

from wye.kernel.secret import fingerprint
from wye.ports.keys import IssuedKey
from wye.ports.ledger import Entry, Group, Sum
from wye.ports.store import StoreAway


def issued(secret: str, **more: object) -> IssuedKey:
    made = {"id": f"key_{secret}", "name": secret, "prefix": secret[:6], "created_s": 0.0}
    return IssuedKey(**{**made, "hash": fingerprint(f"wye-{secret}").hex(), **more})


class Books:
    """Implements `ports.keys.Keys` and `ports.ledger.Ledger`."""

    def __init__(self, *keys: IssuedKey) -> None:
        self.keys = {key.hash: key for key in keys}
        self.entries: dict[str, Entry] = {}
        self.away: str | None = None
        self.asked = 0

    async def find(self, hashed: str) -> IssuedKey | None:
        self._ask()
        return self.keys.get(hashed)

    async def add(self, entries: Sequence[Entry]) -> None:
        self._ask()
        self.entries |= {entry.id: entry for entry in entries}

    async def spent_micro_usd(self, since_s: float, principal: str | None, model: str | None) -> int:
        self._ask()
        found = [e for e in self.entries.values() if e.at_s >= since_s and principal in (None, e.principal)]
        return sum(entry.cost_micro_usd for entry in found if model in (None, entry.model))

    async def sums(self, by: Group, since_s: float, until_s: float, principal: str | None = None) -> list[Sum]:
        raise NotImplementedError

    async def all(self) -> list[IssuedKey]:
        raise NotImplementedError

    async def revoke(self, key_id: str, now_s: float) -> bool:
        raise NotImplementedError

    def _ask(self) -> None:
        self.asked += 1
        if self.away is not None:
            raise StoreAway(self.away)
