"""In which order the deployments of a route are asked."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

from wye.gateway.deployment import Deployment, Order
from wye.kernel import clock

Strategy = Literal["weighted", "least_busy", "lowest_latency", "priority"]


def order_by(strategy: Strategy) -> Order:
    """A new one for each route: some keep state."""
    match strategy:
        case "weighted":
            return SmoothWeights().order
        case "least_busy":
            return by_load
        case "lowest_latency":
            return by_latency
        case "priority":
            return list


class SmoothWeights:
    """Smooth weighted round robin: each in proportion to its weight, evenly spread, and always the same sequence.

    https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1
    """

    def __init__(self) -> None:
        self._turns: dict[int, float] = {}

    def order(self, deployments: Sequence[Deployment]) -> list[Deployment]:
        turns = self._turns
        total = 0.0
        for deployment in deployments:
            total += deployment.weight
            turns[id(deployment)] = turns.get(id(deployment), 0.0) + deployment.weight
        ordered = sorted(deployments, key=lambda d: -turns[id(d)])
        turns[id(ordered[0])] -= total
        return ordered


def by_load(deployments: Sequence[Deployment]) -> list[Deployment]:
    """Those with the fewest calls under way first, in proportion to their weight."""
    return sorted(deployments, key=lambda d: d.health.running / d.weight)


def by_latency(deployments: Sequence[Deployment]) -> list[Deployment]:
    """The quickest first; one that is not known, or no longer, is tried at once, but not by all at the same time."""
    now_s = clock.monotonic_s()

    def latency_s(deployment: Deployment) -> float:
        known = deployment.health.latency_known(now_s)
        return known if known is not None else inf if deployment.health.running else -1.0

    return sorted(deployments, key=latency_s)
