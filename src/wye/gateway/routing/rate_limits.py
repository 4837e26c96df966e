"""What upstreams tell of their rate limits in an answer's headers.

https://platform.openai.com/docs/guides/rate-limits · https://docs.anthropic.com/en/api/rate-limits
"""

from __future__ import annotations

import re
from datetime import datetime

from wye.kernel import clock
from wye.ports.transport import HeaderMap

_MAX_S = 3600.0
_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001, "µs": 0.000001, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_KINDS = (
    (b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    (b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
    (b"anthropic-ratelimit-requests-remaining", b"anthropic-ratelimit-requests-reset"),
    (b"anthropic-ratelimit-tokens-remaining", b"anthropic-ratelimit-tokens-reset"),
)
REMAINING = frozenset(remaining for remaining, _ in _KINDS)
"""The headers without which nothing is told."""


def exhausted_for_s(headers: HeaderMap) -> float:
    """How long nothing is left of one of the limits; 0 while there is. Headers that cannot be read say nothing."""
    wait_s = 0.0
    if REMAINING.isdisjoint(headers):
        return wait_s
    for remaining, reset in _KINDS:
        if headers.get(remaining) == b"0":
            wait_s = max(wait_s, seconds_of(headers.get(reset, b"").decode("latin-1")) or 0.0)
    return min(wait_s, _MAX_S)


def seconds_of(text: str) -> float | None:
    """`6s`, `4m12.172s`, `12ms`, a bare number of seconds, or a point in time (RFC 3339); None for anything else."""
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    try:
        return max(0.0, float(text)) if text.replace(".", "", 1).isdigit() else _until(text)
    except ValueError:
        return None


def _until(text: str) -> float:
    return max(0.0, datetime.fromisoformat(text).timestamp() - clock.wall_s())
