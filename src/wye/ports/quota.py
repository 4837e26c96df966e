"""How much of something may be used, counted where all who use it see the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Quota(msgspec.Struct, frozen=True, array_like=True):
    """What is used of a quota that `refills` is taken when it is reserved, and comes back evenly over its window.

    Of any other the amount is *held* until it is settled, or its owner is gone; what was spent of it then stays spent.
    """

    key: str
    limit: int
    """The most that may be in use."""
    window_s: float
    """In which a used-up one is full again; of one that does not refill, how long after its last use it is known."""
    refills: bool
    start: int | None = 0
    """What was spent of it before, for a state that does not know it. None: let it not be opened without being told."""


class Grant(msgspec.Struct, array_like=True):
    """The answer to a wish for some of several quotas: all of them, or none."""

    left: list[int]
    """Of each quota, after it was granted; at least 0."""
    refused: int | None = None
    """The place of the first quota that has too little left; None when all was granted."""
    wait_s: float = 0.0
    """After so long there may be enough of it. 0 for one that does not refill: nobody knows when others settle."""
    unknown: int | None = None
    """The place of one that must be told its start. Nothing was taken then."""


class LocalQuotas(Protocol):
    """The counts of one process, asked without waiting."""

    def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_s: float) -> Grant:
        """As `ports.state.State.reserve`."""
        ...

    def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        """As `ports.state.State.settle`."""
        ...
