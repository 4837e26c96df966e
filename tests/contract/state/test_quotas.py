"""What every shared state counts, whichever driver keeps it."""

from __future__ import annotations

import asyncio

import pytest

from wye.kernel.clock import monotonic_s
from wye.ports.quota import Grant, Quota
from wye.ports.state import State

CALLS = Quota("calls", limit=10, window_s=36_000, refills=True)
"""One comes back in an hour: none while a test runs, however long the machine stands still."""
SLOTS = Quota("slots", limit=2, window_s=60, refills=False)
MONEY = Quota("money", limit=100, window_s=60, refills=False)


async def reserve(state: State, quota: Quota, amount: int, owner: str = "me", lease_s: float = 60) -> Grant:
    return await state.reserve([quota], [amount], owner, lease_s)


def is_granted(grant: Grant) -> bool:
    return grant.refused is None and grant.unknown is None


async def test_what_refills_is_refused_until_so_much_is_there(state: State) -> None:
    lefts = [(await reserve(state, CALLS, 1)).left for _ in range(10)]
    assert lefts == [[left] for left in range(9, -1, -1)]
    grant = await reserve(state, CALLS, 5)
    assert grant.refused == 0
    assert grant.wait_s == pytest.approx(5 * 3600, abs=120)


async def test_what_refills_comes_back_evenly(state: State) -> None:
    a_second = Quota("a second", limit=1000, window_s=1.0, refills=True)
    before_s = monotonic_s()
    await reserve(state, a_second, 1000)
    taken_s = monotonic_s()
    await asyncio.sleep(0.3)
    asked_s = monotonic_s()
    [left] = (await reserve(state, a_second, 1)).left
    over_s = monotonic_s()
    assert min(1000, 1000 * (asked_s - taken_s)) - 2 <= left <= min(1000, 1000 * (over_s - before_s))


async def test_what_is_larger_than_the_whole_goes_when_nothing_is_in_use(state: State) -> None:
    slow = Quota("slow", 100, 3600, refills=True)
    assert (await reserve(state, slow, 5000)).left == [0]
    grant = await reserve(state, slow, 1)
    assert grant.refused == 0
    assert grant.wait_s > 3600
    assert not is_granted(await reserve(state, MONEY, 101))


async def test_what_was_taken_beyond_the_whole_is_not_forgotten_early(state: State) -> None:
    quick = Quota("quick", 100, 0.1, refills=True)
    before_s = monotonic_s()
    await reserve(state, quick, 500)
    await asyncio.sleep(0.3)
    grant = await reserve(state, quick, 100)
    if grant.refused is None:  # it may only be there when as much time has passed
        assert monotonic_s() - before_s > 0.49
        return
    await asyncio.sleep(grant.wait_s + 0.01)
    assert is_granted(await reserve(state, quick, 100))


async def test_what_refills_is_settled_with_what_was_spent(state: State) -> None:
    slow = Quota("slow", 100, 3600, refills=True)
    await reserve(state, slow, 80)
    assert not is_granted(await reserve(state, slow, 30))
    await state.settle([slow], [80], [10], "me")
    assert (await reserve(state, slow, 30)).left[0] in (60, 61)
    await state.settle([slow], [30], [100], "me")
    assert not is_granted(await reserve(state, slow, 1))
    await state.settle([slow], [300], [0], "me")
    assert (await reserve(state, slow, 100)).left == [0]


async def test_what_is_held_is_given_back(state: State) -> None:
    assert [is_granted(await reserve(state, SLOTS, 1, who)) for who in ("me", "you", "them")] == [True, True, False]
    await state.settle([SLOTS], [1], [0], "them")
    assert not is_granted(await reserve(state, SLOTS, 1))
    await state.settle([SLOTS], [1], [0], "you")
    assert (await reserve(state, SLOTS, 1, "them")).left == [0]
    assert not is_granted(await reserve(state, SLOTS, 1))


async def test_what_was_spent_stays_spent(state: State) -> None:
    assert (await reserve(state, MONEY, 60)).left == [40]
    assert (await reserve(state, MONEY, 40)).left == [0]
    await state.settle([MONEY], [60], [25], "me")
    assert (await reserve(state, MONEY, 30)).left == [5]
    await state.settle([MONEY, MONEY], [40, 30], [40, 30], "me")
    assert not is_granted(await reserve(state, MONEY, 6))
    assert (await reserve(state, MONEY, 5)).left == [0]


async def test_who_is_gone_holds_nothing(state: State) -> None:
    assert is_granted(await reserve(state, SLOTS, 2, "gone", 60))
    assert is_granted(await state.reserve([MONEY], [70], "here", 0.1))
    assert not is_granted(await reserve(state, SLOTS, 1))
    assert await state.acquire("gone", "gone", 0.1)
    assert await state.acquire("here", "here", 60)
    await asyncio.sleep(0.2)
    assert (await reserve(state, SLOTS, 2)).left == [0]
    assert not is_granted(await reserve(state, MONEY, 31))
    await state.settle([SLOTS], [2], [0], "gone")  # too late: it is another's
    assert not is_granted(await reserve(state, SLOTS, 1))


async def test_all_or_none(state: State) -> None:
    slow = Quota("slow", 10, 3600, refills=True)
    assert (await state.reserve([slow, MONEY], [4, 100], "me", 60)).left == [6, 0]
    refused = await state.reserve([slow, MONEY, SLOTS], [4, 1, 1], "me", 60)
    assert (refused.refused, refused.wait_s) == (1, 0)
    assert (await state.reserve([slow, SLOTS], [6, 2], "me", 60)).left == [0, 0]


async def test_what_must_be_told_its_start(state: State) -> None:
    untold = Quota("untold", 100, 60, refills=False, start=None)
    assert await state.reserve([SLOTS, untold], [1, 1], "me", 60) == Grant([], unknown=1)
    await state.settle([untold], [1], [50], "me")  # nothing to settle, and so nothing known
    assert (await reserve(state, untold, 1)).unknown == 0
    told = Quota("untold", 100, 60, refills=False, start=90)
    assert (await reserve(state, told, 4)).left == [6]
    assert (await reserve(state, told, 4)).left == [2]
    assert (await reserve(state, untold, 2)).left == [0]


async def test_what_nobody_uses_is_forgotten(state: State) -> None:
    for window_s, left in ((60, 10), (0.1, 100)):
        quota = Quota(f"in {window_s} s", 100, window_s, refills=False)
        await reserve(state, quota, 10)
        await state.settle([quota], [10], [90], "me")
        await asyncio.sleep(0.2)
        assert (await reserve(state, quota, 9)).left == [left - 9]


@pytest.mark.parametrize("quota", [SLOTS, MONEY, Quota("slow", 50, 3600, refills=True)], ids=["slots", "money", "rate"])
async def test_of_many_at_once_no_more_are_granted_than_there_is(quota: State, state: State) -> None:
    granted = await asyncio.gather(*(reserve(state, quota, 1, f"owner-{i % 5}") for i in range(200)))
    assert sum(map(is_granted, granted)) == min(quota.limit, 200)
