"""What every shared state does, whichever driver keeps it."""

from __future__ import annotations

import asyncio

from wye.ports.state import State


async def test_a_value_lives_for_its_time(state: State) -> None:
    assert await state.get("a") is None
    await state.put("a", b"one", 60)
    await state.put("b", b"two", 0.05)
    assert (await state.get("a"), await state.get("b")) == (b"one", b"two")
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
    assert await state.acquire("l", "me", 0.15)
    await asyncio.sleep(0.1)
    assert await state.acquire("l", "me", 0.15)
    await asyncio.sleep(0.1)
    assert not await state.acquire("l", "you", 60)
    await asyncio.sleep(0.1)
    assert await state.acquire("l", "you", 60)


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
    await state.append("said", [b"1"], 0.15)
    await asyncio.sleep(0.1)
    await state.append("said", [b"2"], 0.15)
    await asyncio.sleep(0.1)
    assert await state.items("said", 0) == [b"1", b"2"]
    await asyncio.sleep(0.1)
    assert await state.items("said", 0) == []
    assert await state.append("said", [b"3"], 60) == 1


async def test_once_it_has_begun_to_listen_nothing_is_missed(state: State) -> None:
    for topic in map(str, range(20)):
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        begun = asyncio.Event()
        state.subscribe(topic, heard.put_nowait, begun.set)
        async with asyncio.timeout(5):
            await begun.wait()
            await state.publish(topic, b"said")
            assert await heard.get() == b"said"


async def test_what_is_published_is_heard_by_all(state: State) -> None:
    heard: list[tuple[str, bytes]] = []
    for who in ("a", "b"):
        state.subscribe("news", lambda message, who=who: heard.append((who, message)), lambda: None)
    state.subscribe("other", lambda message: heard.append(("other", message)), lambda: None)
    await asyncio.sleep(0.2)
    await state.publish("news", b"\x00one")
    await state.publish("nobody", b"two")
    for _ in range(100):
        if len(heard) == 2:
            break
        await asyncio.sleep(0.02)
    assert sorted(heard) == [("a", b"\x00one"), ("b", b"\x00one")]
