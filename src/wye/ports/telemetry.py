"""What is told of every call when it is over: to logs, traces and metrics."""

from __future__ import annotations

from typing import Protocol

import msgspec

from wye.canon.usage import Usage


class Attempt(msgspec.Struct, frozen=True):
    """One deployment that was asked. Times are on the monotonic clock."""

    deployment: str
    """`provider/model`."""
    provider: str
    model: str
    began_s: float
    ended_s: float
    error: str | None = None
    """The code of the failure."""


class CallRecord(msgspec.Struct, frozen=True):
    """A call that is over. It holds nothing of what was asked or answered, and no secret."""

    request_id: str
    operation: str
    """`chat` or `embeddings`."""
    dialect: str
    model: str
    """The public name that was asked for."""
    principal: str
    stream: bool
    began_s: float
    ended_s: float
    first_s: float | None
    """From the beginning of the attempt that succeeded to the beginning of its answer."""
    attempts: list[Attempt]
    usage: Usage | None
    error: str | None
    """The code of the failure that the caller was told; None for an answer."""
    cache: str | None
    parent: bytes | None
    """The caller's `traceparent`: https://www.w3.org/TR/trace-context/"""

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s


class Telemetry(Protocol):
    def record(self, call: CallRecord) -> None:
        """Take note of a call. Waits for nobody and never raises."""
        ...

    async def start(self) -> None:
        """Called in the process that serves, before its first call."""
        ...

    async def stop(self) -> None:
        """Send what is not sent yet, within a few seconds."""
        ...
