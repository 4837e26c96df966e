"""Limits per key: calls and tokens in a minute, calls at the same time."""

from __future__ import annotations

from typing import Protocol

import msgspec

from wye.kernel.errors import LimitExceeded

MINUTE_S = 60.0
MAX_ACCOUNTS = 10_000
"""Principals whose limits are at hand."""


class Limits(msgspec.Struct, frozen=True):
    """None means without limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


class Reservation(Protocol):
    """What a call was granted."""

    @property
    def tokens(self) -> int: ...

    @property
    def lines(self) -> bytes:
        """What the caller is told is left: ready header lines, each ended by CRLF
        (`x-ratelimit-remaining-requests: 59`)."""
        ...

    def settle(self, tokens: int) -> None:
        """Give back what was not used, or take what was used beyond; end the call's share of `concurrent`."""
        ...


def refusal(name: str, limit: int, wait_s: float) -> LimitExceeded:
    """For a call that finds too little left of its `requests`, `calls` or `tokens`; `wait_s` is 0 where nobody knows
    when there is more."""
    wait_s = wait_s or 1.0
    if name == "calls":
        said = f"This key may have {limit} calls running at the same time"
    else:
        said = f"This key may use {limit} {name} per minute; try again in {wait_s:.1f} s"
    return LimitExceeded(said, retry_after_s=wait_s)


def told_of(name: str, limit: int | None) -> bytes:
    """The header lines of a limit for `requests` or `tokens`, with a `%d` for what is left; b"" where there is none."""
    if limit is None:
        return b""
    return f"x-ratelimit-limit-{name}: {limit}\r\nx-ratelimit-remaining-{name}: %d\r\n".encode()
