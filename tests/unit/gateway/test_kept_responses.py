"""Answers to go on from, where memory ends and while the shared state is away."""

from __future__ import annotations

import pytest

from wye.drivers.memory.state import MemoryState
from wye.gateway.policy.kept_responses import KEPT_S, KeptResponse, KeptResponses
from wye.kernel import clock
from wye.ports.state import StateAway


def kept(name: str, size: int = 0) -> KeptResponse:
    return KeptResponse(name, "alice", b"x" * size, b"[]", "up/m", False)


class AwayState(MemoryState):
    gone = True

    async def get(self, key: str) -> bytes | None:
        if self.gone:
            raise StateAway("gone")
        return await super().get(key)

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        if self.gone:
            raise StateAway("gone")
        await super().put(key, value, ttl_s)


async def test_those_not_used_for_longest_go_when_there_is_no_room() -> None:
    store = KeptResponses(MemoryState(max_bytes=3000), MemoryState())
    for name in ("resp_1", "resp_2", "resp_3"):
        await store.put(kept(name, 600))
    await store.put(kept("resp_huge", 3000))
    await store.get("alice", "resp_2")
    await store.put(kept("resp_4", 600))
    found = [await store.get("alice", f"resp_{name}") for name in (1, 2, 3, 4, "huge")]
    assert [one is not None for one in found] == [False, True, True, True, False]


async def test_an_answer_is_kept_for_thirty_days(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    store = KeptResponses(MemoryState(), MemoryState())
    await store.put(kept("resp_1"))
    now_s += KEPT_S - 1
    assert await store.get("alice", "resp_1") is not None
    now_s += 2
    assert await store.get("alice", "resp_1") is None


async def test_while_the_state_is_away_a_replica_keeps_its_own() -> None:
    state = AwayState()
    one, other = KeptResponses(state, MemoryState()), KeptResponses(state, MemoryState())
    await one.put(kept("resp_1"))
    assert await one.get("alice", "resp_1") == kept("resp_1")
    with pytest.raises(StateAway):  # it may be elsewhere: that is no 404
        await other.get("alice", "resp_1")
    state.gone = False
    assert await one.get("alice", "resp_1") == kept("resp_1")
    await one.put(kept("resp_1", 5))
    assert await other.get("alice", "resp_1") == await one.get("alice", "resp_1") == kept("resp_1", 5)
    state.gone = True
    await one.put(kept("resp_2"))
    state.gone = False
    assert await one.delete("alice", "resp_2")
    assert await one.get("alice", "resp_2") is None
