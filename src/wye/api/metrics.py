"""The gateway's sums in Prometheus format. Read when they are asked for: the hot path only adds numbers.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wye.gateway.deployment import Meter
from wye.gateway.pipeline import Pipeline

_COUNTERS: tuple[tuple[str, str, Callable[[Meter], float]], ...] = (
    ("wye_requests", "Exchanges that ended at this deployment", lambda m: m.requests),
    ("wye_request_failures", "Those of them that failed", lambda m: m.failures),
    ("wye_request_seconds", "Time from request to settled, summed", lambda m: m.seconds),
    ("wye_input_tokens", "Input tokens, cached ones included", lambda m: m.input_tokens),
    ("wye_output_tokens", "Output tokens, reasoning included", lambda m: m.output_tokens),
    ("wye_cached_tokens", "Input tokens read from the upstream's cache", lambda m: m.cached_tokens),
)


class _Figures(Collector):
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        deployments = self._pipeline.router.deployments()
        for name, title, read in _COUNTERS:
            family = CounterMetricFamily(name, title, labels=["deployment"])
            for deployment in deployments:
                family.add_metric([deployment.id], read(deployment.meter))
            yield family
        yield GaugeMetricFamily("wye_running", "Exchanges in progress", self._pipeline.settlement.running)
        yield CounterMetricFamily(
            "wye_refused", "Requests refused before an attempt", self._pipeline.settlement.refused
        )


def render_metrics(pipeline: Pipeline) -> tuple[bytes, str]:
    """The body and its content type."""
    registry = CollectorRegistry()
    registry.register(_Figures(pipeline))
    return generate_latest(registry), CONTENT_TYPE_LATEST
