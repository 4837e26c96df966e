"""What replicas share: a few operations on keys, enough for a cache, for leases, for live answers and for telling each
other what happened. One process keeps it in memory; several need a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from wye.kernel.errors import CapacityError
from wye.ports.quota import Grant, Quota


class StateAway(CapacityError):
    """The shared state cannot be reached at this moment. Never a reason to fail a call: whoever asks goes on alone."""

    code = "shared_state_away"


class State(Protocol):
    """Every operation may raise StateAway, and then at once: callers are not kept waiting for a server that is gone."""

    @property
    def shared(self) -> bool:
        """Whether others use it too. What only concerns others need not be told where there are none."""
        ...

    @property
    def away(self) -> str | None:
        """Why it cannot be reached; None while it can."""
        ...

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value for so long, or shorter where there is no room for it."""
        ...

    async def delete(self, key: str) -> bool:
        """Delete a value or a list. Whether it was there."""
        ...

    async def clear(self, prefix: str) -> int:
        """Delete every value whose key begins so; gives back how many."""
        ...

    async def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        """Take a lease that nobody has, or renew one's own. False while somebody else has it."""
        ...

    async def release(self, key: str, owner: str) -> None:
        """Give one's own lease back; nothing happens to another's."""
        ...

    async def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_s: float) -> Grant:
        """Take these amounts, of all quotas or of none. What is held counts while its owner has the lease named like
        itself: for so long from now, and longer when it is renewed with `acquire`."""
        ...

    async def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        """Put what was spent in the place of amounts that were reserved. A quota that is forgotten since is left
        alone."""
        ...

    async def append(self, key: str, items: Sequence[bytes], ttl_s: float) -> int:
        """Add to the end of a list, which from now on lives for so long; gives back its length."""
        ...

    async def items(self, key: str, start: int) -> list[bytes]:
        """The items of a list from that index on; empty when there are none, or no such list."""
        ...

    async def publish(self, topic: str, message: bytes) -> None:
        """Tell everybody who listens, oneself included. Who is away does not hear it later."""
        ...

    def subscribe(self, topic: str, heard: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        """Call `heard` for each message, and `begun` once messages are heard, and after each time when they were not:
        what was said meanwhile is lost."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...
