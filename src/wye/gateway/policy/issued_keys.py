"""Keys that were issued to callers: whose they are, what they are for, how much they may use.

Those that call are remembered, so that a call waits for the database now and then only, and goes on without it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from fnmatch import fnmatchcase
from typing import NamedTuple

from wye.gateway.policy.limits import Limits
from wye.kernel import clock
from wye.kernel.errors import Forbidden, Unauthenticated
from wye.ports.keys import IssuedKey, Keys
from wye.ports.store import StoreAway

PREFIX = "wye-"
"""How every issued secret begins."""
FRESH_S = 5.0
"""How long a revoked key may still be taken."""
_REMEMBERED = 10_000


class _Known(NamedTuple):
    key: IssuedKey
    looked_s: float


class IssuedKeys:
    def __init__(self, keys: Keys, limits: Limits) -> None:
        """`limits` are those of a key that has none of its own, and of every other principal."""
        self._keys = keys
        self._limits = limits
        self._known: dict[str, _Known] = {}
        """Never more than were issued."""
        self._strange: OrderedDict[str, float] = OrderedDict()
        """Secrets that nobody was issued, and when they were looked up: bounded, as anybody can make some up."""
        self._principals: dict[str, IssuedKey] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def meet(self, secret: bytes) -> None:
        """Look up what `find` is to be asked for. Raises StoreAway where that cannot be known."""
        if not secret.startswith(PREFIX.encode()):
            return
        hashed = _hash(secret)
        known = self._known.get(hashed)
        looked_s = known.looked_s if known is not None else self._strange.get(hashed)
        if looked_s is not None and clock.monotonic_s() - looked_s < FRESH_S:
            return
        task = self._looking.get(hashed)
        if task is None:
            task = self._looking[hashed] = asyncio.create_task(self._look(hashed))
            task.add_done_callback(lambda task: self._looked(hashed, task))
        try:
            await asyncio.shield(task)  # others wait for it, too
        except StoreAway:
            if known is None:
                raise

    def find(self, secret: bytes) -> IssuedKey | None:
        """The key of a secret that was met. Raises Unauthenticated where it was revoked, or its time is over."""
        known = self._known.get(_hash(secret)) if secret.startswith(PREFIX.encode()) else None
        if known is None:
            return None
        if known.key.revoked_s is not None:
            raise Unauthenticated("This API key was revoked", code="revoked_api_key")
        if known.key.expires_s is not None and clock.wall_s() >= known.key.expires_s:
            raise Unauthenticated("This API key has expired", code="expired_api_key")
        return known.key

    def of(self, principal: str) -> IssuedKey | None:
        """The key whose calls go by that name, among those that were met."""
        return self._principals.get(principal)

    def limits_of(self, principal: str) -> Limits:
        key = self._principals.get(principal)
        if key is None:
            return self._limits
        of_all = self._limits
        return Limits(
            of_all.requests_per_minute if key.requests_per_minute is None else key.requests_per_minute,
            of_all.tokens_per_minute if key.tokens_per_minute is None else key.tokens_per_minute,
            of_all.concurrent if key.concurrent is None else key.concurrent,
        )

    def allow(self, principal: str, operation: str, model: str | None = None) -> None:
        """Raises Forbidden where a key is not for that. Any other principal may do everything."""
        key = self._principals.get(principal)
        if key is None:
            return
        if operation == ADMIN if key.operations is None else operation not in key.operations:
            raise Forbidden(f"This API key is not for this operation ({operation})", code="key_scope")
        if model is not None and key.routes is not None and not any(fnmatchcase(model, r) for r in key.routes):
            raise Forbidden(f"This API key is not for the model '{model[:200]}'", param="model", code="key_scope")

    async def _look(self, hashed: str) -> None:
        key = await self._keys.find(hashed)
        if key is not None:
            self._known[hashed] = _Known(key, clock.monotonic_s())
            self._principals[key.id] = key
            return
        self._strange[hashed] = clock.monotonic_s()
        self._strange.move_to_end(hashed)
        if len(self._strange) > _REMEMBERED:
            self._strange.popitem(last=False)

    def _looked(self, hashed: str, task: asyncio.Task[None]) -> None:
        del self._looking[hashed]
        if not task.cancelled():
            task.exception()  # told to those who wait for it, if anybody does


ADMIN = "admin"
"""What concerns the server and not the caller alone: figures, the cache, local models."""
OPERATIONS = ("chat", "embed", "count_tokens", "resources", ADMIN)
"""What keys can be for. A key for no operation in particular is for all but the last."""


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
