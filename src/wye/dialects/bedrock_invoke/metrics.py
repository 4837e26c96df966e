"""The figures that Bedrock adds to the last chunk of a stream, whatever the family.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
"""

from __future__ import annotations

from typing import Any

from wye.canon.events import Aside, End, Event, Failure, Start, UsageReport
from wye.canon.extras import FORM
from wye.canon.usage import Usage
from wye.dialects.dialect import StreamDecoder, StreamEncoder
from wye.kernel import clock, sse
from wye.kernel.errors import BadAnswer
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode

MEMBER = "amazon-bedrock-invocationMetrics"

_MARK = b'"' + MEMBER.encode() + b'"'
"""Inside a JSON string its quotes are escaped, so text cannot look like this."""


def decode_metrics(metrics: JsonObject) -> Usage:
    """`inputTokenCount` counts neither what the cache gave nor what it took; the canonical total does."""
    fresh, output = _count(metrics, "inputTokenCount"), _count(metrics, "outputTokenCount")
    read, written = _count(metrics, "cacheReadInputTokenCount"), _count(metrics, "cacheWriteInputTokenCount")
    total = None if fresh is None else fresh + (read or 0) + (written or 0)
    return Usage(total, output, read, written)


def encode_metrics(usage: Usage) -> JsonObject:
    read, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    metrics: JsonObject = {
        "inputTokenCount": max(0, (usage.input_tokens or 0) - read - written),
        "outputTokenCount": usage.output_tokens or 0,
    }
    if read or written:
        metrics |= {"cacheReadInputTokenCount": read, "cacheWriteInputTokenCount": written}
    return metrics


def _count(metrics: JsonObject, name: str) -> int | None:
    value: Any = metrics.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class MeteredDecoder:
    """Takes the metrics out of a stream of server-sent events; `inner` decodes all else.

    They are the answer's usage where the family has none of its own, and kept as they are.
    """

    def __init__(self, inner: StreamDecoder, name: str) -> None:
        self._inner = inner
        self._name = name
        self._splitter = sse.FrameSplitter()
        self._counted = False
        self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        if self._over:
            return []
        try:
            whole = self._splitter.feed(chunk)
        except BadAnswer as error:
            self._over = True
            return [Failure(error)]
        return self._read(whole) if whole else []

    def close(self) -> list[Event]:
        return [] if self._over else self._read(self._splitter.close()) + self._inner.close()

    def _read(self, whole: bytes) -> list[Event]:
        if _MARK in whole:
            return [event for frame in sse.split(whole) for event in self._frame(frame)]
        return self._feed(whole)

    def _feed(self, whole: bytes) -> list[Event]:
        events = self._inner.feed(whole)
        for event in events:
            if isinstance(event, UsageReport) or (isinstance(event, Start) and event.usage is not None):
                self._counted = True
        return events

    def _frame(self, frame: bytes) -> list[Event]:
        metrics: JsonObject | None = None
        for data, name in sse.parse(frame) if _MARK in frame else ():
            try:
                chunk = as_object(decode(data)) or {}
            except JsonError:
                break
            metrics = as_object(chunk.pop(MEMBER, None))
            frame = sse.frame(encode(chunk), name)
        events = self._feed(frame)
        if metrics is None:
            return events
        told: list[Event] = [Aside({self._name: {FORM: {MEMBER: metrics}}})]
        if not self._counted:
            told.insert(0, UsageReport(decode_metrics(metrics)))
        at = next((i for i, event in enumerate(events) if isinstance(event, End | Failure)), len(events))
        return [*events[:at], *told, *events[at:]]


class MeteredEncoder:
    """Adds the metrics to the last chunk of a stream of server-sent events that `inner` encodes.

    Latencies are in milliseconds and ours: since the request came, whatever the upstream's were.
    """

    def __init__(self, inner: StreamEncoder, name: str) -> None:
        self._inner = inner
        self._name = name
        self._usage: Usage | None = None
        self._kept: JsonObject = {}
        self._asked_s = clock.monotonic_s()
        self._first_s: float | None = None

    def encode(self, event: Event) -> bytes:
        wire = self._inner.encode(event)
        match event:
            case Start():
                self._usage = event.usage
                self._first_s = clock.monotonic_s()
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
            case Aside(extras={self._name: own}):
                self._kept |= own.get(FORM, {}).get(MEMBER, {})
            case End() if self._usage is not None:
                return self._metered(wire, self._usage)
            case _:
                pass
        return wire

    def _metered(self, wire: bytes, usage: Usage) -> bytes:
        end = wire.rfind(b"}\n\n")
        now_s = clock.monotonic_s()
        metrics = {
            **encode_metrics(usage),
            "invocationLatency": _ms(now_s - self._asked_s),
            "firstByteLatency": _ms((self._first_s or now_s) - self._asked_s),
            **self._kept,
        }
        return b"%b,%b:%b%b" % (wire[:end], _MARK, encode(metrics), wire[end:])


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
