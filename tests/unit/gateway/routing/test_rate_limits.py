"""What upstreams say of their limits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from wye.gateway.routing.rate_limits import exhausted_for_s, seconds_of
from wye.kernel import clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6s", 6.0),
        ("4m12.172s", 252.172),
        ("12ms", 0.012),
        ("1h", 3600.0),
        ("6m0s", 360.0),
        ("1d2h3m4s", 93784.0),
        ("120µs", 0.00012),
        ("17", 17.0),
        ("0.5", 0.5),
        (" 2s ", 2.0),
        ("2026-11-21T10:00:30Z", 30.0),
        ("2026-11-21T09:59:30+00:00", 0.0),
        ("", None),
        ("soon", None),
        ("6 parsecs", None),
        ("-5", None),
        ("1.2.3", None),
        ("6s and more", None),
    ],
)
def test_durations_in_every_form(text: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 21, 10, tzinfo=UTC)
    monkeypatch.setattr(clock, "wall_s", now.timestamp)
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 0.0),
        ({b"x-ratelimit-remaining-requests": b"1", b"x-ratelimit-reset-requests": b"6s"}, 0.0),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"6s"}, 6.0),
        ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"12ms"}, 0.012),
        ({b"anthropic-ratelimit-tokens-remaining": b"0", b"anthropic-ratelimit-tokens-reset": b"9"}, 9.0),
        ({b"anthropic-ratelimit-requests-remaining": b"0"}, 0.0),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"\xff"}, 0.0),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"400d"}, 3600.0),
    ],
)
def test_how_long_nothing_is_left(headers: dict[bytes, bytes], wait_s: float) -> None:
    """What cannot be read says nothing, and no header takes a deployment away for longer than an hour."""
    assert exhausted_for_s(headers) == pytest.approx(wait_s)
