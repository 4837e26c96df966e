"""The figures of several workers, as those of one server."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wye.api import figures as module
from wye.api.figures import CacheFigures, DeploymentFigures, Figures, RouteFigures, Siblings, summed, together
from wye.drivers.memory.state import MemoryState
from wye.gateway.pipeline import Pipeline
from wye.gateway.settle import Trace
from wye.ports.state import StateAway


def deployment(name: str = "up/m", **more: Any) -> DeploymentFigures:
    return DeploymentFigures(name, 1.0, "ok", 0.0, **{"latency_s": None, "last_error": None, **more})


def trace(ended_s: float) -> Trace:
    return Trace("req", "m", "answered", 1.0, 5, [], ended_s)


def worker(*deployments: DeploymentFigures, name: str = "m", cache: CacheFigures | None = None) -> Figures:
    return Figures(1, 1, 2, {name: RouteFigures(cache, [*deployments])}, [])


def test_what_is_counted_is_summed() -> None:
    counted = {"running": 1, "requests": 2, "failures": 3, "seconds": 0.5, "input_tokens": 5, "output_tokens": 6}
    one = worker(deployment(**counted, cached_tokens=7), cache=CacheFigures(1, 2, 3))
    other = worker(deployment(**counted, cached_tokens=8), cache=CacheFigures(10, 20, 30))
    whole = together([one, other, worker(deployment("up/other"), name="only there")])
    assert (whole.workers, whole.running, whole.refused) == (3, 3, 6)
    assert whole.routes["m"].cache == CacheFigures(11, 22, 33)
    doubled = {name: 2 * number for name, number in counted.items()}
    assert whole.routes["m"].deployments == [deployment(**doubled, cached_tokens=15)]
    assert whole.routes["only there"].deployments == [deployment("up/other")]


@pytest.mark.parametrize(
    ("latencies", "wanted"),
    [([(1.0, 1), (4.0, 2)], 3.0), ([(None, 0), (4.0, 2)], 4.0), ([(1.0, 1), (None, 0)], 1.0), ([(None, 0)] * 2, None)],
    ids=["by calls", "of the second", "of the first", "of none"],
)
def test_latency_is_that_of_all_calls(latencies: list[tuple[float | None, int]], wanted: float | None) -> None:
    told = [worker(deployment(latency_s=latency_s, requests=n)) for latency_s, n in latencies]
    assert together(told).routes["m"].deployments[0].latency_s == wanted


def test_the_latest_of_all_are_told_first() -> None:
    one, other = worker(), worker()
    one.recent, other.recent = [trace(3.0), trace(1.0)], [trace(2.0)]
    assert [found.ended_s for found in together([one, other]).recent] == [3.0, 2.0, 1.0]


def test_a_deployment_with_two_names_is_counted_once() -> None:
    first, second = deployment(requests=2, last_error="on fire"), deployment(requests=3)
    assert summed([first, deployment("up/other"), second]) == [
        deployment(requests=5, last_error="on fire"),
        deployment("up/other"),
    ]
    assert first.requests == 2


class SharedState(MemoryState):
    shared = True


def siblings(state: MemoryState, count: int) -> Siblings:
    settlement = SimpleNamespace(running=1, refused=0, traces=deque[Trace]())
    pipeline = SimpleNamespace(settlement=settlement, router=SimpleNamespace(routes=list))
    made = Siblings(cast(Pipeline, pipeline), state, "wye:server_1", count)
    made.listen()
    return made


async def test_each_asks_the_others() -> None:
    state = SharedState()
    all_of_them = [siblings(state, 3) for _ in range(3)]
    told = await asyncio.gather(*(one.figures() for one in all_of_them))
    assert [(figures.workers, figures.running) for figures in told] == [(3, 3)] * 3


async def test_one_that_does_not_answer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    state = SharedState()
    one, _ = siblings(state, 3), siblings(state, 3)
    assert (await one.figures()).workers == 2


async def test_without_what_they_share_each_tells_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StateAway("gone")

    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    state = SharedState()
    one, _ = siblings(state, 2), siblings(state, 2)
    monkeypatch.setattr(state, "append", away)
    assert (await one.figures()).workers == 1
    monkeypatch.setattr(state, "publish", away)
    assert (await one.figures()).workers == 1


async def test_one_process_asks_nobody() -> None:
    state = MemoryState()
    assert (await siblings(state, 1).figures()).workers == 1
    assert not state._topics
