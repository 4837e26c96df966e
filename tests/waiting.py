"""Waiting for what happens, however long it takes: CI's machine may stand still for seconds."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

from wye.kernel.clock import monotonic_s

_P = ParamSpec("_P")
_ATTEMPTS = 20


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in code that knows no event of ours
            await asyncio.sleep(0.005)


async def turns(count: int = 20) -> None:
    """So many turns of the event loop, for what happens in them on both sides or does not, however long each takes."""
    for _ in range(count):
        await asyncio.sleep(0.005)


def steady(longest_s: float) -> Callable[[Callable[_P, Awaitable[None]]], Callable[_P, Awaitable[None]]]:
    """For a test of a short clock that must not run out, where both sides share the test's event loop. If that stood
    still for `longest_s`, the clock has run out as it should: so a failure counts only if it did not."""

    def steadily(test: Callable[_P, Awaitable[None]]) -> Callable[_P, Awaitable[None]]:
        @functools.wraps(test)
        async def attempt(*args: _P.args, **kwargs: _P.kwargs) -> None:
            for left in reversed(range(_ATTEMPTS)):
                pauses = [0.0]
                heart = asyncio.create_task(_beat(pauses))
                try:
                    return await test(*args, **kwargs)
                except Exception:  # whatever a clock that ran out does to a test
                    await turns(2)  # the heart notes the last pause
                    if max(pauses) < longest_s or not left:
                        raise
                finally:
                    heart.cancel()

        return attempt

    return steadily


async def _beat(pauses: list[float]) -> None:
    """Note how long each turn of the event loop takes."""
    while True:
        before_s = monotonic_s()
        await asyncio.sleep(0.005)
        pauses.append(monotonic_s() - before_s)
