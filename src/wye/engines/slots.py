"""The slots of one model, and who waits for one."""

from __future__ import annotations

import asyncio
import itertools
from bisect import insort
from typing import Literal

from wye.kernel.errors import Overloaded, QueueFull

Strategy = Literal["fifo", "priority"]
RETRY_S = 5.0
"""When somebody who found the queue full may come again."""


class Slot:
    """The right to one answer. It goes to the next in line when it is released, which may be done more than once."""

    __slots__ = ("_queue", "position")

    def __init__(self, queue: SlotQueue, position: int) -> None:
        self._queue: SlotQueue | None = queue
        self.position = position
        """Where in the queue it was waited for, from 1; 0 where it was free."""

    def release(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.free()


class _Waiting:
    __slots__ = ("granted", "order")

    def __init__(self, order: tuple[int, int]) -> None:
        self.order = order
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __lt__(self, other: _Waiting) -> bool:
        return self.order < other.order


class SlotQueue:
    """Whoever comes later waits behind all who wait, or, by priority, behind those of the same and of higher priority.
    So nobody is overtaken by a newcomer that happens to find a slot free."""

    def __init__(self, model: str, slots: int, max_waiting: int, strategy: Strategy = "fifo") -> None:
        self._model = model
        self._slots = slots
        self._max_waiting = max_waiting
        self._by_priority = strategy == "priority"
        self._numbers = itertools.count()
        self._waiting: list[_Waiting] = []
        self.running = 0

    @property
    def waiting(self) -> int:
        return sum(not one.granted.done() for one in self._waiting)

    async def acquire(self, priority: int) -> Slot:
        """A slot, waited for if need be; 3 goes before 2 before 1. Cancelling gives up the place in the queue.

        Raises QueueFull at once, and Overloaded for all who wait when it is closed.
        """
        if self.running < self._slots:
            self.running += 1
            return Slot(self, 0)
        if self.waiting >= self._max_waiting:
            raise QueueFull(
                f"'{self._model}' answers {self._slots} at a time, and {self._max_waiting} are waiting: ask again",
                retry_after_s=RETRY_S,
                details={"max_concurrent": self._slots, "queue_max_size": self._max_waiting},
            )
        me = _Waiting((-priority if self._by_priority else 0, next(self._numbers)))
        insort(self._waiting, me)
        position = self._waiting.index(me) + 1
        try:
            await me.granted
        except asyncio.CancelledError:
            if not me.granted.cancelled() and me.granted.exception() is None:
                self.free()  # it was granted in the same moment
            raise
        finally:
            self._waiting.remove(me)
        return Slot(self, position)

    def free(self) -> None:
        """Give a slot to the next in line."""
        for one in self._waiting:
            if not one.granted.done():  # else it was granted or has left in this moment
                one.granted.set_result(None)
                return
        self.running -= 1

    def close(self) -> None:
        """Turn away all who wait."""
        for one in self._waiting:
            if not one.granted.done():
                one.granted.set_exception(Overloaded("The server is shutting down", retry_after_s=RETRY_S))
