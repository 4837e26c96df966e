"""What the gateway knows of its routes at this moment: read when asked for, gathered by nobody."""

from __future__ import annotations

from wye.gateway.deployment import Deployment, Route
from wye.gateway.pipeline import Pipeline
from wye.kernel import clock
from wye.kernel.json import JsonObject


def stats_of(pipeline: Pipeline) -> JsonObject:
    """The body of GET /stats."""
    now_s = clock.monotonic_s()
    settlement = pipeline.settlement
    return {
        "running": settlement.running,
        "refused": settlement.refused,
        "routes": {route.name: _route(route, now_s) for route in pipeline.router.routes()},
        "recent": list(settlement.traces)[::-1],
    }


def health_of(pipeline: Pipeline) -> dict[str, str]:
    """What is not as it should be: check to state. Nothing of it keeps Wye from answering."""
    now_s = clock.monotonic_s()
    checks = {
        deployment.id: f"degraded: {deployment.health.state(now_s).replace('_', ' ')}"
        for route in pipeline.router.routes()
        for deployment in route.deployments
        if not deployment.health.usable(now_s)
    }
    if pipeline.state.away is not None:
        checks["state"] = f"degraded: {pipeline.state.away}"
    limiter = pipeline.settlement.limiter
    if limiter is not None and limiter.degraded is not None:
        checks["limits"] = f"degraded: {limiter.degraded}"
    return checks


def _route(route: Route, now_s: float) -> JsonObject:
    cache = route.cache
    kept = {"hits": cache.hits, "joins": cache.joins, "misses": cache.misses} if cache is not None else None
    return {"cache": kept, "deployments": [_deployment(deployment, now_s) for deployment in route.deployments]}


def _deployment(deployment: Deployment, now_s: float) -> JsonObject:
    health, meter = deployment.health, deployment.meter
    latency_s = health.latency_s
    return {
        "deployment": deployment.id,
        "weight": deployment.weight,
        "state": health.state(now_s),
        "usable_in_s": round(health.usable_in_s(now_s), 3),
        "running": health.running,
        "requests": meter.requests,
        "failures": meter.failures,
        "success_rate": round(1 - meter.failures / meter.requests, 4) if meter.requests else None,
        "latency_s": round(latency_s, 4) if latency_s is not None else None,
        "last_error": health.last_error,
        "input_tokens": meter.input_tokens,
        "output_tokens": meter.output_tokens,
        "cached_tokens": meter.cached_tokens,
    }
