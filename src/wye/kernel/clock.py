"""The one door to time. Tests replace `wall_s` and `monotonic_s` by a clock they turn by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def wall_s() -> float:
    """Seconds since 1970, for people and protocols."""
    return time.time()  # noqa: TID251 - the door itself


def monotonic_s() -> float:
    """Seconds on a clock that never goes back, for durations and deadlines. The same clock as the event loop's."""
    return time.monotonic()  # noqa: TID251 - the door itself


def unix_s() -> int:
    """Whole seconds since 1970: the `created` of an answer."""
    return int(wall_s())


def rfc3339(seconds: float) -> str:
    """A time since 1970 as a date with its time, in UTC and whole seconds: `2026-11-21T14:32:45Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
