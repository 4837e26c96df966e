"""How one who waits is told to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any


class Wakeup:
    """What a future is to a single waiter, who goes on in the very moment of `wake`: not a round of the loop later.

    Tasks know a future by the methods here: https://docs.python.org/3/library/asyncio-extending.html
    A subclass's `__await__` yields it, with `_asyncio_future_blocking` set to True.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_resume")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._resume: Callable[[Any], object] | None = None
        """Lets the waiter go on. None while nobody waits."""
        self._context: Context | None = None
        """That of a task; None for a function that is only to be called."""
        self._cancelled = False

    @property
    def awaited(self) -> bool:
        return self._resume is not None

    def wake(self) -> None:
        resume = self._resume
        if resume is None:
            return
        self._resume = None
        context = self._context
        if context is None:
            resume(self)
        elif asyncio.current_task(self._loop) is None:
            context.run(resume, self)
        else:  # a task cannot go on within another one
            self._loop.call_soon(resume, self, context=context)

    # What a task calls.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, resume: Callable[[Any], object], *, context: Context) -> None:
        self._resume = resume
        self._context = context

    def cancel(self, msg: object = None) -> bool:
        """False: it is too late, the task was told to go on."""
        resume = self._resume
        if resume is None:
            return False
        self._resume = None
        self._cancelled = True
        self._loop.call_soon(resume, self, context=self._context)
        return True

    def result(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError
