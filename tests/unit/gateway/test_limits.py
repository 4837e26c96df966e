"""Limits when something goes wrong: a state that is away, a caller that leaves, a replica that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.conftest import Later
from tests.waiting import until
from wye.drivers.memory.quotas import MemoryQuotas
from wye.drivers.memory.state import MemoryState
from wye.gateway.policy import counts as module
from wye.gateway.policy import shared_limits
from wye.gateway.policy.counts import Counts
from wye.gateway.policy.limits import Limits
from wye.gateway.policy.shared_limits import SharedLimiter, SharedReservation
from wye.kernel import clock
from wye.kernel.errors import LimitExceeded
from wye.ports.quota import Grant, Quota
from wye.ports.state import StateAway


class SharedState(MemoryState):
    """One that can be away, and slow. Its leases last longer than any machine stands still; they are renewed as if they
    were short."""

    shared = True
    away: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.owners: list[str] = []
        self.renewed: list[str] = []

    async def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_s: float) -> Grant:
        self.owners.append(owner)
        await self.gate.wait()
        if self.away is not None:
            raise StateAway(self.away)
        return await super().reserve(quotas, amounts, owner, 300 * lease_s)

    async def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        if self.away is not None:
            raise StateAway(self.away)
        await super().settle(quotas, amounts, spent, owner)

    async def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        self.renewed.append(key)
        return await super().acquire(key, owner, 300 * ttl_s)


class Replica(SharedLimiter):
    def __init__(self, state: MemoryState, **of_each: int) -> None:
        self.quotas = MemoryQuotas()
        self.counts = Counts(self.quotas, state)
        super().__init__(lambda principal: Limits(**of_each), self.counts)

    async def reserve(self, principal: str, tokens: int) -> SharedReservation:
        reservation = await super().reserve(principal, tokens)
        assert reservation is not None
        return reservation

    def settle(self, reservation: SharedReservation, tokens: int) -> None:
        reservation.settle(tokens)

    async def stop(self) -> None:
        await self.counts.stop()


async def full(limiter: Replica) -> bool:
    try:
        limiter.settle(await limiter.reserve("a", 1), 1)
    except LimitExceeded:
        return True
    await asyncio.sleep(0)
    return False


async def test_away_each_replica_counts_for_itself() -> None:
    state = SharedState()
    one, other = Replica(state, concurrent=1), Replica(state, concurrent=1)
    held = await one.reserve("a", 1)
    assert one.degraded is None
    assert await full(other)
    state.away = "gone"
    assert one.degraded == "each replica counts the calls of a key for itself"
    alone = [await one.reserve("a", 1), await other.reserve("a", 1)]
    assert await full(one)
    assert await full(other)
    one.settle(held, 1)  # nobody hears it
    await one.stop()
    state.away = None
    again = await other.reserve("b", 1)
    assert again.held.shared
    assert len(set(state.owners)) >= 3, "who was cut off begins anew"
    for limiter, reservation in ((one, alone[0]), (other, alone[1]), (other, again)):
        limiter.settle(reservation, 1)
        await limiter.stop()


async def test_one_process_asks_no_state() -> None:
    limiter = Replica(MemoryState(), requests_per_minute=2)
    assert not (await limiter.reserve("a", 1)).held.shared
    assert limiter.counts._renewal is None
    assert limiter.degraded is None


async def test_a_caller_that_leaves_while_it_is_reserved_takes_nothing() -> None:
    state = SharedState()
    limiter = Replica(state, concurrent=1, tokens_per_minute=100)
    for away in (None, "gone"):
        state.gate.clear()
        task = asyncio.create_task(limiter.reserve("a", 80))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        state.away = away
        state.gate.set()
        for _ in range(20):
            await asyncio.sleep(0)
        await limiter.stop()
    state.away = None
    assert isinstance(await limiter.reserve("a", 100), SharedReservation)


async def test_what_is_held_is_renewed_and_no_longer(monkeypatch: pytest.MonkeyPatch, later: Later) -> None:
    monkeypatch.setattr(module, "LEASE_S", 0.2)
    state = SharedState()
    alive, gone = Replica(state, concurrent=1), Replica(state, concurrent=1)
    held = await alive.reserve("a", 1)
    await gone.reserve("b", 1)
    assert gone.counts._renewal is not None
    gone.counts._renewal.cancel()  # kill -9
    later(40)  # of the 60 s of their leases
    state.renewed.clear()
    await until(lambda: bool(state.renewed))
    later(40)
    assert await full(gone), "the other holds on"
    await alive.reserve("b", 1)
    alive.settle(held, 1)
    await alive.stop()


async def test_with_nothing_held_nothing_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_S", 0.04)
    state = SharedState()
    limiter = Replica(state, concurrent=1)
    for _ in range(2):
        limiter.settle(await limiter.reserve("a", 1), 1)
        assert limiter.counts._renewal is not None
        await asyncio.wait([limiter.counts._renewal], timeout=60)
        assert limiter.counts._renewal.done()


async def test_memory_follows_those_who_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    monkeypatch.setattr(shared_limits, "MAX_ACCOUNTS", 100)
    limiter = Replica(MemoryState(), requests_per_minute=5)
    quotas = limiter.quotas
    for i in range(1000):
        limiter.settle(await limiter.reserve(f"key-{i}", 1), 1)
    assert len(limiter._accounts) <= 100
    now_s += 100
    late = await limiter.reserve("new", 1)
    assert len(quotas._buckets) == 1
    now_s += 1000
    limiter.settle(late, 1)  # of what is forgotten: nothing to give back


async def test_leases_that_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    quotas = MemoryQuotas()
    held = [Quota("slots", 5, 1000, refills=False)]
    for i in range(5):
        quotas.reserve(held, [1], f"owner-{i}", 10)
    now_s += 100
    assert quotas.reserve(held, [5], "me", 10).left == [0]
    assert [*quotas._leases] == ["me"]


async def test_a_principal_without_limits_takes_nothing() -> None:
    state = SharedState()
    assert await SharedLimiter(lambda principal: Limits(), Counts(MemoryQuotas(), state)).reserve("a", 1) is None
    assert state.owners == []
