"""Who gets a slot, in which order, and what remains when somebody leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wye.engines.slots import Slot, SlotQueue
from wye.kernel.errors import Overloaded


async def turn() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Line:
    """Callers of a queue, each with a name; `done` is the order in which they got their slot."""

    def __init__(self, queue: SlotQueue) -> None:
        self.queue = queue
        self.done: list[str] = []
        self.slots: dict[str, Slot] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def join(self, name: str, priority: int = 2) -> None:
        async def wait() -> None:
            self.slots[name] = await self.queue.acquire(priority)
            self.done.append(name)

        self.tasks[name] = asyncio.create_task(wait())
        await turn()

    async def serve_all(self) -> list[str]:
        """Release slot by slot until nobody is left."""
        while self.slots:
            self.slots.pop(next(iter(self.slots))).release()
            await turn()
        return self.done


@pytest.mark.parametrize(
    ("strategy", "served"),
    [
        ("fifo", ["first", "low", "normal", "high", "low too", "high too"]),
        ("priority", ["first", "high", "high too", "normal", "low", "low too"]),
    ],
)
async def test_the_order_is_that_of_coming_or_of_priority_and_then_of_coming(strategy: Any, served: list[str]) -> None:
    line = Line(SlotQueue("m", 1, 10, strategy))
    await line.join("first")
    for name, priority in (("low", 1), ("normal", 2), ("high", 3), ("low too", 1), ("high too", 3)):
        await line.join(name, priority)
    assert await line.serve_all() == served
    assert (line.queue.running, line.queue.waiting) == (0, 0)


async def test_as_many_run_as_there_are_slots_and_each_knows_where_it_waited() -> None:
    line = Line(SlotQueue("m", 2, 10, "priority"))
    for name, priority in (("a", 2), ("b", 2), ("c", 2), ("d", 2), ("e", 3)):
        await line.join(name, priority)
    assert line.done == ["a", "b"]
    assert (line.queue.running, line.queue.waiting) == (2, 3)
    slots = dict(line.slots)
    assert await line.serve_all() == ["a", "b", "e", "c", "d"]
    assert {name: slot.position for name, slot in (slots | line.slots).items()} == {"a": 0, "b": 0}


async def test_positions_are_those_at_the_moment_of_coming() -> None:
    queue = SlotQueue("m", 1, 10, "priority")
    first = await queue.acquire(2)
    waiting = [asyncio.create_task(queue.acquire(priority)) for priority in (2, 2, 3)]
    await turn()
    for _ in waiting:
        first.release()
        await turn()
        first = next(task.result() for task in waiting if task.done() and task.result()._queue is not None)
    assert [task.result().position for task in waiting] == [1, 2, 1]


async def test_a_full_queue_says_so_at_once_with_its_figures() -> None:
    line = Line(SlotQueue("tiny", 1, 2))
    for name in "abc":
        await line.join(name)
    with pytest.raises(Overloaded, match="'tiny' answers 1 at a time, and 2 are waiting") as refused:
        await line.queue.acquire(3)
    assert (refused.value.status, refused.value.retry_after_s, refused.value.code) == (503, 5.0, "queue_full")
    assert refused.value.details == {"max_concurrent": 1, "queue_max_size": 2}
    assert await line.serve_all() == ["a", "b", "c"]


async def test_without_a_queue_the_second_is_turned_away() -> None:
    queue = SlotQueue("m", 1, 0)
    slot = await queue.acquire(2)
    with pytest.raises(Overloaded):
        await queue.acquire(2)
    slot.release()
    assert (await queue.acquire(2)).position == 0


async def test_who_leaves_makes_room_and_costs_nobody_a_slot() -> None:
    line = Line(SlotQueue("m", 1, 2))
    for name in "abc":
        await line.join(name)
    line.tasks["b"].cancel()
    await turn()
    assert line.queue.waiting == 1
    await line.join("d")
    assert await line.serve_all() == ["a", "c", "d"]
    assert line.queue.running == 0


async def test_who_leaves_in_the_moment_of_its_turn_hands_it_on() -> None:
    line = Line(SlotQueue("m", 1, 10))
    for name in "abcd":
        await line.join(name)
    line.slots.pop("a").release()  # b's turn; it has not run yet
    line.tasks["b"].cancel()
    line.tasks["c"].cancel()
    await turn()
    assert line.done == ["a", "d"]
    await line.serve_all()
    assert (line.queue.running, line.queue.waiting) == (0, 0)


async def test_a_slot_that_is_released_while_the_next_one_leaves_goes_to_the_one_after() -> None:
    line = Line(SlotQueue("m", 1, 10))
    for name in "abc":
        await line.join(name)
    line.tasks["b"].cancel()  # it has not run yet: still in the list
    line.slots.pop("a").release()
    await turn()
    assert line.done == ["a", "c"]


async def test_a_slot_is_released_once_however_often_it_is_said() -> None:
    queue = SlotQueue("m", 2, 10)
    one, _ = await queue.acquire(2), await queue.acquire(2)
    for _ in range(3):
        one.release()
    assert queue.running == 1


async def test_closing_turns_away_all_who_wait_and_those_who_run_go_on() -> None:
    line = Line(SlotQueue("m", 1, 10))
    for name in "abcd":
        await line.join(name)
    line.tasks["b"].cancel()
    line.queue.close()
    with pytest.raises(Overloaded, match="shutting down"):
        await line.tasks["c"]
    line.tasks["d"].cancel()
    await asyncio.gather(*line.tasks.values(), return_exceptions=True)
    assert line.tasks["b"].cancelled()
    assert line.queue.waiting == 0
    line.slots["a"].release()
    assert line.queue.running == 0
