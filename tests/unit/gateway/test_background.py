"""Answers that are made while nobody waits for them."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import Later
from tests.waiting import until
from wye.canon.loss import Losses
from wye.drivers.memory.state import MemoryState
from wye.gateway.exchange import Whole
from wye.gateway.policy import background as module
from wye.gateway.policy.background import Background
from wye.gateway.policy.kept_responses import KeptResponse, KeptResponses
from wye.kernel import json
from wye.kernel.errors import Overloaded, StreamCut
from wye.ports.state import StateAway

OWN = {"id": "resp_1", "created_at": 5, "background": True, "previous_response_id": None}
QUEUED = {**OWN, "status": "queued", "output": [], "error": None}
MADE = Whole(json.encode({"id": "resp_9", "created_at": 9, "status": "completed", "output": [1]}), None)


async def begun() -> tuple[Background, KeptResponses, KeptResponse, asyncio.Future[Whole]]:
    state = MemoryState()
    store = KeptResponses(state, MemoryState())
    background = Background(store, state)
    queued = KeptResponse("resp_1", "alice", json.encode(QUEUED), b"[]", "", False)
    answer: asyncio.Future[Whole] = asyncio.get_running_loop().create_future()
    losses = Losses()
    await background.start(queued, lambda: answer, losses)
    losses.add("seed", "unknown there")
    await asyncio.sleep(0)
    return background, store, queued, answer


async def kept(store: KeptResponses) -> KeptResponse:
    for _ in range(20):
        await asyncio.sleep(0)
    found = await store.get("alice", "resp_1")
    assert found is not None
    return found


def test_an_answer_takes_the_place_of_the_queued_one() -> None:
    async def run() -> None:
        background, store, _, answer = await begun()
        answer.set_result(MADE)
        made = await kept(store)
        assert json.decode(made.response) == {**QUEUED, "status": "completed", "output": [1]}
        assert made.losses == "seed"
        assert await background.cancel(made) == made

    asyncio.run(run())


def test_an_answer_that_fails_says_why() -> None:
    async def run() -> None:
        _, store, _, answer = await begun()
        answer.set_exception(StreamCut("Gone"))
        error = {"code": "upstream_stream_cut", "message": "Gone"}
        assert json.decode((await kept(store)).response) == {**QUEUED, "status": "failed", "error": error}

    asyncio.run(run())


def test_a_mistake_of_ours_does_not_leave_an_answer_queued_for_ever() -> None:
    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        _, store, _, answer = await begun()
        answer.set_exception(KeyError("x"))
        response = json.decode((await kept(store)).response)
        assert (response["status"], response["error"]["code"]) == ("failed", "internal_error")

    asyncio.run(run())


def test_an_answer_is_cancelled() -> None:
    async def run() -> None:
        background, store, queued, answer = await begun()
        cancelled = await background.cancel(queued)
        assert json.decode(cancelled.response) == {**QUEUED, "status": "cancelled"}
        assert await kept(store) == cancelled
        assert answer.cancelled()

    asyncio.run(run())


def test_there_is_an_end_to_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNDER_WAY", 1)

    async def run() -> None:
        background, store, _, answer = await begun()
        with pytest.raises(Overloaded):
            background.check_room()
        answer.set_result(MADE)
        await kept(store)
        background.check_room()

    asyncio.run(run())


class SharedState(MemoryState):
    """Its leases last longer than any machine stands still; they are renewed as if they were short."""

    shared = True

    async def acquire(self, key: str, owner: str, lease_s: float) -> bool:
        return await super().acquire(key, owner, 300 * lease_s)


def replica(state: MemoryState) -> tuple[Background, KeptResponses]:
    store = KeptResponses(state, MemoryState())
    background = Background(store, state)
    background.listen()
    return background, store


async def queued_at(background: Background) -> tuple[KeptResponse, asyncio.Future[Whole]]:
    queued = KeptResponse("resp_1", "alice", json.encode(QUEUED), b"[]", "", False)
    answer: asyncio.Future[Whole] = asyncio.get_running_loop().create_future()
    await background.start(queued, lambda: answer, Losses())
    return queued, answer


def status(kept: KeptResponse) -> str:
    return json.decode(kept.response)["status"]


async def test_any_replica_tells_how_far_it_is_and_cancels_it() -> None:
    state = SharedState()
    (one, _), (other, store) = replica(state), replica(state)
    queued, answer = await queued_at(one)
    assert await other.look(queued) == await one.look(queued) == queued
    assert status(await other.cancel(queued)) == "cancelled"
    assert answer.cancelled()
    assert status(await kept(store)) == "cancelled"
    queued, answer = await queued_at(one)
    answer.set_result(MADE)
    made = await kept(store)
    assert status(made) == "completed"
    assert await other.look(queued) == made, "who looked before it was made is told what it is now"


async def test_an_answer_whose_replica_is_gone_has_failed(monkeypatch: pytest.MonkeyPatch, later: Later) -> None:
    monkeypatch.setattr(module, "LEASE_S", 0.2)
    monkeypatch.setattr(module, "_HEARD_S", 0.05)
    state = SharedState()
    (one, _), (other, store) = replica(state), replica(state)
    queued, answer = await queued_at(one)
    for _ in range(2):
        later(40)  # of the 60 s of its lease
        before = [*state._leases.values()]
        await until(lambda before=before: [*state._leases.values()] != before)
    assert await other.look(queued) == queued, "it is renewed"
    for task in one._beside:
        task.cancel()  # as kill -9 leaves it
    state._topics.clear()
    assert status(await other.cancel(queued)) == "queued", "nobody hears it"
    later(61)
    failed = await other.look(queued)
    assert (status(failed), json.decode(failed.response)["error"]["message"]) == (
        "failed",
        "The server that made this answer has ended",
    )
    assert await kept(store) == failed
    answer.cancel()


async def test_with_the_state_away_it_is_what_was_last_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> bool:
        raise StateAway("gone")

    state = SharedState()
    (one, _), (other, _) = replica(state), replica(state)
    monkeypatch.setattr(state, "acquire", away)
    queued, answer = await queued_at(one)
    assert await other.look(queued) == queued
    answer.set_result(MADE)
