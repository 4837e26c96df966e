"""How long a caller may take for its part: two deadlines and one timer."""

from __future__ import annotations

import asyncio
from math import inf

_TIMER_RESOLUTION_S = 0.002  # timers of an event loop may fire this much early


class Timed(asyncio.Protocol):
    """What a connection knows of time. The timer is not moved with each deadline: it looks when it fires."""

    __slots__ = ("_deadline", "_loop", "_stalled_at", "_stalled_s", "_timer", "_timer_at", "_unsent_bytes", "transport")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.transport: asyncio.Transport
        self._deadline = inf
        """When the caller must have done what is its turn."""
        self._stalled_at = inf
        """When it must have taken some of what was said."""
        self._stalled_s = inf
        self._unsent_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def abort(self) -> None:
        """The caller takes nothing of what was said."""
        raise NotImplementedError

    def _on_late(self) -> None:
        """The caller has not done its part in time."""
        raise NotImplementedError

    def _within(self, seconds: float) -> None:
        """The connection ends unless the caller does its part in time."""
        self._deadline = deadline = self._loop.time() + seconds
        if deadline < self._timer_at:
            self._arm(deadline)

    def _watch(self, seconds: float) -> None:
        """The connection ends when nothing of what was said is taken for so long."""
        self._stalled_s = seconds
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._stalled_at = stalled_at = self._loop.time() + seconds
        if stalled_at < self._timer_at:
            self._arm(stalled_at)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, at: float) -> None:
        self._end_timer()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = inf
        now = self._loop.time() + _TIMER_RESOLUTION_S
        if now >= self._stalled_at:
            if self.transport.get_write_buffer_size() >= self._unsent_bytes:
                self.abort()
                return
            self._watch(self._stalled_s)
        if now >= self._deadline:
            self._deadline = inf
            self._on_late()
        at = min(self._deadline, self._stalled_at)
        if at < self._timer_at:
            self._arm(at)
