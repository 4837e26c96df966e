"""Waiting for what happens, however long it takes: CI's machine may stand still for seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in code that knows no event of ours
            await asyncio.sleep(0.005)
