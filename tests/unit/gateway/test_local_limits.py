"""Limits where one process has all the calls."""

from __future__ import annotations

import pytest

from wye.gateway.policy import local_limits
from wye.gateway.policy.limits import Limits
from wye.gateway.policy.local_limits import LocalLimiter
from wye.kernel import clock
from wye.kernel.errors import LimitExceeded


class Hand:
    now_s = 1000.0


@pytest.fixture(autouse=True)
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(clock, "monotonic_s", lambda: hand.now_s)
    return hand


def lines(limiter: LocalLimiter, tokens: int = 1) -> list[bytes]:
    reservation = limiter.reserve("a", tokens)
    assert reservation is not None
    return reservation.lines.splitlines()


REQUESTS = [b"x-ratelimit-limit-requests: 5", b"x-ratelimit-remaining-requests: 4"]
TOKENS = [b"x-ratelimit-limit-tokens: 100", b"x-ratelimit-remaining-tokens: 70"]


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(requests_per_minute=5), REQUESTS),
        (Limits(tokens_per_minute=100), TOKENS),
        (Limits(5, 100, 3), REQUESTS + TOKENS),
        (Limits(concurrent=3), []),
    ],
    ids=["requests", "tokens", "all", "concurrent"],
)
def test_what_is_left_is_told(limits: Limits, told: list[bytes]) -> None:
    assert lines(LocalLimiter(lambda principal: limits), 30) == told


@pytest.mark.parametrize(
    ("limits", "tokens", "said", "wait_s"),
    [
        (Limits(requests_per_minute=1), 1, "This key may use 1 requests per minute; try again in 60.0 s", 60.0),
        (Limits(tokens_per_minute=40), 30, "This key may use 40 tokens per minute; try again in 30.0 s", 30.0),
        (Limits(concurrent=1), 1, "This key may have 1 calls running at the same time", 1.0),
        (Limits(1, 40, 1), 30, "This key may have 1 calls running at the same time", 1.0),
    ],
    ids=["requests", "tokens", "concurrent", "all"],
)
def test_a_key_has_so_much_and_no_other_key_less(limits: Limits, tokens: int, said: str, wait_s: float) -> None:
    limiter = LocalLimiter(lambda principal: limits)
    limiter.reserve("a", tokens)
    with pytest.raises(LimitExceeded) as refused:
        limiter.reserve("a", tokens)
    assert refused.value.message == said
    assert refused.value.retry_after_s == pytest.approx(wait_s)
    assert limiter.reserve("b", tokens) is not None


def test_a_refusal_takes_nothing() -> None:
    limiter = LocalLimiter(lambda principal: Limits(requests_per_minute=2, tokens_per_minute=100))
    limiter.reserve("a", 90)
    for _ in range(3):
        with pytest.raises(LimitExceeded, match="tokens"):
            limiter.reserve("a", 20)
    assert limiter.reserve("a", 10) is not None


@pytest.mark.parametrize(("used", "left"), [(10, 60), (30, 40), (80, 0)], ids=["less", "as much", "more"])
def test_a_call_is_settled_with_what_it_used(used: int, left: int) -> None:
    limiter = LocalLimiter(lambda principal: Limits(tokens_per_minute=100, concurrent=1))
    reservation = limiter.reserve("a", 30)
    assert reservation is not None
    reservation.settle(used)
    if left:
        assert lines(limiter, 30)[1] == b"x-ratelimit-remaining-tokens: %d" % left
    else:
        with pytest.raises(LimitExceeded, match=r"in 6\.0 s"):
            limiter.reserve("a", 30)


def test_without_limits_nothing_is_counted() -> None:
    limiter = LocalLimiter(lambda principal: Limits())
    assert limiter.reserve("a", 10**9) is None
    assert limiter.reserve("a", 10**9) is None


def test_memory_follows_those_who_call(monkeypatch: pytest.MonkeyPatch, hand: Hand) -> None:
    monkeypatch.setattr(local_limits, "MAX_ACCOUNTS", 10)
    limiter = LocalLimiter(lambda name: Limits() if name == "free" else Limits(requests_per_minute=5, concurrent=5))
    for name in ("busy", "free", *(f"key-{i}" for i in range(20))):
        if (reservation := limiter.reserve(name, 1)) is not None and name != "busy":
            reservation.settle(1)
    hand.now_s += 61
    limiter.reserve("late", 1)
    assert [*limiter._accounts] == ["busy", "late"]
