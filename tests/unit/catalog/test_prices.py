"""What calls cost, in whole micro-dollars."""

from __future__ import annotations

import pytest

from wye.canon.usage import Usage
from wye.catalog.prices import Price, Rate, known_price

PLAIN = Price(((0, Rate(3_000_000, 15_000_000)),))
CACHING = Price(((0, Rate(3_000_000, 15_000_000, cached=300_000, cache_write=3_750_000)),))
STEPPED = Price(((0, Rate(1_000_000)), (200_000, Rate(2_000_000))))


@pytest.mark.parametrize(
    ("price", "usage", "micro_usd"),
    [
        (PLAIN, Usage(1_000_000, 0), 3_000_000),
        (PLAIN, Usage(1000, 100), 4500),
        (PLAIN, Usage(1, 0), 3),
        (Price(((0, Rate(1)),)), Usage(1, 0), 1),
        (PLAIN, Usage(), 0),
        (PLAIN, Usage(1000, 0, cached_tokens=400, cache_write_tokens=100), 3000),
        (CACHING, Usage(1000, 0, cached_tokens=400, cache_write_tokens=100), 1500 + 120 + 375),
        (CACHING, Usage(10, 0, cached_tokens=1000), 300),
        (STEPPED, Usage(200_000, 0), 200_000),
        (STEPPED, Usage(200_001, 0), 400_002),
    ],
    ids=["million", "both", "one", "rounded up", "nothing", "no cache rate", "cached", "odd", "at the step", "beyond"],
)
def test_a_call_costs_what_its_tokens_cost(price: Price, usage: Usage, micro_usd: int) -> None:
    assert price.cost_micro_usd(usage) == micro_usd


def test_prices_are_known_offline() -> None:
    mini = known_price("openai", "gpt-4o-mini")
    assert mini is not None
    assert mini.steps == ((0, Rate(150_000, 600_000, cached=75_000)),)
    embedding = known_price("openai", "text-embedding-3-small")
    assert embedding is not None
    assert embedding.cost_micro_usd(Usage(1_000_000)) == 20_000


def test_long_inputs_may_cost_more() -> None:
    sonnet = known_price("anthropic", "claude-sonnet-4-5")
    assert sonnet is not None
    (_, short), (start, long) = sonnet.steps
    assert (start, short.input, long.input, short.output, long.output) == (
        200_000,
        3_000_000,
        6_000_000,
        15_000_000,
        22_500_000,
    )
    assert sonnet.rate(200_000) is short
    assert sonnet.rate(200_001) is long


@pytest.mark.parametrize(("vendor", "model"), [("openai", "nonsense"), ("nobody", "gpt-4o"), ("openai", "whisper-1")])
def test_what_nobody_knows_has_no_price(vendor: str, model: str) -> None:
    assert known_price(vendor, model) is None
