"""What the gateway knows of its routes at this moment: read when asked for, gathered by nobody. Several workers answer
as one server: the one that is asked asks the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from wye.gateway.cache.control import CachePolicy
from wye.gateway.deployment import Deployment, Route
from wye.gateway.pipeline import Pipeline
from wye.gateway.settle import TRACES, Trace
from wye.kernel import clock
from wye.kernel.ids import new_id
from wye.ports.state import State, StateAway

_PATIENCE_S = 1.0
"""How long to wait for the figures of a worker that is busy, or gone."""
_POLLED_S = 0.005
"""A worker answers within milliseconds, and the state tells nobody that a list has grown."""
_KEPT_S = 10.0


class CacheFigures(msgspec.Struct):
    hits: int = 0
    joins: int = 0
    misses: int = 0
    bypasses: int = 0


class DeploymentFigures(msgspec.Struct):
    deployment: str
    weight: float
    state: str
    usable_in_s: float
    latency_s: float | None
    last_error: str | None
    running: int = 0
    requests: int = 0
    failures: int = 0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


class RouteFigures(msgspec.Struct):
    cache: CacheFigures | None
    deployments: list[DeploymentFigures]


class Figures(msgspec.Struct):
    workers: int
    """Whose figures these are; one that does not answer is missing."""
    running: int
    refused: int
    routes: dict[str, RouteFigures]
    recent: list[Trace]
    """The latest calls that did not go straight, the latest first."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Figures).decode


class Siblings:
    """The `count` workers of one server, this one among them, which find each other by the name of their `server`."""

    def __init__(self, pipeline: Pipeline, state: State, server: str, count: int) -> None:
        self._pipeline = pipeline
        self._state = state
        self._topic = f"{server}:figures"
        self._worker = new_id("")
        self._others = count - 1
        self._telling: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        if self._others:
            self._state.subscribe(self._topic, self._hear, lambda: None)

    async def figures(self) -> Figures:
        """Of all workers together, or of those that could be asked."""
        told: list[bytes] = []
        if self._others:
            with suppress(StateAway):
                told = await self._ask()
        return together([figures_of(self._pipeline), *map(_decode, told)])

    async def _ask(self) -> list[bytes]:
        question = f"{self._topic}:{self._worker}:{new_id('')}"
        await self._state.publish(self._topic, question.encode())
        until_s = clock.monotonic_s() + _PATIENCE_S
        told: list[bytes] = []
        while len(told) < self._others and clock.monotonic_s() < until_s:
            await asyncio.sleep(_POLLED_S)
            told = await self._state.items(question, 0)
        return told

    def _hear(self, message: bytes) -> None:
        question = message.decode()
        if not question.startswith(f"{self._topic}:{self._worker}:"):  # one's own
            task = asyncio.create_task(self._tell(question))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell(self, question: str) -> None:
        with suppress(StateAway):
            await self._state.append(question, [_encode(figures_of(self._pipeline))], _KEPT_S)


def figures_of(pipeline: Pipeline) -> Figures:
    now_s = clock.monotonic_s()
    settlement = pipeline.settlement
    routes = {route.name: _route(route, now_s) for route in pipeline.router.routes()}
    return Figures(1, settlement.running, settlement.refused, routes, [*settlement.traces][::-1])


def together(all_of_them: Iterable[Figures]) -> Figures:
    """Sums. How a deployment is doing is what the first worker thinks of it: they tell each other."""
    first, *others = all_of_them
    for other in others:
        first.workers += other.workers
        first.running += other.running
        first.refused += other.refused
        for name, route in other.routes.items():
            if name in first.routes:
                _add_route(first.routes[name], route)
            else:
                first.routes[name] = route
    recent = (trace for figures in (first, *others) for trace in figures.recent)
    first.recent = sorted(recent, key=lambda trace: trace.ended_s, reverse=True)[:TRACES]
    return first


def summed(deployments: Iterable[DeploymentFigures]) -> list[DeploymentFigures]:
    """Each deployment once, whatever the names are by which it was asked."""
    by_id: dict[str, DeploymentFigures] = {}
    for deployment in deployments:
        if deployment.deployment in by_id:
            _add(by_id[deployment.deployment], deployment)
        else:
            by_id[deployment.deployment] = msgspec.structs.replace(deployment)
    return [*by_id.values()]


def _add_route(route: RouteFigures, other: RouteFigures) -> None:
    if route.cache is not None and other.cache is not None:
        route.cache.hits += other.cache.hits
        route.cache.joins += other.cache.joins
        route.cache.misses += other.cache.misses
        route.cache.bypasses += other.cache.bypasses
    for mine, theirs in zip(route.deployments, other.deployments, strict=True):
        _add(mine, theirs)


def _add(mine: DeploymentFigures, theirs: DeploymentFigures) -> None:
    if theirs.latency_s is not None:
        if mine.latency_s is None:
            mine.latency_s = theirs.latency_s
        elif mine.requests + theirs.requests:
            asked = mine.latency_s * mine.requests + theirs.latency_s * theirs.requests
            mine.latency_s = asked / (mine.requests + theirs.requests)
    mine.last_error = mine.last_error or theirs.last_error
    mine.running += theirs.running
    mine.requests += theirs.requests
    mine.failures += theirs.failures
    mine.seconds += theirs.seconds
    mine.input_tokens += theirs.input_tokens
    mine.output_tokens += theirs.output_tokens
    mine.cached_tokens += theirs.cached_tokens


def _route(route: Route, now_s: float) -> RouteFigures:
    return RouteFigures(_cache(route.cache), [_deployment(deployment, now_s) for deployment in route.deployments])


def _cache(policy: CachePolicy | None) -> CacheFigures | None:
    if policy is None:
        return None
    counts = policy.counts
    return CacheFigures(counts["hit"], counts["join"], counts["miss"], counts["bypass"])


def _deployment(deployment: Deployment, now_s: float) -> DeploymentFigures:
    health, meter = deployment.health, deployment.meter
    return DeploymentFigures(
        deployment.id,
        deployment.weight,
        health.state(now_s),
        health.usable_in_s(now_s),
        health.latency_s,
        health.last_error,
        health.running,
        meter.requests,
        meter.failures,
        meter.seconds,
        meter.input_tokens,
        meter.output_tokens,
        meter.cached_tokens,
    )
