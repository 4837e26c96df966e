from __future__ import annotations

import asyncio

import pytest

from wye.drivers.memory.responses import MemoryResponses
from wye.kernel import clock
from wye.ports.responses import KeptResponse


def kept(name: str, *, principal: str = "alice", size: int = 0, created_s: float = 100.0) -> KeptResponse:
    return KeptResponse(name, principal, b"x" * size, b"[]", "up/m", False, created_s)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "wall_s", lambda: 100.0)


def test_an_answer_is_found_by_its_owner_alone() -> None:
    async def run() -> None:
        store = MemoryResponses()
        await store.put(kept("resp_1"))
        assert await store.get("alice", "resp_1") == kept("resp_1")
        assert await store.get("bob", "resp_1") is None
        assert await store.delete("bob", "resp_1") is False
        assert await store.delete("alice", "resp_1") is True
        assert await store.get("alice", "resp_1") is None

    asyncio.run(run())


def test_the_oldest_go_when_there_is_no_room() -> None:
    async def run() -> None:
        store = MemoryResponses(max_bytes=3000)
        for name in ("resp_1", "resp_2", "resp_3"):
            await store.put(kept(name, size=600))
        await store.put(kept("resp_huge", size=3000))
        await store.put(kept("resp_3", size=601))
        found = [await store.get("alice", name) for name in ("resp_1", "resp_2", "resp_3", "resp_huge")]
        assert found == [None, kept("resp_2", size=600), kept("resp_3", size=601), None]

    asyncio.run(run())


def test_an_answer_is_kept_for_thirty_days(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        store = MemoryResponses()
        await store.put(kept("resp_1"))
        monkeypatch.setattr(clock, "wall_s", lambda: 100.0 + 30 * 24 * 3600)
        assert await store.get("alice", "resp_1") is not None
        monkeypatch.setattr(clock, "wall_s", lambda: 101.0 + 30 * 24 * 3600)
        assert await store.get("alice", "resp_1") is None
        assert await store.delete("alice", "resp_1") is False

    asyncio.run(run())
