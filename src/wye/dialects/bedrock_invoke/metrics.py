"""The figures that Bedrock adds to the last chunk of a stream, whatever the family.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
"""

from __future__ import annotations

from typing import Any

from wye.canon.events import Aside, End, Event, Failure, Start, UsageReport
from wye.canon.extras import FORM
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.framing import ChunkReader
from wye.dialects.dialect import StreamEncoder
from wye.kernel import clock
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode
from wye.kernel.sse import Frame

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


class MeteredReader:
    """Takes the metrics out of a stream's chunks; `inner` reads all else.

    They are the answer's usage where the family has none of its own (what the cache did tells none but Claude), and
    kept as they are.
    """

    def __init__(self, inner: ChunkReader, name: str) -> None:
        self._inner = inner
        self._name = name
        self._counted = False

    def read(self, frames: list[Frame]) -> list[Event]:
        for frame in frames:
            if _MARK in frame.data:
                return self._read_metered(frames)
        return self._read(frames)

    def close(self) -> list[Event]:
        return self._inner.close()

    def _read(self, frames: list[Frame]) -> list[Event]:
        events = self._inner.read(frames)
        for event in events:
            if isinstance(event, UsageReport) or (isinstance(event, Start) and event.usage is not None):
                self._counted = True
        return events

    def _read_metered(self, frames: list[Frame]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            if events and isinstance(events[-1], End | Failure):
                break
            events += self._metered(frame)
        return events

    def _metered(self, frame: Frame) -> list[Event]:
        try:
            chunk = as_object(decode(frame.data)) or {}
        except JsonError:
            chunk = {}  # whoever reads it says what is wrong
        if MEMBER not in chunk:
            return self._read([frame])
        metrics = as_object(chunk.pop(MEMBER))
        events = self._read([Frame(encode(chunk), frame.event)])
        if metrics is None:
            return events
        told: list[Event] = [Aside({self._name: {FORM: {MEMBER: metrics}}})]
        usage = decode_metrics(metrics)
        if self._counted:
            usage = Usage(cached_tokens=usage.cached_tokens, cache_write_tokens=usage.cache_write_tokens)
        if usage != Usage():
            told.insert(0, UsageReport(usage))
        at = next((i for i, event in enumerate(events) if isinstance(event, End | Failure)), len(events))
        return [*events[:at], *told, *events[at:]]


class MeteredEncoder(StreamEncoder):
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
