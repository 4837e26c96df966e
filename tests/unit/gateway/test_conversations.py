"""Which deployment a conversation goes on at, and what is kept of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.drivers.memory.state import MemoryState
from wye.gateway.deployment import Deployment, Route
from wye.gateway.exchange import Exchange, Outlet, Stream, Whole
from wye.gateway.policy.conversations import Conversations
from wye.gateway.policy.kept_responses import KeptResponse, KeptResponses
from wye.kernel import json
from wye.kernel.errors import BadRequest, Conflict, NotFound, StreamCut, WyeError
from wye.ports.provider import Provider
from wye.ports.transport import Clocks

RESPONSES = DIALECTS["openai_responses"]
OUTPUT = [
    {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
]
ANSWER = {"id": "resp_1", "object": "response", "output": OUTPUT, "previous_response_id": None, "temperature": 1.0}


class Account:
    passthrough = True
    is_wye = False

    def __init__(self, name: str, dialect: str) -> None:
        self.name = name
        self._dialect = DIALECTS[dialect]

    def speaks(self, model: str, caller: Dialect) -> Dialect:
        return self._dialect


def deployment(name: str, dialect: str = "openai_chat") -> Deployment:
    return Deployment(cast(Provider, Account(name, dialect)), "m", Clocks())


NATIVE, OTHER_NATIVE = deployment("openai", "openai_responses"), deployment("azure", "openai_responses")
BRIDGED = deployment("vllm")


def exchange(served_by: Deployment | None = None, **members: Any) -> Exchange:
    body = json.encode({"model": "m", **members})
    made = Exchange("req_1", RESPONSES, body, {}, "alice", 0.0, model="m", deployment=served_by)
    made.members = json.split_object(body)
    return made


def memory() -> Conversations:
    state = MemoryState()
    return Conversations(KeptResponses(state, MemoryState()), state)


class Said(Outlet):
    """A stream that says these chunks, and an outlet that hears them."""

    usage = Usage(3, 4)
    failed = False
    closed = False

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks
        self.heard: list[bytes] = []

    async def relay(self, outlet: Any) -> None:
        for chunk in self._chunks:
            if not outlet.say(chunk):
                await outlet.drained()

    def cut(self, error: WyeError) -> bytes:
        return error.message.encode()

    def close(self) -> None:
        self.closed = True

    def say(self, data: bytes) -> bool:
        self.heard.append(data)
        return False

    async def drained(self) -> None:
        self.heard.append(b"")


def event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.encode({"type": kind, **members}))


async def after(served_by: Deployment | None, *, conversations: Conversations | None = None) -> Conversations:
    """A store in which `resp_1` answered "Hi"."""
    made = conversations or memory()
    await made.keep_whole(exchange(served_by, input="Hi"), Whole(json.encode(ANSWER), None))
    return made


async def resumed(conversations: Conversations, *deployments: Deployment, **members: Any) -> tuple[Route, Exchange]:
    asked = exchange(**{"input": "And?", "previous_response_id": "resp_1", **members})
    return await conversations.resume(asked, Route("m", list(deployments))), asked


@pytest.mark.parametrize("previous", [None, 7])
def test_a_request_that_begins_a_conversation_goes_anywhere(previous: Any) -> None:
    async def run() -> None:
        conversations = await after(BRIDGED)
        route, asked = await resumed(conversations, BRIDGED, NATIVE, previous_response_id=previous)
        assert route.deployments == [BRIDGED, NATIVE]
        assert (asked.continues, json.decode(asked.body)["input"]) == (None, "And?")

    asyncio.run(run())


def test_an_upstream_that_keeps_answers_goes_on_from_its_own() -> None:
    async def run() -> None:
        route, asked = await resumed(await after(NATIVE), OTHER_NATIVE, BRIDGED, NATIVE)
        assert route.deployments == [NATIVE]
        assert json.decode(asked.body) == {"model": "m", "input": "And?", "previous_response_id": "resp_1"}
        assert asked.continues is None

    asyncio.run(run())


def test_an_answer_of_a_deployment_that_is_gone_is_a_conflict() -> None:
    async def run() -> None:
        with pytest.raises(Conflict, match="openai/m") as caught:
            await resumed(await after(NATIVE), OTHER_NATIVE, BRIDGED)
        assert (caught.value.status, caught.value.param) == (409, "previous_response_id")

    asyncio.run(run())


@pytest.mark.parametrize("served_by", [BRIDGED, None])
def test_any_other_upstream_is_told_all_that_was_said(served_by: Deployment | None) -> None:
    async def run() -> None:
        route, asked = await resumed(await after(served_by), BRIDGED, NATIVE)
        assert route.deployments == [BRIDGED, NATIVE]
        body = json.decode(asked.body)
        assert bytes(asked.members["input"]) == json.encode(body["input"])
        assert "previous_response_id" not in body
        assert [item["role"] for item in body["input"]] == ["user", "assistant", "user"]
        assert asked.continues == "resp_1"

    asyncio.run(run())


def test_an_unknown_answer_may_be_known_to_who_keeps_answers() -> None:
    async def run() -> None:
        conversations = memory()
        route, _ = await resumed(conversations, BRIDGED, NATIVE)
        assert route.deployments == [NATIVE]
        with pytest.raises(NotFound) as caught:
            await resumed(conversations, BRIDGED)
        assert caught.value.code == "previous_response_not_found"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("members", "answer"),
    [({"store": False}, ANSWER), ({}, {**ANSWER, "id": 7}), ({}, {**ANSWER, "output": None}), ({}, [])],
)
def test_what_is_not_to_be_kept_or_cannot_be_found_again_is_not_kept(members: dict[str, Any], answer: Any) -> None:
    async def run() -> None:
        conversations = memory()
        whole = Whole(json.encode(answer), Usage(1, 2))
        assert await conversations.keep_whole(exchange(BRIDGED, **members), whole) == whole
        assert await conversations.store.get("alice", "resp_1") is None

    asyncio.run(run())


def test_a_whole_answer_names_the_one_that_it_goes_on_from() -> None:
    async def run() -> None:
        conversations = await after(BRIDGED)
        _, asked = await resumed(conversations, BRIDGED)
        asked.deployment = BRIDGED
        body = json.encode({**ANSWER, "id": "resp_2"})
        answer = await conversations.keep_whole(asked, Whole(body, Usage(1, 2)))
        assert answer == Whole(body.replace(b'_id":null', b'_id":"resp_1"'), Usage(1, 2))
        kept = await conversations.store.get("alice", "resp_2")
        assert kept is not None
        assert kept.response == answer.body
        assert len(json.decode(kept.items)) == 3

    asyncio.run(run())


def test_a_stream_names_the_answer_that_it_goes_on_from_in_each_event_that_repeats_its_own() -> None:
    created = event("response.created", response={"id": "resp_2"})
    begun = event("response.in_progress", sequence_number=1, response={"id": "resp_2", "previous_response_id": None})
    text = event("response.output_text.delta", delta="response.completed")
    odd = b"event: response.completed\ndata: response.completed\n\n"
    completed = event("response.completed", response={**ANSWER, "id": "resp_2"})

    async def run() -> None:
        conversations = await after(BRIDGED)
        _, asked = await resumed(conversations, BRIDGED)
        asked.deployment = BRIDGED
        said = Said(created + begun, b": comment\n\n" + text, odd, completed + b"data: [DONE]\n\n")
        stream = conversations.keep_stream(asked, cast(Stream, said))
        await stream.relay(said)
        heard = b"".join(said.heard)
        assert heard == (
            event("response.created", response={"id": "resp_2", "previous_response_id": "resp_1"})
            + begun.replace(b"null", b'"resp_1"')
            + b": comment\n\n"
            + text
            + odd
            + completed.replace(b'_id":null', b'_id":"resp_1"')
            + b"data: [DONE]\n\n"
        )
        kept = await conversations.store.get("alice", "resp_2")
        assert kept is not None
        assert json.decode(kept.response)["previous_response_id"] == "resp_1"
        assert (stream.usage, stream.failed) == (Usage(3, 4), False)
        assert stream.cut(StreamCut("Gone")) == b"Gone"
        stream.close()
        assert said.closed

    asyncio.run(run())


def test_a_stream_that_begins_a_conversation_passes_as_it_is() -> None:
    created = b'data: { "type" : "response.created", "response": {} }\n\n'

    async def run() -> None:
        conversations = memory()
        said = Said(created, event("response.failed", response={"id": "resp_1", "output": []}))
        await conversations.keep_stream(exchange(BRIDGED), cast(Stream, said)).relay(said)
        assert said.heard[0] == created
        assert await conversations.store.get("alice", "resp_1") is None

    asyncio.run(run())


def test_a_caller_that_leaves_at_the_end_finds_its_answer_again() -> None:
    class Left(Said):
        async def relay(self, outlet: Any) -> None:
            await super().relay(outlet)
            raise asyncio.CancelledError

    async def run() -> None:
        conversations, said = memory(), Left(event("response.completed", response=ANSWER))
        with pytest.raises(asyncio.CancelledError):
            await conversations.keep_stream(exchange(BRIDGED), cast(Stream, said)).relay(said)
        assert await conversations.store.get("alice", "resp_1") is not None

    asyncio.run(run())


def test_what_no_upstream_keeps_is_forgotten_here_alone() -> None:
    async def run() -> None:
        conversations = await after(BRIDGED)
        kept = await conversations.store.get("alice", "resp_1")
        assert isinstance(kept, KeptResponse)
        await conversations.forget(kept, [BRIDGED])
        assert await conversations.store.get("alice", "resp_1") is None

    asyncio.run(run())


def test_what_an_upstream_keeps_that_is_gone_is_forgotten_here() -> None:
    async def run() -> None:
        conversations = await after(NATIVE)
        kept = await conversations.store.get("alice", "resp_1")
        assert isinstance(kept, KeptResponse)
        await conversations.forget(kept, [OTHER_NATIVE, BRIDGED])
        assert await conversations.store.get("alice", "resp_1") is None

    asyncio.run(run())


UNDER_WAY = {**ANSWER, "status": "in_progress", "background": True}


async def kept_of(answer: dict[str, Any], served_by: Deployment) -> tuple[Conversations, KeptResponse]:
    conversations = memory()
    await conversations.keep_whole(exchange(served_by, input="Hi"), Whole(json.encode(answer), None))
    kept = await conversations.store.get("alice", "resp_1")
    assert kept is not None
    return conversations, kept


@pytest.mark.parametrize(
    ("answer", "served_by"),
    [(ANSWER, NATIVE), ({**UNDER_WAY, "status": "completed"}, NATIVE), ({**UNDER_WAY, "status": "failed"}, BRIDGED)],
)
def test_an_answer_that_no_upstream_is_at_is_what_was_kept(answer: dict[str, Any], served_by: Deployment) -> None:
    async def run() -> None:
        conversations, kept = await kept_of(answer, served_by)
        assert await conversations.look(kept, [NATIVE, BRIDGED]) is kept

    asyncio.run(run())


def test_an_answer_under_way_at_an_upstream_that_is_gone_is_a_conflict() -> None:
    async def run() -> None:
        conversations, kept = await kept_of(UNDER_WAY, NATIVE)
        for ask in (conversations.look, conversations.cancel):
            with pytest.raises(Conflict, match="openai/m"):
                await ask(kept, [OTHER_NATIVE, BRIDGED])

    asyncio.run(run())


def test_only_an_answer_in_the_background_can_be_cancelled() -> None:
    async def run() -> None:
        conversations, kept = await kept_of(ANSWER, NATIVE)
        with pytest.raises(BadRequest, match="background"):
            await conversations.cancel(kept, [NATIVE])
        conversations, kept = await kept_of({**UNDER_WAY, "status": "completed"}, NATIVE)
        assert await conversations.cancel(kept, [NATIVE]) is kept

    asyncio.run(run())
