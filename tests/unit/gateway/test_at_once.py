from __future__ import annotations

import asyncio
from functools import partial

import pytest

from wye.gateway.at_once import at_once


async def test_answers_come_in_the_order_of_their_calls_and_few_are_under_way_together() -> None:
    under_way, most = 0, 0

    async def call(i: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001 * (3 - i % 3))
        under_way -= 1
        return i

    assert await at_once([partial(call, i) for i in range(30)]) == list(range(30))
    assert most == 8
    assert await at_once([partial(call, 5)]) == [5]


async def test_the_first_failure_ends_all_others_before_it_is_raised() -> None:
    ended: list[int] = []
    begun: list[int] = []

    async def call(i: int) -> None:
        begun.append(i)
        if i == 3:
            raise ValueError("three")
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(i)

    with pytest.raises(ValueError, match="three"):
        await at_once([partial(call, i) for i in range(30)])
    assert sorted([*ended, 3]) == sorted(begun)
    assert len(begun) <= 8


async def test_who_leaves_ends_them_all() -> None:
    ended: list[int] = []

    async def call(i: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(i)

    task = asyncio.create_task(at_once([partial(call, i) for i in range(3)]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [0, 1, 2]
