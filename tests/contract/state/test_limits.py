"""Limits per key hold over every state: counted once, whoever of several replicas is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from wye.drivers.memory.quotas import MemoryQuotas
from wye.gateway.policy.counts import Counts
from wye.gateway.policy.limits import Limits
from wye.gateway.policy.shared_limits import SharedLimiter, SharedReservation
from wye.kernel.errors import LimitExceeded
from wye.ports.state import State


class Replica(SharedLimiter):
    def __init__(self, limits: Limits, state: State) -> None:
        self.counts = Counts(MemoryQuotas(), state)
        super().__init__(lambda principal: limits, self.counts)

    async def reserve(self, principal: str, tokens: int) -> SharedReservation:
        reservation = await super().reserve(principal, tokens)
        assert reservation is not None
        return reservation

    def settle(self, reservation: SharedReservation, tokens: int) -> None:
        reservation.settle(tokens)


Make = Callable[[Limits], list[Replica]]


@pytest.fixture
async def make(state: State) -> AsyncIterator[Make]:
    """Two replicas where the state can be shared, else one."""
    made: list[Replica] = []

    def make(limits: Limits) -> list[Replica]:
        made.extend(Replica(limits, state) for _ in range(2 if state.shared else 1))
        return [made[0], made[-1]]

    yield make
    for limiter in made:
        await limiter.counts.stop()


async def settled(limiter: Replica) -> None:
    while limiter.counts._settling:
        await asyncio.wait(limiter.counts._settling)


async def test_of_requests_no_more_than_so_many(make: Make) -> None:
    one, other = make(Limits(requests_per_minute=6))
    for limiter in (one, other) * 3:
        limiter.settle(await limiter.reserve("a", 1), 1)
    with pytest.raises(LimitExceeded, match="6 requests per minute; try again in") as raised:
        await one.reserve("a", 1)
    assert raised.value.retry_after_s is not None
    assert 0 < raised.value.retry_after_s <= 10
    await other.reserve("b", 1)


async def test_tokens_are_settled_with_what_was_used(make: Make) -> None:
    one, other = make(Limits(tokens_per_minute=100))
    held = await one.reserve("a", 80)
    with pytest.raises(LimitExceeded, match="100 tokens per minute"):
        await other.reserve("a", 40)
    one.settle(held, 10)
    await settled(one)
    other.settle(await other.reserve("a", 30), 100)
    await settled(other)
    with pytest.raises(LimitExceeded):
        await one.reserve("a", 20)


async def test_a_call_larger_than_the_limit_passes_when_nothing_else_was_used(make: Make) -> None:
    one, other = make(Limits(tokens_per_minute=100))
    await one.reserve("a", 5000)
    with pytest.raises(LimitExceeded):
        await other.reserve("a", 1)


async def test_calls_at_the_same_time(make: Make) -> None:
    one, other = make(Limits(concurrent=2))
    first = await one.reserve("a", 1)
    await other.reserve("a", 1)
    with pytest.raises(LimitExceeded, match="2 calls") as raised:
        await one.reserve("a", 1)
    assert raised.value.retry_after_s
    one.settle(first, 1)
    await settled(one)
    await other.reserve("a", 1)


async def test_a_refused_call_takes_nothing(make: Make) -> None:
    one, other = make(Limits(requests_per_minute=10, tokens_per_minute=10, concurrent=3))
    await one.reserve("a", 10)
    for _ in range(5):
        with pytest.raises(LimitExceeded, match="10 tokens"):
            await other.reserve("a", 10)
    other.settle(await other.reserve("b", 1), 0)
    assert b"x-ratelimit-remaining-requests: 8\r\n" in (await other.reserve("b", 1)).lines
    for limiter in (one, other):
        await limiter.reserve("c", 1)


async def test_the_caller_is_told_what_is_left(make: Make) -> None:
    one, _ = make(Limits(requests_per_minute=5, tokens_per_minute=100, concurrent=9))
    lines = (await one.reserve("a", 30)).lines
    assert lines.splitlines(keepends=True) == [
        b"x-ratelimit-limit-requests: 5\r\n",
        b"x-ratelimit-remaining-requests: 4\r\n",
        b"x-ratelimit-limit-tokens: 100\r\n",
        b"x-ratelimit-remaining-tokens: 70\r\n",
    ]


async def test_of_a_rush_exactly_so_many_pass(make: Make) -> None:
    both = make(Limits(concurrent=30))
    got = await asyncio.gather(*(both[i % 2].reserve("a", 1) for i in range(300)), return_exceptions=True)
    refused = [one for one in got if isinstance(one, LimitExceeded)]
    assert len(got) - len(refused) == 30
    assert all(isinstance(one, LimitExceeded) or one.account for one in got)
