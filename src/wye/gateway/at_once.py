"""Several calls for one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

_LIMIT = 8
"""Calls of one request that are under way together."""


async def at_once(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """What the calls give, in their order. Raises the first failure, when all others have been let go."""
    found: dict[int, T] = {}
    left = iter(enumerate(calls))

    async def work() -> None:
        for i, call in left:
            found[i] = await call()

    workers = [asyncio.create_task(work()) for _ in calls[:_LIMIT]]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [found[i] for i in range(len(calls))]
