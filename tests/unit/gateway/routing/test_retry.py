"""After a failed attempt: who is asked next, and when."""

from __future__ import annotations

import pytest

from tests.unit.gateway.routing.doubles import deployment
from wye.gateway.deployment import Deployment
from wye.gateway.routing import retry as module
from wye.gateway.routing.retry import MAX_ATTEMPTS, MAX_WAIT_S, Retry
from wye.kernel.errors import (
    BadAnswer,
    ClockExpired,
    ConnectFailed,
    NoDeployment,
    OutOfMemory,
    QueueFull,
    StreamCut,
    UpstreamRefused,
    WyeError,
)


def refused(status: int, **members: float) -> UpstreamRefused:
    return UpstreamRefused("no", status=status, **members)


def steps(plan: list[Deployment], error: WyeError, retries: int = 2) -> tuple[list[str], list[float]]:
    """Who is asked and after which waits, when everybody always fails with that error."""
    retry, asked, waits = Retry(plan, retries), [plan[0].provider.name], list[float]()
    while True:
        try:
            waits.append(retry.after(error, 0.0))
        except type(error):
            return asked, waits
        asked.append(retry.deployment.provider.name)


def three() -> list[Deployment]:
    return [deployment("a"), deployment("b"), deployment("spare", weight=0)]


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (refused(500), "a b b spare spare spare"),
        (refused(503), "a b spare spare spare"),
        (refused(429), "a b spare spare spare"),
        (ConnectFailed("x"), "a b spare spare spare"),
        (StreamCut("x"), "a b b spare spare spare"),
        (ClockExpired("headers_s", 1), "a b spare"),
        (NoDeployment("x"), "a b spare"),
        (QueueFull("x"), "a b spare"),
        (OutOfMemory("x"), "a b spare"),
        (refused(401), "a b spare"),
        (refused(404), "a b spare"),
        (refused(400), "a"),
        (refused(422), "a"),
        (UpstreamRefused("too long", status=400, code="context_length_exceeded"), "a"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_others_go_before_the_same_one_again(error: WyeError, asked: str) -> None:
    """A request that is wrong in itself is asked once; one that was silent has had its time."""
    assert " ".join(steps(three(), error)[0]) == asked


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (refused(500), "a a spare spare spare"),
        (BadAnswer("x"), "a a spare spare spare"),
        (refused(503), "a spare spare spare"),
        (refused(429), "a spare spare spare"),
        (ConnectFailed("x"), "a spare spare spare"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_stumble_gets_a_second_chance_before_a_fallback(error: WyeError, asked: str) -> None:
    assert " ".join(steps([deployment("a"), deployment("spare", weight=0)], error)[0]) == asked


def test_alone_it_backs_off_twice_as_long_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._random, "random", lambda: 0.5)
    asked, waits = steps([deployment("a")], refused(429), retries=9)
    assert len(asked) == MAX_ATTEMPTS
    assert waits == [0.3, 0.6, 1.2, 2.4, 4.0]


@pytest.mark.parametrize("luck", [0.0, 0.999])
def test_never_more_than_four_attempts_in_three_seconds(luck: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._random, "random", lambda: luck)
    _, waits = steps([deployment("a")], refused(503), retries=9)
    assert sum(waits[:4]) > 3.0


def test_as_often_as_the_route_says() -> None:
    assert steps([deployment("a")], refused(500), retries=0)[0] == ["a"]
    assert steps([deployment("a")], refused(500), retries=1)[0] == ["a", "a"]


def test_the_upstreams_own_time_is_waited_for_unless_it_is_long() -> None:
    assert steps([deployment("a")], refused(429, retry_after_s=2.0))[1] == [2.0, 2.0]
    assert steps([deployment("a")], refused(429, retry_after_s=MAX_WAIT_S + 1))[1] == []


def test_who_cannot_be_asked_any_more_is_left_out() -> None:
    plan = three()
    plan[1].health.limited_until_s = 10.0
    assert steps(plan, ClockExpired("headers_s", 1))[0] == ["a", "spare"]


def test_who_has_nothing_left_by_its_figures_is_asked_after_all_others() -> None:
    plan = three()
    plan[1].health.exhausted_until_s = 10.0
    assert steps(plan, ClockExpired("headers_s", 1))[0] == ["a", "spare", "b"]


def test_what_was_too_long_goes_to_one_that_holds_more_and_to_no_other() -> None:
    error = UpstreamRefused("too long", status=400, code="context_length_exceeded")
    short, same = deployment("short", model="s", context_length=100), deployment("same", model="t", context_length=100)
    long = deployment("long", model="l", context_length=1000, weight=0)
    assert steps([short, same, long], error)[0] == ["short", "long"]
    unknown = [deployment("a", model="small"), deployment("b", model="small"), deployment("c", model="large")]
    assert steps(unknown, error)[0] == ["a", "c"]
