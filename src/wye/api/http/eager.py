"""A task that begins at once."""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage] - documented, see below
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any


class EagerTask:
    """Runs a coroutine as asyncio's tasks do, but from the moment of `start` on, not a round of the event loop later.

    What it awaits may be whatever a task may await. `over` is called at its end, with what it raised, if anything.
    asyncio's tools find in it what they ask of a current task; it is not in `asyncio.all_tasks`: whoever starts it
    keeps it. https://docs.python.org/3/library/asyncio-extending.html
    """

    __slots__ = ("_awaited", "_cancelling", "_context", "_coroutine", "_loop", "_must_cancel", "_over")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        loop: asyncio.AbstractEventLoop,
        over: Callable[[BaseException | None], None],
    ) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._over: Callable[[BaseException | None], None] | None = over
        self._context = copy_context()
        self._awaited: Any = None
        self._must_cancel = False
        self._cancelling = 0

    def start(self) -> None:
        self._context.run(self._step)

    def done(self) -> bool:
        return self._over is None

    def cancel(self, msg: object = None) -> bool:
        if self._over is None:
            return False
        self._cancelling += 1
        if self._awaited is None or not self._awaited.cancel(msg):
            self._must_cancel = True
        return True

    def cancelling(self) -> int:
        return self._cancelling

    def uncancel(self) -> int:
        if self._cancelling:
            self._cancelling -= 1
            if not self._cancelling:
                self._must_cancel = False  # as asyncio's own from 3.13 on: what is taken back does not come later
        return self._cancelling

    def _step(self, awaited: object = None) -> None:
        self._awaited = None
        try:
            _enter_task(self._loop, self)  # pyright: ignore[reportArgumentType]
        except RuntimeError:  # a task cannot begin within another one
            self._loop.call_soon(self._step, context=self._context)
            return
        try:
            if self._must_cancel:
                self._must_cancel = False
                awaited = self._coroutine.throw(asyncio.CancelledError())
            else:
                awaited = self._coroutine.send(None)
        except StopIteration:
            error = None
        except (Exception, asyncio.CancelledError) as raised:
            error = raised
        else:
            self._wait(awaited)
            return
        finally:
            _leave_task(self._loop, self)  # pyright: ignore[reportArgumentType]
        over, self._over = self._over, None
        assert over is not None
        over(error)
        del error  # its traceback knows this frame: a circle

    def _wait(self, awaited: Any) -> None:
        if awaited is None:  # as of `asyncio.sleep(0)`
            self._loop.call_soon(self._step, context=self._context)
            return
        awaited._asyncio_future_blocking = False
        awaited.add_done_callback(self._step, context=self._context)
        self._awaited = awaited
        if self._must_cancel and awaited.cancel():
            self._must_cancel = False
