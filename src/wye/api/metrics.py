"""The gateway's sums in Prometheus format. Read when they are asked for: the hot path only adds numbers.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wye.api.figures import DeploymentFigures, Figures, summed

_COUNTERS: tuple[tuple[str, str, Callable[[DeploymentFigures], float]], ...] = (
    ("wye_requests", "Attempts at this deployment", lambda d: d.requests),
    ("wye_request_failures", "Those of them that failed", lambda d: d.failures),
    ("wye_request_seconds", "Time from request to settled, summed", lambda d: d.seconds),
    ("wye_input_tokens", "Input tokens, cached ones included", lambda d: d.input_tokens),
    ("wye_output_tokens", "Output tokens, reasoning included", lambda d: d.output_tokens),
    ("wye_cached_tokens", "Input tokens read from the upstream's cache", lambda d: d.cached_tokens),
)


class _Collected(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        deployments = summed(d for route in self._figures.routes.values() for d in route.deployments)
        for name, title, read in _COUNTERS:
            family = CounterMetricFamily(name, title, labels=["deployment"])
            for deployment in deployments:
                family.add_metric([deployment.deployment], read(deployment))
            yield family
        yield self._usable()
        yield self._cache()
        yield GaugeMetricFamily("wye_running", "Exchanges in progress", self._figures.running)
        yield CounterMetricFamily("wye_refused", "Requests refused before an attempt", self._figures.refused)

    def _usable(self) -> Metric:
        usable: dict[tuple[str, str], bool] = {}
        for name, route in self._figures.routes.items():
            for deployment in route.deployments:
                key = name, deployment.deployment
                usable[key] = usable.get(key, True) and not deployment.usable_in_s
        title = "Whether it can be asked: 0 while it cools down or is out of its limit"
        family = GaugeMetricFamily("wye_deployment_usable", title, labels=["route", "deployment"])
        for key, value in usable.items():
            family.add_metric(key, value)
        return family

    def _cache(self) -> Metric:
        title = "Answers of routes with a cache: kept ones, joined ones, new ones, and those that passed it by"
        family = CounterMetricFamily("wye_cache", title, labels=["route", "result"])
        for name, route in self._figures.routes.items():
            if (cache := route.cache) is not None:
                results = {"hit": cache.hits, "join": cache.joins, "miss": cache.misses, "bypass": cache.bypasses}
                for result, count in results.items():
                    family.add_metric([name, result], count)
        return family


def render_metrics(figures: Figures) -> tuple[bytes, str]:
    """The body and its content type."""
    registry = CollectorRegistry()
    registry.register(_Collected(figures))
    return generate_latest(registry), CONTENT_TYPE_LATEST
