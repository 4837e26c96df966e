"""Going on from an earlier answer by its id, also at upstreams that keep none.

https://platform.openai.com/docs/guides/conversation-state
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from msgspec.structs import replace

from wye.canon.loss import Losses
from wye.canon.response import ChatResponse
from wye.dialects.dialect import demand_whole
from wye.dialects.openai_responses.conversation import continued, items_of, with_ids
from wye.dialects.registry import DIALECTS
from wye.gateway.deployment import Deployment, Route
from wye.gateway.exchange import Exchange, ListenedStream, Outlet, Stream, Whole
from wye.gateway.policy.background import Background, is_under_way
from wye.gateway.policy.kept_responses import KeptResponse, KeptResponses
from wye.gateway.relay.answer import MAX_ANSWER_BYTES, raise_refusal
from wye.kernel import clock
from wye.kernel.errors import BadRequest, Conflict, NotFound
from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, JsonObject, Raw, as_object, decode, decode_answer, encode, split_object
from wye.kernel.sse import frame, parse, split
from wye.ports.provider import Call, Operation
from wye.ports.state import State

DIALECT = "openai_responses"
"""The only dialect whose requests may name an earlier answer."""

_LAST_EVENTS = (b"response.completed", b"response.incomplete")
_EVENTS_WITH_ANSWER = (
    *_LAST_EVENTS,
    b"response.created",
    b"response.queued",
    b"response.in_progress",
    b"response.failed",
)


class Conversations:
    def __init__(self, store: KeptResponses, state: State, namespace: str = "wye") -> None:
        """`state` is what replicas share: through it they know of answers that are made in the background."""
        self.store = store
        self.background = Background(store, state, namespace)

    async def resume(self, exchange: Exchange, route: Route) -> Route:
        """The route for a request that goes on from an earlier answer.

        An upstream that has that answer is asked with the id alone; any other is given all that was said before. What
        Wye does not know is left to upstreams that speak the dialect themselves. Raises NotFound, Conflict.
        """
        previous = _value(exchange.members.get("previous_response_id"))
        if not isinstance(previous, str):
            return route
        kept = await self.store.get(exchange.principal, previous)
        if kept is None:
            native = [d for d in route.deployments if d.speaks(exchange.dialect) is exchange.dialect]
            if not native:
                raise NotFound(
                    f"Previous response with id '{previous[:100]}' not found.",
                    param="previous_response_id",
                    code="previous_response_not_found",
                )
            return route.only(native)
        if kept.upstream_has_it:
            same = [deployment for deployment in route.deployments if deployment.id == kept.deployment]
            if not same:
                raise Conflict(
                    f"Response '{previous[:100]}' was given by {kept.deployment}, which does not answer for "
                    f"'{exchange.model}' any longer: send the whole conversation instead",
                    param="previous_response_id",
                )
            return route.only(same)
        response: JsonObject = decode(kept.response)
        if is_under_way(response):
            raise Conflict(f"Response '{previous[:100]}' is not complete yet", param="previous_response_id")
        whole = continued(decode(kept.items), response["output"], _value(exchange.members.get("input")))
        exchange.members = {
            **{name: value for name, value in exchange.members.items() if name != "previous_response_id"},
            "input": Raw(encode(whole)),
        }
        exchange.body = encode(exchange.members)
        exchange.continues = previous
        return route

    async def keep(self, exchange: Exchange, response: JsonObject) -> None:
        """Keep an answer, unless its caller wants none kept."""
        response_id = response.get("id")
        if keeps(exchange) and isinstance(response_id, str) and isinstance(response.get("output"), list):
            await self.store.put(_kept(exchange, response_id, response))

    def begins_in_background(self, exchange: Exchange, route: Route) -> bool:
        """Whether an answer is to be made while nobody waits, by upstreams that do not offer it themselves."""
        asked = bytes(exchange.members.get("background", b"")) == b"true" and not exchange.stream
        return asked and not any(_is_native(exchange, deployment) for deployment in route.deployments)

    async def begin(self, exchange: Exchange, answer: Callable[[], Awaitable[Whole]]) -> Whole:
        """Say that an answer is queued, and begin to make it.

        Raises BadRequest for one that cannot be looked up later, and what is wrong with the request; Overloaded.
        """
        if not keeps(exchange):
            raise BadRequest("A background response must be stored: leave out `store`", param="store")
        self.background.check_room()
        queued = _queued(exchange)
        kept = _kept(exchange, queued["id"], queued)
        del exchange.members["background"]
        exchange.body, exchange.request = encode(exchange.members), None
        await self.background.start(kept, answer, exchange.losses)
        return Whole(kept.response, None)

    async def look(self, kept: KeptResponse, deployments: Iterable[Deployment]) -> KeptResponse:
        """An answer as it is now. Raises UpstreamError, Conflict where it is under way and its upstream cannot tell."""
        if not is_under_way(decode(kept.response)):
            return kept
        if not kept.upstream_has_it:
            return await self.background.look(kept)
        return await self._renewed(kept, "show_response", deployments)

    async def cancel(self, kept: KeptResponse, deployments: Iterable[Deployment]) -> KeptResponse:
        """The answer as it is after that: only one that is under way changes.

        Raises BadRequest for one that its caller has waited for, UpstreamError and Conflict as `look` does.
        """
        response = decode(kept.response)
        if not response.get("background"):
            raise BadRequest(
                f"Response '{kept.id}' cannot be cancelled: it was not asked for with `background`", param="id"
            )
        if not is_under_way(response):
            return kept
        if not kept.upstream_has_it:
            return await self.background.cancel(kept)
        return await self._renewed(kept, "cancel_response", deployments)

    async def _renewed(
        self, kept: KeptResponse, operation: Operation, deployments: Iterable[Deployment]
    ) -> KeptResponse:
        for deployment in deployments:
            if deployment.id == kept.deployment:
                said = decode_answer(await _ask(deployment, operation, kept.id))
                renewed = replace(kept, response=encode(said))
                await self.store.put(renewed)
                return renewed
        raise Conflict(f"Response '{kept.id}' is with {kept.deployment}, which is configured no longer", param="id")

    async def forget(self, kept: KeptResponse, deployments: Iterable[Deployment]) -> None:
        """Here, and at the upstream that keeps it too. Raises UpstreamError when that fails: it is still there then."""
        if kept.upstream_has_it:
            for deployment in deployments:
                if deployment.id == kept.deployment:
                    await _ask(deployment, "delete_response", kept.id, gone_is_well=True)
                    break
        await self.background.cancel(kept)
        await self.store.delete(kept.principal, kept.id)

    async def keep_whole(self, exchange: Exchange, answer: Whole) -> Whole:
        """The answer, as it is kept: with the id of the one that it goes on from."""
        if exchange.continues is not None:
            answer = Whole(_going_on(answer.body, exchange.continues), answer.usage)
        if keeps(exchange):
            await self.keep(exchange, as_object(decode(answer.body)) or {})
        return answer

    def keep_stream(self, exchange: Exchange, stream: Stream) -> Stream:
        return KeptStream(self, exchange, stream)


def keeps(exchange: Exchange) -> bool:
    """Whether an answer is to be kept: what the API does unless `store` is false."""
    return bytes(exchange.members.get("store", b"true")) != b"false"


class KeptStream(ListenedStream):
    """A stream whose last event, which repeats the whole answer, is kept."""

    def __init__(self, conversations: Conversations, exchange: Exchange, stream: Stream) -> None:
        super().__init__(stream)
        self._conversations = conversations
        self._exchange = exchange

    async def relay(self, outlet: Outlet) -> None:
        last = _LastEvent(outlet, self._exchange.continues)
        try:
            await self._stream.relay(last)
        finally:
            # Clients leave as soon as they have heard the end, which cancels this.
            if last.response is not None:
                await asyncio.shield(self._conversations.keep(self._exchange, last.response))


class _LastEvent(Outlet):
    """Passes frames on, and holds the answer that the last of them repeats. Frames come whole.

    Every answer in them is told to go on from the one named `continues`.
    """

    def __init__(self, outlet: Outlet, continues: str | None) -> None:
        self._outlet = outlet
        self._continues = continues
        self.drained = outlet.drained
        self.response: JsonObject | None = None

    def say(self, data: bytes) -> bool:
        if self._continues is not None and any(event in data for event in _EVENTS_WITH_ANSWER):
            data = b"".join(_frame_going_on(frame, self._continues) for frame in split(data))
        if any(event in data for event in _LAST_EVENTS):
            for frame in parse(data):
                event = _object(frame.data)
                if str(event.get("type", "")).encode() in _LAST_EVENTS:
                    self.response = as_object(event.get("response"))
        return self._outlet.say(data)


def _frame_going_on(whole: bytes, previous: str) -> bytes:
    """A frame as it came, or with its answer told to go on from that one."""
    for found in parse(whole):
        event = _object(found.data)
        response = as_object(event.get("response"))
        if response is not None and str(event.get("type", "")).encode() in _EVENTS_WITH_ANSWER:
            response["previous_response_id"] = previous
            return frame(encode(event), found.event)
    return whole


def _going_on(body: bytes, previous: str) -> bytes:
    return encode({**split_object(body), "previous_response_id": previous})


async def _ask(deployment: Deployment, operation: Operation, response_id: str, *, gone_is_well: bool = False) -> bytes:
    """What an upstream says of an answer that it keeps. Raises UpstreamError."""
    call = Call(DIALECT, deployment.model, b"", operation=operation, subject=response_id, clocks=deployment.clocks)
    reply = await deployment.provider.call(call)
    try:
        if reply.status >= 400 and not (gone_is_well and reply.status == 404):
            await raise_refusal(reply, DIALECTS[DIALECT])
        return await reply.read_all(MAX_ANSWER_BYTES, deployment.clocks.headers_s)
    finally:
        reply.close()


def _kept(exchange: Exchange, response_id: str, response: JsonObject) -> KeptResponse:
    deployment = exchange.deployment
    return KeptResponse(
        id=response_id,
        principal=exchange.principal,
        response=encode(response),
        items=encode(with_ids(items_of(_value(exchange.members.get("input"))))),
        deployment=deployment.id if deployment is not None else "",
        upstream_has_it=deployment is not None and _is_native(exchange, deployment),
    )


def _queued(exchange: Exchange) -> JsonObject:
    """An answer of which nothing is known but what was asked. Raises BadRequest."""
    dialect, request = exchange.dialect, exchange.canonical()
    demand_whole(request, dialect)
    nothing = ChatResponse(id=new_id("resp_"), model=exchange.model, created=clock.unix_s(), choices=[])
    assert dialect.echo is not None, "answers of Responses repeat their request"
    response = dialect.encode_response(dialect.echo(request, nothing), Losses())
    return {**response, "status": "queued", "previous_response_id": exchange.continues}


def _is_native(exchange: Exchange, deployment: Deployment) -> bool:
    return deployment.provider.passthrough and deployment.speaks(exchange.dialect) is exchange.dialect


def _value(raw: Raw | None) -> Any:
    return None if raw is None else decode(raw)


def _object(data: bytes) -> JsonObject:
    try:
        return as_object(decode(data)) or {}
    except JsonError:
        return {}
