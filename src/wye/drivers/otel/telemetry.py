"""Calls as OpenTelemetry's traces and metrics, sent over OTLP: https://opentelemetry.io/docs/specs/semconv/gen-ai/

A call is a span of kind SERVER, each deployment that was asked one of kind CLIENT below it. Spans are made when a call
is over: one under way costs nothing. Sending is the SDK's, in its own threads, with bounded queues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram, Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wye import __version__
from wye.canon.usage import Usage
from wye.kernel import clock
from wye.ports.telemetry import Attempt, CallRecord

_SCOPE = "wye"
_SEND_S = 3.0
# The bounds that the conventions give for each: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_Attributes = dict[str, str | int | bool]


class OtelTelemetry:
    """`vendors` are the conventions' names of providers (`aws.bedrock`) by Wye's. `endpoint` is a collector's address,
    as in `http://127.0.0.1:4318`; `share` that of traces that are sent, 0 to 1, unless the caller's own decides."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], service: str, share: float, vendors: Mapping[str, str]
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._headers = dict(headers)
        self._resource = Resource.create({"service.name": service, "service.version": __version__})
        self._share = share
        self._vendors = vendors
        self._tracing: TracerProvider | None = None
        self._measuring: MeterProvider | None = None
        self._tracer: Tracer
        self._durations: Histogram
        self._attempts: Histogram
        self._firsts: Histogram
        self._tokens: Histogram

    async def start(self) -> None:
        spans = OTLPSpanExporter(f"{self._endpoint}/v1/traces", headers=self._headers, timeout=_SEND_S)
        metrics = OTLPMetricExporter(f"{self._endpoint}/v1/metrics", headers=self._headers, timeout=_SEND_S)
        sampler = ParentBased(TraceIdRatioBased(self._share))
        self._tracing = TracerProvider(sampler, self._resource, shutdown_on_exit=False)
        self._tracing.add_span_processor(BatchSpanProcessor(spans))
        self._measuring = MeterProvider(
            [PeriodicExportingMetricReader(metrics)], self._resource, shutdown_on_exit=False
        )
        self._tracer = self._tracing.get_tracer(_SCOPE, __version__)
        meter = self._measuring.get_meter(_SCOPE, __version__)
        self._durations = _histogram(meter, "gen_ai.server.request.duration", "s", _SECONDS)
        self._attempts = _histogram(meter, "gen_ai.client.operation.duration", "s", _SECONDS)
        self._firsts = _histogram(meter, "gen_ai.server.time_to_first_token", "s", _FIRST_SECONDS)
        self._tokens = _histogram(meter, "gen_ai.client.token.usage", "{token}", _TOKENS)

    async def stop(self) -> None:
        """Both send what they still hold; a collector that is away delays the end by seconds, and never refuses it."""
        providers = [provider for provider in (self._tracing, self._measuring) if provider is not None]
        await asyncio.gather(*(asyncio.to_thread(provider.shutdown) for provider in providers))

    def record(self, call: CallRecord) -> None:
        if self._tracing is None:
            return
        about = self._about(call)
        common: _Attributes = {name: about[name] for name in about if name.startswith(("gen_ai.op", "gen_ai.req"))}
        own: _Attributes = common | ({"error.type": call.error} if call.error else {})
        parent = _parent(call.parent)
        with_usage = about | _usage(call.usage)
        span = self._span(f"{call.operation} {call.model}", SpanKind.SERVER, call.began_s, with_usage, parent)
        context = set_span_in_context(span)
        for attempt in call.attempts:
            self._record_attempt(call, attempt, common, context)
        _end(span, call.ended_s, call.error)
        self._durations.record(call.seconds, own)
        if call.first_s is not None and call.stream:
            self._firsts.record(call.first_s, own)

    def _record_attempt(self, call: CallRecord, attempt: Attempt, common: _Attributes, context: Context) -> None:
        about: _Attributes = common | {
            "gen_ai.provider.name": self._vendors.get(attempt.provider, attempt.provider),
            "gen_ai.request.model": attempt.model,
        }
        usage = call.usage if attempt is call.attempts[-1] and attempt.error is None else None
        name = f"{call.operation} {attempt.model}"
        span = self._span(name, SpanKind.CLIENT, attempt.began_s, about | _usage(usage), context)
        _end(span, attempt.ended_s, attempt.error)
        errors: _Attributes = {"error.type": attempt.error} if attempt.error else {}
        self._attempts.record(attempt.ended_s - attempt.began_s, about | errors)
        if usage is not None:
            self._tokens.record(usage.input_tokens or 0, about | {"gen_ai.token.type": "input"})
            self._tokens.record(usage.output_tokens or 0, about | {"gen_ai.token.type": "output"})

    def _about(self, call: CallRecord) -> _Attributes:
        return {
            "gen_ai.operation.name": call.operation,
            "gen_ai.provider.name": "wye",
            "gen_ai.request.model": call.model,
            "wye.request.id": call.request_id,
            "wye.dialect": call.dialect,
            "wye.principal": call.principal,
            "wye.stream": call.stream,
            **({"wye.cache": call.cache} if call.cache else {}),
        }

    def _span(self, name: str, kind: SpanKind, began_s: float, about: _Attributes, parent: Context | None) -> Span:
        return self._tracer.start_span(name, parent, kind, about, start_time=_wall_ns(began_s))


def _histogram(meter: Meter, name: str, unit: str, bounds: tuple[float, ...]) -> Histogram:
    return meter.create_histogram(name, unit, explicit_bucket_boundaries_advisory=bounds)


def _parent(header: bytes | None) -> Context | None:
    """The caller's span, where it names one that can be read."""
    if header is None:
        return None
    return TraceContextTextMapPropagator().extract({"traceparent": header.decode("latin-1")})


def _usage(usage: Usage | None) -> _Attributes:
    if usage is None:
        return {}
    figures = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _end(span: Span, ended_s: float, error: str | None) -> None:
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(_wall_ns(ended_s))


def _wall_ns(monotonic_s: float) -> int:
    return int((clock.wall_s() - (clock.monotonic_s() - monotonic_s)) * 1e9)
