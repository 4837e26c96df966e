"""What every shared state does, whichever driver keeps it."""

from __future__ import annotations

import asyncio

from wye.ports.state import State


async def test_a_value_lives_for_its_time(state: State) -> None:
    assert await state.get("a") is None
    await state.put("a", b"one", 60)
    await state.put("b", b"two", 60)
    assert (await state.get("a"), await state.get("b")) == (b"one", b"two")
    await state.put("b", b"two", 0.05)
    await asyncio.sleep(0.1)
    assert (await state.get("a"), await state.get("b")) == (b"one", None)


async def test_the_last_value_counts(state: State) -> None:
    await state.put("a", b"one", 0.05)
    await state.put("a", b"\x00\xff" * 10, 60)
    await asyncio.sleep(0.1)
    assert await state.get("a") == b"\x00\xff" * 10


async def test_what_is_deleted_is_gone(state: State) -> None:
    await state.put("a", b"one", 60)
    await state.append("list", [b"1"], 60)
    assert [await state.delete("a"), await state.delete("a"), await state.delete("never")] == [True, False, False]
    assert await state.delete("list")
    assert await state.items("list", 0) == []


async def test_values_are_cleared_by_the_beginning_of_their_key(state: State) -> None:
    for key in ("x:1", "x:2", "x*[1]", "y:1"):
        await state.put(key, b"v", 60)
    assert await state.clear("x:") == 2
    assert await state.clear("x*[") == 1
    assert await state.clear("x:") == 0
    assert await state.get("y:1") == b"v"


async def test_a_lease_is_one_owners(state: State) -> None:
    assert await state.acquire("l", "me", 60)
    assert not await state.acquire("l", "you", 60)
    assert await state.acquire("l", "me", 60)
    await state.release("l", "you")
    assert not await state.acquire("l", "you", 60)
    await state.release("l", "me")
    assert await state.acquire("l", "you", 60)


async def test_a_lease_that_is_not_renewed_ends(state: State) -> None:
    for renewed_s, ended in ((60, False), (0.05, True)):
        lease = f"for {renewed_s} s"
        assert await state.acquire(lease, "me", 0.1)
        assert await state.acquire(lease, "me", renewed_s)
        await asyncio.sleep(0.15)
        assert await state.acquire(lease, "you", 60) is ended


async def test_of_many_who_want_a_lease_one_gets_it(state: State) -> None:
    got = await asyncio.gather(*(state.acquire("l", str(i), 60) for i in range(50)))
    assert sum(got) == 1


async def test_a_list_is_heard_from_any_place(state: State) -> None:
    assert await state.items("said", 0) == []
    assert await state.append("said", [b"1", b"2"], 60) == 2
    assert await state.append("said", [b"3"], 60) == 3
    assert await state.items("said", 0) == [b"1", b"2", b"3"]
    assert await state.items("said", 2) == [b"3"]
    assert await state.items("said", 3) == []


async def test_a_list_lives_on_with_each_item(state: State) -> None:
    for attempt in map(str, range(10)):
        await state.append(attempt, [b"1"], 0.15)
        if await state.append(attempt, [b"2"], 60) == 2:  # else the first was gone: the machine stood still for so long
            break
    await asyncio.sleep(0.2)
    assert await state.items(attempt, 0) == [b"1", b"2"]


async def test_a_list_to_which_nothing_is_said_any_more_ends(state: State) -> None:
    await state.append("said", [b"1"], 0.05)
    await asyncio.sleep(0.1)
    assert await state.items("said", 0) == []
    assert await state.append("said", [b"2"], 60) == 1


async def test_once_it_has_begun_to_listen_nothing_is_missed(state: State) -> None:
    for topic in map(str, range(20)):
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        begun = asyncio.Event()
        state.subscribe(topic, heard.put_nowait, begun.set)
        async with asyncio.timeout(60):
            await begun.wait()
            await state.publish(topic, b"said")
            assert await heard.get() == b"said"


async def test_what_is_published_is_heard_by_all(state: State) -> None:
    heard: list[tuple[str, bytes]] = []
    begun = [asyncio.Event() for _ in range(3)]
    for topic, who, event in zip(("news", "news", "other"), "abc", begun, strict=True):
        state.subscribe(topic, lambda message, who=who: heard.append((who, message)), event.set)
    async with asyncio.timeout(60):
        for event in begun:
            await event.wait()
        await state.publish("nobody", b"two")
        await state.publish("news", b"\x00one")
        while len(heard) < 2:  # noqa: ASYNC110 - it comes from a connection that knows no event of ours
            await asyncio.sleep(0.01)
    assert sorted(heard) == [("a", b"\x00one"), ("b", b"\x00one")]
