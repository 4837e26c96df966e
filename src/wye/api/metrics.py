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
    ("wye_requests", "Exchanges that ended at this deployment", lambda d: d.requests),
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
        yield GaugeMetricFamily("wye_running", "Exchanges in progress", self._figures.running)
        yield CounterMetricFamily("wye_refused", "Requests refused before an attempt", self._figures.refused)


def render_metrics(figures: Figures) -> tuple[bytes, str]:
    """The body and its content type."""
    registry = CollectorRegistry()
    registry.register(_Collected(figures))
    return generate_latest(registry), CONTENT_TYPE_LATEST
