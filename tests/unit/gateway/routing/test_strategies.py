"""Who is asked first."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.unit.gateway.routing.doubles import deployment
from wye.gateway.deployment import Deployment, Route
from wye.gateway.routing.strategies import Strategy, order_by
from wye.kernel import clock
from wye.kernel.errors import ConnectFailed, NoDeployment, UpstreamRefused


def route(*deployments: Deployment, strategy: Strategy = "weighted") -> Route:
    return Route("public", list(deployments), order=order_by(strategy))


def firsts(made: Route, calls: int) -> list[str]:
    return [made.plan(0.0, 10)[0].provider.name for _ in range(calls)]


@pytest.mark.parametrize(
    ("weights", "calls", "wanted"),
    [
        ((1, 1, 0), 600, {"a": 300, "b": 300}),
        ((5, 1, 1), 7, {"a": 5, "b": 1, "c": 1}),
        ((0.5, 0.25, 0.25), 400, {"a": 200, "b": 100, "c": 100}),
        ((0, 0, 0), 3, {"a": 3}),
    ],
)
def test_weights_are_met_exactly(weights: tuple[float, ...], calls: int, wanted: dict[str, int]) -> None:
    made = route(*(deployment(name, weight=weight) for name, weight in zip("abc", weights, strict=True)))
    assert Counter(firsts(made, calls)) == wanted


def test_heavy_ones_are_spread_among_the_others() -> None:
    made = route(*(deployment(name, weight=weight) for name, weight in zip("abc", (5, 1, 1), strict=True)))
    assert "".join(firsts(made, 7)) == "aabacaa"


def test_two_of_the_same_name_are_two() -> None:
    """The same model at the same provider twice, with other clocks for example."""
    twice = [deployment("a"), deployment("a")]
    made = route(*twice)
    assert [made.plan(0.0, 1)[0] is twice[0] for _ in range(4)] == [True, False, True, False]


def test_fallbacks_are_last_whatever_the_strategy() -> None:
    for strategy in ("weighted", "least_busy", "lowest_latency", "priority"):
        made = route(deployment("spare", weight=0), deployment("a"), strategy=strategy)
        assert [d.provider.name for d in made.plan(0.0, 1)] == ["a", "spare"]


def test_the_least_busy_for_its_weight() -> None:
    small, large = deployment("small", weight=1), deployment("large", weight=4)
    made = route(small, large, strategy="least_busy")
    large.health.running, small.health.running = 3, 1
    assert firsts(made, 1) == ["large"]
    large.health.running = 5
    assert firsts(made, 1) == ["small"]


def test_the_quickest_and_those_nobody_knows_one_call_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: 100.0)
    slow, quick, new = deployment("slow"), deployment("quick"), deployment("new")
    slow.health.answered(2.0, 100.0)
    quick.health.answered(1.0, 100.0)
    made = route(slow, quick, new, strategy="lowest_latency")
    assert [d.provider.name for d in made.plan(100.0, 1)] == ["new", "quick", "slow"]
    new.health.begin(100.0)
    assert [d.provider.name for d in made.plan(100.0, 1)] == ["quick", "slow", "new"]


def test_who_was_slow_a_while_ago_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = deployment("slow"), deployment("quick")
    slow.health.answered(9.0, 0.0)
    quick.health.answered(1.0, 50.0)
    made = route(quick, slow, strategy="lowest_latency")
    for now_s, first in ((59.0, "quick"), (61.0, "slow")):
        monkeypatch.setattr(clock, "monotonic_s", lambda now_s=now_s: now_s)
        assert firsts(made, 1) == [first]


def test_who_has_nothing_left_by_its_figures_comes_last_and_alone_is_asked_all_the_same() -> None:
    a, b, spare = deployment("a"), deployment("b"), deployment("spare", weight=0)
    made = route(spare, a, b)
    a.health.exhausted_until_s = 10.0
    assert [d.provider.name for d in made.plan(0.0, 1)] == ["b", "spare", "a"]
    b.health.limited_until_s = spare.health.exhausted_until_s = 10.0
    assert [d.provider.name for d in made.plan(0.0, 1)] == ["a", "spare"]
    a.health.limited_until_s = spare.health.limited_until_s = 10.0
    with pytest.raises(NoDeployment):
        made.plan(0.0, 1)


def test_the_order_of_the_file() -> None:
    assert firsts(route(deployment("a"), deployment("b"), strategy="priority"), 3) == ["a", "a", "a"]


def test_who_cools_down_is_left_out_and_nobody_is_an_error_that_says_when() -> None:
    a, b = deployment("a", allowed_fails=1), deployment("b")
    made = route(a, b)
    a.health.failed(ConnectFailed("nobody listens"), 0.0)
    assert firsts(made, 3) == ["b", "b", "b"]
    b.health.failed(UpstreamRefused("slow down", status=429, retry_after_s=7.0), 0.0)
    with pytest.raises(NoDeployment, match=r"a/m is cooling down .*nobody listens.*; b/m is limited") as caught:
        made.plan(1.0, 10)
    assert caught.value.retry_after_s == 6.0


def test_who_is_alone_is_not_asked_while_it_cools_down_or_is_limited() -> None:
    alone = deployment("a", allowed_fails=1)
    made = route(alone)
    alone.health.failed(ConnectFailed("nobody listens"), 0.0)
    with pytest.raises(NoDeployment, match="a/m is cooling down"):
        made.plan(1.0, 10)
    assert made.plan(30.0, 10) == [alone]
    alone.health.failed(UpstreamRefused("slow down", status=429, retry_after_s=7.0), 30.0)
    with pytest.raises(NoDeployment, match="a/m is limited"):
        made.plan(31.0, 10)


def test_what_does_not_fit_goes_where_it_does_and_to_the_others_last() -> None:
    short, long, unknown = (
        deployment("short", context_length=100),
        deployment("long", context_length=1000),
        deployment("x"),
    )
    made = route(short, long, unknown, strategy="priority")
    assert [d.provider.name for d in made.plan(0.0, 50)] == ["short", "long", "x"]
    assert [d.provider.name for d in made.plan(0.0, 500)] == ["long", "x", "short"]
    assert [d.provider.name for d in made.plan(0.0, 5000)] == ["x", "short", "long"]
