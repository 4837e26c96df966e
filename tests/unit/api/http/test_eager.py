"""Tasks that begin at once, beside what asyncio's own do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from wye.api.http.eager import EagerTask

Work = Callable[[list[str]], Coroutine[Any, Any, None]]
NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


async def at_once(steps: list[str]) -> None:
    steps.append("done")


async def after_a_round(steps: list[str]) -> None:
    await asyncio.sleep(0)
    steps.append("done")


async def after_a_timer(steps: list[str]) -> None:
    await asyncio.sleep(0.001)
    steps.append("done")


async def within_a_time(steps: list[str]) -> None:
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(5)
    except TimeoutError:
        steps.append("done")


async def with_others(steps: list[str]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0.001))
    steps.append("done")


async def after_a_failure(steps: list[str]) -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, ValueError())
    try:
        await future
    except ValueError:
        steps.append("done")


async def as_somebody(steps: list[str]) -> None:
    NAME.set("somebody")
    await asyncio.sleep(0)
    steps.append("done" if NAME.get() == "somebody" else "lost its context")


async def run(work: Coroutine[Any, Any, None], then: Callable[[EagerTask], Awaitable[None]] | None = None) -> Any:
    """Begin it as a server does, from a callback of the loop; its outcome."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[BaseException | None] = loop.create_future()
    task = EagerTask(work, loop, over.set_result)
    loop.call_soon(task.start)
    if then is not None:
        await asyncio.sleep(0)
        await then(task)
    async with asyncio.timeout(60):
        outcome = await over
    assert task.done()
    assert not task.cancel(), "it is over"
    return outcome


@pytest.mark.parametrize(
    "work", [at_once, after_a_round, after_a_timer, within_a_time, with_others, after_a_failure, as_somebody]
)
async def test_what_a_task_may_await_it_may_await(work: Work) -> None:
    steps: list[str] = []
    assert await run(work(steps)) is None
    assert steps == ["done"]
    assert NAME.get() == "nobody"


async def test_it_begins_at_once_and_is_the_current_task_only_then() -> None:
    loop = asyncio.get_running_loop()
    seen: list[object] = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    def begin() -> None:
        task = EagerTask(work(), loop, seen.append)
        task.start()
        seen[:] = [seen == [task, None], asyncio.current_task()]

    loop.call_soon(begin)
    await asyncio.sleep(0)
    assert seen == [True, None]


async def test_within_another_task_it_begins_a_round_later() -> None:
    steps: list[str] = []
    task = EagerTask(at_once(steps), asyncio.get_running_loop(), lambda error: steps.append(repr(error)))
    task.start()
    assert steps == []
    await asyncio.sleep(0)
    assert steps == ["done", "None"]


async def test_what_it_raises_is_its_outcome() -> None:
    async def work() -> None:
        raise ValueError("wrong")

    outcome = await run(work())
    assert (type(outcome), str(outcome)) == (ValueError, "wrong")


@pytest.mark.parametrize("pause_s", [0, 5], ids=["a round", "a timer"])
async def test_cancelled_it_ends_where_it_waits(pause_s: float) -> None:
    async def cancel(task: EagerTask) -> None:
        assert task.cancel()
        assert task.cancelling() == 1

    assert isinstance(await run(asyncio.sleep(pause_s), cancel), asyncio.CancelledError)


async def test_cancelled_before_it_begins_it_does_nothing() -> None:
    steps: list[str] = []
    ended: list[object] = []
    task = EagerTask(at_once(steps), asyncio.get_running_loop(), ended.append)
    task.start()
    task.cancel()
    await asyncio.sleep(0)
    assert (steps, [type(one) for one in ended]) == ([], [asyncio.CancelledError])


async def test_cancelled_by_its_own_hand_it_ends_at_its_next_wait() -> None:
    steps: list[str] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        steps.append("goes on")
        await asyncio.sleep(5)
        steps.append("never")

    assert isinstance(await run(work()), asyncio.CancelledError)
    assert steps == ["goes on"]


async def test_who_takes_a_cancellation_back_goes_on() -> None:
    counts: list[int] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            counts.extend([task.cancelling(), task.uncancel(), task.uncancel()])
        await asyncio.sleep(0.001)

    async def cancel(task: EagerTask) -> None:
        task.cancel()

    assert await run(work(), cancel) is None
    assert counts == [1, 0, 0]


async def test_a_cancellation_taken_back_before_it_came_does_not_come() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.uncancel()
        await asyncio.sleep(0.001)

    assert await run(work()) is None
