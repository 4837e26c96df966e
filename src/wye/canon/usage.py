"""Tokens. `input_tokens` and `output_tokens` are totals: the finer figures are parts of them, never additions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from wye.canon.extras import Extras


class Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    """Input read from the upstream's prompt cache."""
    cache_write_tokens: int | None = None
    """Input written to it."""
    reasoning_tokens: int | None = None
    """Output spent on thinking."""
    extras: Extras | None = None

    @property
    def total_tokens(self) -> int:
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def updated(self, later: Usage) -> Usage:
        """These figures, replaced by those that a later report of the same answer knows."""
        extras = {**(self.extras or {})}
        for dialect, members in (later.extras or {}).items():
            extras[dialect] = {**extras.get(dialect, {}), **members}
        return Usage(
            input_tokens=self.input_tokens if later.input_tokens is None else later.input_tokens,
            output_tokens=self.output_tokens if later.output_tokens is None else later.output_tokens,
            cached_tokens=self.cached_tokens if later.cached_tokens is None else later.cached_tokens,
            cache_write_tokens=self.cache_write_tokens
            if later.cache_write_tokens is None
            else later.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens if later.reasoning_tokens is None else later.reasoning_tokens,
            extras=extras or None,
        )


def total_of(reports: Sequence[Usage | None]) -> Usage | None:
    """The figures of several answers together; None where no answer has any. Extras are not added up."""
    known = [report for report in reports if report is not None]
    if not known:
        return None
    return Usage(
        input_tokens=_sum([report.input_tokens for report in known]),
        output_tokens=_sum([report.output_tokens for report in known]),
        cached_tokens=_sum([report.cached_tokens for report in known]),
        cache_write_tokens=_sum([report.cache_write_tokens for report in known]),
        reasoning_tokens=_sum([report.reasoning_tokens for report in known]),
    )


def _sum(figures: list[int | None]) -> int | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None
