"""Limits per principal: reserve before the call, settle after it."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """None means without limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


class Reservation(msgspec.Struct):
    """What a call was granted. `lines` tell the caller what is left: ready header lines, each ended by CRLF
    (`x-ratelimit-remaining-requests: 59`)."""

    principal: str
    tokens: int
    lines: bytes


class Limiter(Protocol):
    def reserve(self, principal: str, tokens: int) -> Reservation:
        """Take one request and so many tokens. Raises LimitExceeded with `retry_after_s`, and then takes nothing."""
        ...

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Give back what was not used, or take what was used beyond; end the call's share of `concurrent`."""
        ...
