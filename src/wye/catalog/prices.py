"""What models cost, offline: the prices that the package genai-prices knows.

https://github.com/pydantic/genai-prices
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from wye.canon.usage import Usage
from wye.kernel.money import MICRO_USD_PER_USD

_PER = 1_000_000


class Rate(msgspec.Struct, frozen=True):
    """Micro-dollars for a million tokens. Cached input that has no rate of its own costs what other input costs."""

    input: int
    output: int = 0
    cached: int | None = None
    cache_write: int | None = None

    def cost_micro_usd(self, usage: Usage) -> int:
        """Rounded up: nothing that costs something is free."""
        cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
        plain = max(0, (usage.input_tokens or 0) - cached - written)
        total = plain * self.input + (usage.output_tokens or 0) * self.output
        total += cached * (self.input if self.cached is None else self.cached)
        total += written * (self.input if self.cache_write is None else self.cache_write)
        return -(-total // _PER)


class Price(msgspec.Struct, frozen=True):
    """The rates of a model: each holds for all tokens of a call whose input is longer than its number of tokens."""

    steps: tuple[tuple[int, Rate], ...]

    def rate(self, input_tokens: int) -> Rate:
        return [rate for start, rate in self.steps if start == 0 or input_tokens > start][-1]

    def cost_micro_usd(self, usage: Usage) -> int:
        return self.rate(usage.input_tokens or 0).cost_micro_usd(usage)


def known_price(vendor: str, model: str) -> Price | None:
    """Of that vendor's model; None where nobody knows it. Raises ImportError without the package."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - an extra, and much to load

    try:
        _, found = get_snapshot().find_provider_model(model, None, vendor, None)
    except LookupError:
        return None
    prices: Any = found.get_prices(datetime.now(UTC))
    rates = (prices.input_mtok, prices.output_mtok, prices.cache_read_mtok, prices.cache_write_mtok)
    if rates[0] is None:
        return None
    starts = sorted({0, *(tier.start for rate in rates for tier in getattr(rate, "tiers", ()))})
    return Price(tuple((start, _rate(*(_at(rate, start) for rate in rates))) for start in starts))


def _rate(paid: int | None, output: int | None, cached: int | None, written: int | None) -> Rate:
    return Rate(paid or 0, output or 0, cached, written)


def _at(rate: Any, start: int) -> int | None:
    """Micro-dollars, of a call longer than that."""
    if rate is None:
        return None
    if hasattr(rate, "tiers"):
        steps: list[tuple[int, Decimal]] = [(0, rate.base), *((tier.start, tier.price) for tier in rate.tiers)]
        rate = next(price for first, price in sorted(steps, reverse=True) if first <= start)
    return round(Decimal(rate) * MICRO_USD_PER_USD)
