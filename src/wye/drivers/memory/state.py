"""The state of one process: bounded, the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from wye.drivers.memory.quotas import MemoryQuotas
from wye.kernel import clock
from wye.ports.quota import Grant, Quota


class MemoryState:
    """Implements `ports.state.State` for a process that has it for itself."""

    shared = False
    away = None

    def __init__(self, max_bytes: int = 256 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._leases: dict[str, tuple[float, str]] = {}
        self._lists: dict[str, tuple[float, list[bytes]]] = {}
        self._topics: dict[str, list[Callable[[bytes], None]]] = {}
        self._quotas = MemoryQuotas()

    async def get(self, key: str) -> bytes | None:
        found = self._values.get(key)
        if found is None:
            return None
        until_s, value = found
        if clock.monotonic_s() >= until_s:
            self._forget(key)
            return None
        self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """A value that alone is larger than the bound is not kept."""
        self._forget(key)
        size = _size(key, value)
        if size > self._max_bytes:
            return
        self._values[key] = (clock.monotonic_s() + ttl_s, value)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._values)))

    async def delete(self, key: str) -> bool:
        known = await self.get(key) is not None or bool(await self.items(key, 0))
        self._forget(key)
        self._lists.pop(key, None)
        return known

    async def clear(self, prefix: str) -> int:
        found = [key for key in self._values if key.startswith(prefix)]
        for key in found:
            self._forget(key)
        return len(found)

    async def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        now_s = clock.monotonic_s()
        until_s, holder = self._leases.get(key, (0.0, owner))
        if holder != owner and now_s < until_s:
            return False
        self._leases[key] = (now_s + ttl_s, owner)
        if key == owner:  # the lease of one who holds something of a quota
            self._quotas.renew(owner, ttl_s)
        return True

    async def release(self, key: str, owner: str) -> None:
        if self._leases.get(key, (0.0, ""))[1] == owner:
            del self._leases[key]

    async def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_s: float) -> Grant:
        return self._quotas.reserve(quotas, amounts, owner, lease_s)

    async def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        self._quotas.settle(quotas, amounts, spent, owner)

    async def append(self, key: str, items: Sequence[bytes], ttl_s: float) -> int:
        now_s = clock.monotonic_s()
        for old in [name for name, (until_s, _) in self._lists.items() if now_s >= until_s]:
            del self._lists[old]
        _, known = self._lists.get(key, (0.0, list[bytes]()))
        known.extend(items)
        self._lists[key] = (now_s + ttl_s, known)
        return len(known)

    async def items(self, key: str, start: int) -> list[bytes]:
        until_s, known = self._lists.get(key, (0.0, list[bytes]()))
        return known[start:] if clock.monotonic_s() < until_s else []

    async def publish(self, topic: str, message: bytes) -> None:
        for heard in self._topics.get(topic, []):
            heard(message)

    def subscribe(self, topic: str, heard: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        self._topics.setdefault(topic, []).append(heard)
        begun()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def _forget(self, key: str) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self._bytes -= _size(key, found[1])


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + 200  # what the interpreter adds, about
