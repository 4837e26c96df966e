"""The one door to time. Tests replace `wall_s` and `monotonic_s` by a clock they turn by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

wall_s: Callable[[], float] = time.time  # noqa: TID251 - the door itself
"""Seconds since 1970, for people and protocols."""

monotonic_s: Callable[[], float] = time.monotonic  # noqa: TID251 - the door itself
"""Seconds on a clock that never goes back, for durations and deadlines. The same clock as the event loop's."""


def unix_s() -> int:
    """Whole seconds since 1970: the `created` of an answer."""
    return int(wall_s())


def rfc3339(seconds: float) -> str:
    """A time since 1970 as a date with its time, in UTC and whole seconds: `2026-11-21T14:32:45Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
