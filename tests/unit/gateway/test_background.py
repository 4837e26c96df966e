"""Answers that are made while nobody waits for them."""

from __future__ import annotations

import asyncio

import pytest

from wye.canon.loss import Losses
from wye.drivers.memory.responses import MemoryResponses
from wye.gateway.exchange import Whole
from wye.gateway.policy import background as module
from wye.gateway.policy.background import Background
from wye.kernel import json
from wye.kernel.errors import Overloaded, StreamCut
from wye.ports.responses import KeptResponse

OWN = {"id": "resp_1", "created_at": 5, "background": True, "previous_response_id": None}
QUEUED = {**OWN, "status": "queued", "output": [], "error": None}
MADE = Whole(json.encode({"id": "resp_9", "created_at": 9, "status": "completed", "output": [1]}), None)


async def begun() -> tuple[Background, MemoryResponses, KeptResponse, asyncio.Future[Whole]]:
    store = MemoryResponses()
    background = Background(store)
    queued = KeptResponse("resp_1", "alice", json.encode(QUEUED), b"[]", "", False, 1e12)
    answer: asyncio.Future[Whole] = asyncio.get_running_loop().create_future()
    losses = Losses()
    await store.put(queued)
    background.start(queued, answer, losses)
    losses.add("seed", "unknown there")
    await asyncio.sleep(0)
    return background, store, queued, answer


async def kept(store: MemoryResponses) -> KeptResponse:
    await asyncio.sleep(0.01)
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
        assert await background.cancel(made) is made

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
