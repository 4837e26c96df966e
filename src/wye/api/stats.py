"""The gateway's figures as JSON, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import asdict

from wye.api.figures import DeploymentFigures, Figures
from wye.gateway.pipeline import Pipeline
from wye.gateway.policy.budgets import RouteSpending
from wye.kernel import clock
from wye.kernel.json import JsonObject


def stats_of(figures: Figures, spending: Mapping[str, RouteSpending]) -> JsonObject:
    """The body of GET /stats."""
    return {
        "workers": figures.workers,
        "running": figures.running,
        "refused": figures.refused,
        "routes": {
            name: {
                "cache": route.cache,
                "deployments": [_deployment(d) for d in route.deployments],
                **_budget(spending.get(name)),
            }
            for name, route in figures.routes.items()
        },
        "recent": figures.recent,
    }


def providers_of(names: list[str], figures: Figures) -> JsonObject:
    """The body of GET /v1/providers. `status` is `ok`, `degraded` where some of its models cannot be asked now, `down`
    where none can, `idle` where none has been in use."""
    used = {d.deployment: d for route in figures.routes.values() for d in route.deployments}
    data: list[JsonObject] = []
    for name in names:
        own = [deployment for id, deployment in used.items() if id.partition("/")[0] == name]
        usable = [deployment.state in ("ok", "probing") for deployment in own]
        status = "idle" if not own else "ok" if all(usable) else "degraded" if any(usable) else "down"
        data.append({"id": name, "object": "provider", "status": status, "deployments": [_deployment(d) for d in own]})
    return {"object": "list", "data": data}


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
    return checks | {name: f"degraded: {reason}" for name, reason in pipeline.settlement.degraded().items()}


def _budget(of: RouteSpending | None) -> JsonObject:
    if of is None:
        return {}
    return {"budget": {**asdict(of.budget), "spent_micro_usd": of.spent_micro_usd}}


def _deployment(figures: DeploymentFigures) -> JsonObject:
    asked, latency_s = figures.requests, figures.latency_s
    return {
        "deployment": figures.deployment,
        "weight": figures.weight,
        "state": figures.state,
        "usable_in_s": round(figures.usable_in_s, 3),
        "running": figures.running,
        "requests": asked,
        "failures": figures.failures,
        "success_rate": round(1 - figures.failures / asked, 4) if asked else None,
        "latency_s": round(latency_s, 4) if latency_s is not None else None,
        "last_error": figures.last_error,
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "cached_tokens": figures.cached_tokens,
    }
