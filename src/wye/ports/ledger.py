"""What was used, call by call: who, of what, and what it cost. Nothing of what was said.

Times are seconds since 1970, money is in micro-dollars. Any operation may raise `ports.store.StoreAway`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

Group = Literal["key", "model", "deployment", "day"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One call that is over."""

    id: str
    """Unique: an entry that is written twice counts once."""
    at_s: float
    principal: str
    model: str
    """As the caller named it."""
    deployment: str | None
    """Who answered; None where nobody did."""
    status: Literal["answered", "failed"]
    cache: str | None
    """`hit` or `join` where the answer was there before."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_micro_usd: int


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """Of the calls that belong together."""

    of: str
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_micro_usd: int


class Ledger(Protocol):
    @property
    def away(self) -> str | None: ...

    async def add(self, entries: Sequence[Entry]) -> None:
        """All of them, or none."""
        ...

    async def spent_micro_usd(self, since_s: float, principal: str | None, model: str | None) -> int:
        """By that principal, of that model; None stands for any."""
        ...

    async def sums(self, by: Group, since_s: float, until_s: float, principal: str | None = None) -> list[Sum]:
        """The dearest first; days in their order."""
        ...


class Leftover(Protocol):
    """What a process that is gone had not brought into the ledger. It is this process's alone from now on."""

    def entries(self) -> list[Entry]: ...

    def forget(self) -> None:
        """They are in the ledger."""
        ...


class Journal(Protocol):
    """Entries on their way into the ledger, kept where the end of the process does not reach them."""

    @property
    def away(self) -> str | None:
        """Why it keeps nothing; None while it does."""
        ...

    def add(self, entry: Entry) -> None:
        """When this returns the entry is kept, unless the journal is away."""
        ...

    def done(self, count: int) -> None:
        """The oldest so many need not be kept any longer."""
        ...

    def left_behind(self) -> Sequence[Leftover]:
        """By processes that are gone."""
        ...

    def close(self) -> None:
        """What is not done is left behind."""
        ...
