"""The circuit: closed, open, half open; and the upstream's own word that it has had enough."""

from __future__ import annotations

import pytest

from wye.gateway.routing.health import Health, is_its_own_fault
from wye.kernel.errors import ConnectFailed, UpstreamRefused, WyeError

DOWN = ConnectFailed("nobody listens")


def broken(allowed_fails: int | None = 2, fails: int = 2) -> Health:
    health = Health(allowed_fails, 30.0)
    for _ in range(fails):
        health.begin(130.0)
        health.failed(DOWN, 100.0)
        health.end()
    return health


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    assert broken(fails=1).usable(100.0)
    assert not broken().usable(100.0)
    assert broken().state(100.0) == "cooling_down"
    assert broken().usable_in_s(110.0) == 20.0
    assert broken(allowed_fails=None, fails=50).usable(100.0)


def test_a_success_between_them_closes_the_count() -> None:
    health = broken(fails=1)
    health.answered(0.1, 130.0)
    health.failed(DOWN, 100.0)
    assert health.usable(100.0)


def test_after_the_cooldown_one_call_tries_and_the_others_wait_for_it() -> None:
    health = broken()
    assert health.usable(130.0)
    health.begin(130.0)
    assert not health.usable(130.0)
    assert health.state(130.0) == "probing"
    health.answered(0.1, 130.0)
    health.end()
    assert health.usable(130.0)
    assert health.state(130.0) == "ok"


def test_a_probe_that_hangs_lets_another_try_after_a_while() -> None:
    health = broken()
    health.begin(130.0)
    assert not health.usable(159.9)
    assert health.usable_in_s(150.0) == 10.0
    assert health.usable(160.0)
    health.begin(160.0)
    health.answered(0.1, 130.0)
    assert health.state(160.0) == "ok"


def test_a_probe_that_fails_opens_it_again_at_once() -> None:
    health = broken()
    health.begin(130.0)
    health.failed(DOWN, 131.0)
    health.end()
    assert not health.usable(160.9)
    assert health.usable(161.0)


def test_a_probe_whose_caller_left_lets_another_try() -> None:
    health = broken()
    health.begin(130.0)
    health.end()
    assert health.usable(130.0)


def test_a_late_failure_of_a_call_from_before_does_not_count_as_the_probe() -> None:
    """Two calls under way when the circuit opens: the end of the second is not the end of the probe."""
    health = Health(1, 30.0)
    health.begin(130.0)
    health.begin(130.0)
    health.failed(DOWN, 100.0)
    health.end()
    assert not health.probe_until_s
    assert not health.usable(129.0)
    assert health.usable(130.0)


def test_a_429_that_names_a_time_rests_it_for_that_time_and_is_no_failure() -> None:
    health = Health(1, 30.0)
    health.failed(UpstreamRefused("slow down", status=429, retry_after_s=5.0), 100.0)
    assert health.state(104.9) == "limited"
    assert not health.usable(104.9)
    assert health.usable_in_s(101.0) == 4.0
    assert health.usable(105.0)
    health.failed(UpstreamRefused("slow down", status=429), 105.0)
    assert health.state(105.0) == "cooling_down"


def test_headers_that_say_empty_rest_it_until_the_reset() -> None:
    health = Health(1, 30.0)
    health.read({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"6s"}, 100.0)
    assert (health.usable(105.0), health.may_answer(105.0)) == (False, True)
    assert (health.state(105.0), health.usable_in_s(105.0)) == ("limited", 1.0)
    assert health.usable(106.0)
    health.read({b"x-ratelimit-remaining-requests": b"3", b"x-ratelimit-reset-requests": b"6s"}, 106.0)
    assert health.usable(106.0)


def test_latency_is_an_average_in_which_the_latest_counts_most() -> None:
    health = Health()
    health.answered(1.0, 100.0)
    assert health.latency_s == 1.0
    health.answered(2.0, 110.0)
    assert health.latency_s == pytest.approx(1.3)
    assert health.latency_known(169.0) == health.latency_s
    assert health.latency_known(171.0) is None
    health.answered(9.0, 171.0)
    assert health.latency_s == 9.0


def test_the_last_error_is_told_in_short() -> None:
    health = Health()
    health.failed(ConnectFailed("x" * 1000), 1.0)
    assert health.last_error is not None
    assert len(health.last_error) == 300


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (DOWN, True),
        (UpstreamRefused("no", status=401), True),
        (UpstreamRefused("no", status=404), True),
        (UpstreamRefused("no", status=500), True),
        (UpstreamRefused("your fault", status=400), False),
        (UpstreamRefused("your fault", status=422), False),
    ],
)
def test_whose_fault_it_is(error: WyeError, own: bool) -> None:
    assert is_its_own_fault(error) is own
