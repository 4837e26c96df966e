"""What every limiter promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wye.drivers.memory.limiter import MemoryLimiter
from wye.kernel import clock
from wye.kernel.errors import LimitExceeded
from wye.ports.limiter import Limiter, Limits

DRIVERS: dict[str, Callable[[Limits], Limiter]] = {"memory": MemoryLimiter}


class Hand:
    """A clock that is turned by hand."""

    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(clock, "monotonic_s", hand.monotonic_s)
    return hand


@pytest.fixture(params=DRIVERS)
def make(request: pytest.FixtureRequest, hand: Hand) -> Callable[[Limits], Limiter]:
    return DRIVERS[request.param]


Make = Callable[[Limits], Limiter]


def test_requests_refill_over_a_minute(make: Make, hand: Hand) -> None:
    limiter = make(Limits(requests_per_minute=60))
    for _ in range(60):
        limiter.settle(limiter.reserve("a", 1), 1)
    with pytest.raises(LimitExceeded, match="60 requests per minute") as raised:
        limiter.reserve("a", 1)
    assert raised.value.retry_after_s == pytest.approx(1.0)
    hand.now_s += 1.0
    limiter.reserve("a", 1)
    with pytest.raises(LimitExceeded):
        limiter.reserve("a", 1)


def test_principals_do_not_share(make: Make, hand: Hand) -> None:
    limiter = make(Limits(requests_per_minute=1))
    limiter.reserve("a", 1)
    limiter.reserve("b", 1)
    with pytest.raises(LimitExceeded):
        limiter.reserve("a", 1)


def test_tokens_are_settled_with_what_was_used(make: Make, hand: Hand) -> None:
    limiter = make(Limits(tokens_per_minute=100))
    held = limiter.reserve("a", 80)
    with pytest.raises(LimitExceeded, match="100 tokens per minute"):
        limiter.reserve("a", 30)
    limiter.settle(held, 10)
    limiter.settle(limiter.reserve("a", 30), 100)
    with pytest.raises(LimitExceeded):
        limiter.reserve("a", 1)
    hand.now_s += 60
    limiter.reserve("a", 50)


def test_a_call_larger_than_the_limit_passes_when_nothing_else_was_used(make: Make, hand: Hand) -> None:
    limiter = make(Limits(tokens_per_minute=100))
    limiter.reserve("a", 5000)
    with pytest.raises(LimitExceeded):
        limiter.reserve("a", 1)


def test_calls_at_the_same_time(make: Make, hand: Hand) -> None:
    limiter = make(Limits(concurrent=2))
    first = limiter.reserve("a", 1)
    limiter.reserve("a", 1)
    with pytest.raises(LimitExceeded, match="2 calls") as raised:
        limiter.reserve("a", 1)
    assert raised.value.retry_after_s
    limiter.settle(first, 1)
    limiter.reserve("a", 1)


def test_a_refused_call_takes_nothing(make: Make, hand: Hand) -> None:
    limiter = make(Limits(requests_per_minute=10, tokens_per_minute=10))
    limiter.reserve("a", 10)
    for _ in range(5):
        with pytest.raises(LimitExceeded):
            limiter.reserve("a", 10)
    hand.now_s += 60
    assert b"x-ratelimit-remaining-requests: 9\r\n" in limiter.reserve("a", 1).lines


def test_the_caller_is_told_what_is_left(make: Make, hand: Hand) -> None:
    lines = make(Limits(requests_per_minute=5, tokens_per_minute=100)).reserve("a", 30).lines
    assert set(lines.splitlines(keepends=True)) == {
        b"x-ratelimit-limit-requests: 5\r\n",
        b"x-ratelimit-remaining-requests: 4\r\n",
        b"x-ratelimit-limit-tokens: 100\r\n",
        b"x-ratelimit-remaining-tokens: 70\r\n",
    }


def test_memory_follows_those_who_call(hand: Hand) -> None:
    limiter = MemoryLimiter(Limits(requests_per_minute=5, concurrent=5))
    busy = limiter.reserve("busy", 1)
    for i in range(1000):
        limiter.settle(limiter.reserve(f"key-{i}", 1), 1)
    hand.now_s += 300
    limiter.reserve("new", 1)
    assert len(limiter._accounts) == 2
    limiter.settle(busy, 1)
    hand.now_s += 300
    limiter.reserve("newer", 1)
    limiter.settle(busy, 1)  # of a forgotten principal: nothing to give back
