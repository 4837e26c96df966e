"""Money is an integer number of micro-dollars: sums are exact, and a million tokens at $3 cost 3 per token."""

from __future__ import annotations

MICRO_USD_PER_USD = 1_000_000


def cost_micro_usd(tokens: int, price_micro_usd_per_million: int) -> int:
    """The cost of some tokens, rounded up: a call never costs less than it is charged for."""
    return -(-tokens * price_micro_usd_per_million // 1_000_000)


def format_usd(micro_usd: int) -> str:
    """`$0.001234` for 1234; whole cents keep two digits."""
    sign = "-" if micro_usd < 0 else ""
    dollars, rest = divmod(abs(micro_usd), MICRO_USD_PER_USD)
    digits = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}${dollars}.{digits}"
