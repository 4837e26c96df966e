"""Keys that were issued to callers. Their secrets are known to nobody: what is kept is a hash of each.

Times are seconds since 1970, money is in micro-dollars. Any operation may raise `ports.store.StoreAway`.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

Period = Literal["day", "month", "total"]


class Budget(msgspec.Struct, frozen=True):
    """So much money, in each day or month of UTC, or once."""

    micro_usd: int
    period: Period = "month"


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """By which its calls are known: their principal."""
    name: str
    prefix: str
    """The beginning of the secret, to recognise it by."""
    hash: str
    """SHA-256 of the secret, in hex."""
    created_s: float
    expires_s: float | None = None
    revoked_s: float | None = None
    routes: list[str] | None = None
    """The models that it may ask for; None for all."""
    operations: list[str] | None = None
    """`chat`, `embed`, `count_tokens`, or a page's method and path; None for all."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    budget: Budget | None = None
    route_budgets: dict[str, Budget] = {}
    """For some models, beside the budget of all."""


class Keys(Protocol):
    @property
    def away(self) -> str | None:
        """Why they cannot be read; None while they can."""
        ...

    async def add(self, key: IssuedKey) -> None: ...

    async def find(self, hashed: str) -> IssuedKey | None:
        """The key of that hash, also where it has expired or was revoked."""
        ...

    async def all(self) -> list[IssuedKey]:
        """The latest first."""
        ...

    async def revoke(self, key_id: str, now_s: float) -> bool:
        """False when there is no such key, or when it was revoked before."""
        ...
