"""Answers to go on from are found over every state, at whichever replica one asks."""

from __future__ import annotations

import pytest

from wye.drivers.memory.state import MemoryState
from wye.gateway.policy import kept_responses
from wye.gateway.policy.kept_responses import KeptResponse, KeptResponses
from wye.ports.state import State

HELD = KeptResponse("resp_1", "alice", b'{"id": "resp_1"}', b"[]", "up/m", True, "seed")


@pytest.fixture
def replicas(state: State) -> tuple[KeptResponses, KeptResponses]:
    return KeptResponses(state, MemoryState()), KeptResponses(state, MemoryState())


Replicas = tuple[KeptResponses, KeptResponses]


async def test_an_answer_is_found_by_its_owner_alone(replicas: Replicas) -> None:
    one, other = replicas
    await one.put(HELD)
    assert await other.get("alice", "resp_1") == await one.get("alice", "resp_1") == HELD
    assert await other.get("bob", "resp_1") is None
    assert await other.get("alice", "resp_1\ud800") is None
    assert not await other.delete("bob", "resp_1")
    assert await other.delete("alice", "resp_1")
    assert not await one.delete("alice", "resp_1")
    assert await one.get("alice", "resp_1") is None


async def test_what_is_kept_again_takes_the_place_of_the_first(replicas: Replicas) -> None:
    one, other = replicas
    await one.put(KeptResponse("resp_1", "alice", b"{}", b"[]", "up/m", True))
    await other.put(HELD)
    assert await one.get("alice", "resp_1") == HELD


async def test_one_that_is_too_large_is_not_kept(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_responses, "MAX_BYTES", 1000)
    await replicas[0].put(KeptResponse("resp_1", "alice", b"x" * 1000, b"[]", "up/m", True))
    assert await replicas[1].get("alice", "resp_1") is None


async def test_what_another_version_kept_is_not_understood(state: State, replicas: Replicas) -> None:
    for data in (b"", b"\xc1", b"\x81\xa2id\x01"):
        await state.put(replicas[0]._key("alice", "resp_1"), data, 60)
        assert await replicas[0].get("alice", "resp_1") is None
