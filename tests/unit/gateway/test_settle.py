"""The end of every exchange: figures to the meters, the reservation given back."""

from __future__ import annotations

from typing import Any, cast

import pytest

from wye.canon.usage import Usage
from wye.dialects.registry import DIALECTS
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange
from wye.gateway.policy.local_limits import LocalLimiter
from wye.gateway.policy.shared_limits import SharedLimiter
from wye.gateway.settle import Settlement
from wye.kernel import clock
from wye.kernel.errors import LimitExceeded
from wye.ports.provider import Provider
from wye.ports.transport import Clocks


class ReservationDouble:
    lines = b""

    def __init__(self, tokens: int, settled: list[int]) -> None:
        self.tokens = tokens
        self._settled = settled

    def settle(self, tokens: int) -> None:
        self._settled.append(tokens)


class LimiterDouble:
    def __init__(self, full: bool = False) -> None:
        self.full = full
        self.reserved: list[tuple[str, int]] = []
        self.settled: list[int] = []

    def reserve(self, principal: str, tokens: int) -> Any:
        if self.full:
            raise LimitExceeded("enough", retry_after_s=1)
        self.reserved.append((principal, tokens))
        return ReservationDouble(tokens, self.settled)


class SharedLimiterDouble(LimiterDouble, SharedLimiter):
    async def reserve(self, principal: str, tokens: int) -> Any:
        return LimiterDouble.reserve(self, principal, tokens)


class Upstream:
    name = "up"


def exchange(attempted: bool = True) -> Exchange:
    made = Exchange("req_1", DIALECTS["openai_chat"], b"x" * 400, {}, "alice", 100.0)
    if attempted:
        made.deployment = made.serving = Deployment(cast(Provider, Upstream()), "m", Clocks())
        made.serving.health.begin(0.0)
    return made


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: 102.5)


def figures(deployment: Any) -> tuple[Any, ...]:
    meter = deployment.meter
    return (
        meter.requests,
        meter.failures,
        meter.seconds,
        meter.input_tokens,
        meter.output_tokens,
        meter.cached_tokens,
    )


@pytest.mark.parametrize("double", [LimiterDouble, SharedLimiterDouble])
@pytest.mark.parametrize(
    ("usage", "failed", "spent", "wanted"),
    [
        (Usage(input_tokens=10, output_tokens=5, cached_tokens=4), False, 15, (1, 0, 2.5, 10, 5, 4)),
        (Usage(input_tokens=10, output_tokens=2), True, 12, (1, 1, 2.5, 10, 2, 0)),
        (None, False, 100, (1, 0, 2.5, 0, 0, 0)),
        (None, True, 100, (1, 1, 2.5, 0, 0, 0)),
    ],
    ids=["whole", "broken off", "no usage told", "failed"],
)
async def test_an_exchange_is_metered_and_charged(
    usage: Usage | None, failed: bool, spent: int, wanted: tuple[Any, ...], double: type[LimiterDouble]
) -> None:
    """Without figures from the upstream the estimate of four bytes a token stands."""
    limiter, call = double(), exchange()
    settlement = Settlement(cast(LocalLimiter, limiter))
    await settlement.begin(call)
    assert settlement.running == 1
    assert limiter.reserved == [("alice", 100)]
    settlement.end(call, usage, failed=failed)
    assert (settlement.running, settlement.refused) == (0, 0)
    assert limiter.settled == [spent]
    assert figures(call.deployment) == wanted


async def test_one_that_nobody_was_asked_for_counts_as_refused() -> None:
    settlement, call = Settlement(None), exchange(attempted=False)
    await settlement.begin(call)
    settlement.end(call, None, failed=True)
    assert (settlement.running, settlement.refused) == (0, 1)
    assert call.reservation is None


async def test_one_that_is_over_a_limit_leaves_nothing_to_settle() -> None:
    settlement = Settlement(cast(LocalLimiter, LimiterDouble(full=True)))
    with pytest.raises(LimitExceeded):
        await settlement.begin(exchange())
    assert settlement.running == 0


async def test_sums_grow_with_each_exchange() -> None:
    settlement, call = Settlement(None), exchange()
    for _ in range(3):
        await settlement.begin(call)
        settlement.end(call, Usage(input_tokens=1, output_tokens=2), failed=False)
    assert figures(call.deployment) == (3, 0, 7.5, 3, 6, 0)
