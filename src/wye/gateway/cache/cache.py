"""The exact cache: the same question gets the answer that was given, or the one that is being given.

A caller hears a kept answer (hit), joins one under way, here or at another replica (join), or begins one (miss). What
is under way belongs to nobody: it goes on while anybody listens, and is kept when it ends well.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from wye.canon.digest import digest
from wye.canon.events import End, Failure, Start
from wye.gateway.cache.control import CacheControl, CachePolicy, Status
from wye.gateway.cache.entry import Entry, decode_entry, encode_entry, kept
from wye.gateway.cache.live import Listener, Live, begun, whole
from wye.gateway.cache.sharing import Sharing
from wye.gateway.deployment import Deployment, Route
from wye.gateway.exchange import Exchange, Outlet, Stream, Whole
from wye.gateway.relay.answer import say_in_headers, whole_answer
from wye.gateway.settle import Settlement
from wye.kernel import clock
from wye.kernel.errors import StreamCut, UpstreamError
from wye.kernel.json import encode
from wye.ports.state import State, StateAway

_log = logging.getLogger("wye")

Ask = Callable[[Exchange, Route], Awaitable[Whole | Stream]]

_TELLING_HEADERS = (b"anthropic-beta", b"anthropic-version", b"openai-beta")
"""Headers of a caller that may change an answer."""


_AS_THE_ROUTE_SAYS = CacheControl()


class AnswerCache:
    def __init__(self, state: State, settlement: Settlement, ask: Ask, namespace: str = "wye") -> None:
        self._state = state
        self._settlement = settlement
        self._ask = ask
        self._prefix = f"{namespace}:cache:"
        self._sharing = Sharing(state, f"{namespace}:live:")
        self._lives: dict[str, Live] = {}

    async def clear(self) -> int:
        """Forget every kept answer; gives back how many there were. Raises StateAway."""
        return await self._state.clear(self._prefix)

    async def answer(
        self, exchange: Exchange, route: Route, policy: CachePolicy, control: CacheControl | None
    ) -> Whole | Stream:
        """Answer from what is kept or under way, else ask. Raises WyeError."""
        control = control or _AS_THE_ROUTE_SAYS
        if (not control.read and not control.store) or not exchange.has_canonical():
            exchange.cache = "bypass"
            policy.counts["bypass"] += 1
            return await self._ask(exchange, route)
        request = exchange.canonical()
        key = self._key(exchange, route, policy)
        live = self._lives.get(key) if control.read else None
        joins = live is not None
        if live is None:
            live = self._begin(key, exchange, route, policy, control)
        live.listeners += 1
        listener = Listener(live, exchange.speaks.stream_encoder(request, exchange.losses))
        streams = False
        try:
            try:
                await begun(live)
            finally:
                _learn(exchange, live, joins=joins)
            status: Status = "join" if joins else live.status
            exchange.cache = status
            policy.counts[status] += 1
            for loss in live.losses:
                exchange.losses.add(loss.field, loss.reason, loss.severity)
            if exchange.strict:
                exchange.losses.refuse()
            if exchange.stream:
                streams = True
                if isinstance(live.events[0], Start):
                    say_in_headers(exchange, live.events[0], streamed=True)
                return listener
            return whole_answer(exchange, request, await whole(live))
        finally:
            if not streams:
                listener.close()

    def _begin(self, key: str, exchange: Exchange, route: Route, policy: CachePolicy, control: CacheControl) -> Live:
        live = Live()
        # A copy: the call outlives its caller where others listen.
        asking = msgspec.structs.replace(exchange, lost=None, reservation=None, listener=live)
        live.asked = asking
        ttl_s = min(policy.ttl_s, control.ttl_s or policy.ttl_s) if control.store else None
        if control.read:
            self._lives[key] = live
        else:
            live.status = "bypass"
        work = self._find if control.read else self._call
        task = live.task = asyncio.create_task(work(key, live, asking, route, ttl_s))
        task.add_done_callback(lambda _: self._over(key, live, task))
        return live

    def _over(self, key: str, live: Live, task: asyncio.Task[None]) -> None:
        """However the work ended, also before it began: those who listen are told."""
        if self._lives.get(key) is live:
            del self._lives[key]
        if task.cancelled():
            live.finish(StreamCut("Nobody listens any longer"))
            return
        error = task.exception()
        if isinstance(error, UpstreamError) and live.opened:
            live.hear([Failure(error)])
            error = None
        if error is not None and live.opened:
            _log.error("An answer under way broke off", exc_info=error)  # its callers are told no more than that
        live.finish(error)

    async def _find(self, key: str, live: Live, exchange: Exchange, route: Route, ttl_s: float | None) -> None:
        """What is kept, else what another replica is told, else what the upstream says."""
        if await self._replay(key, live, route):
            return
        while (run := await self._sharing.lead(key)) is None:
            live.status = "join"
            if await self._sharing.hear(key, live, lambda name: _named(route, name)):
                return
            live.status = "miss"
        self._sharing.tell(key, live, run)
        if run.shared and await self._replay(key, live, route):
            return  # its teller has just ended
        await self._call(key, live, exchange, route, ttl_s)

    async def _replay(self, key: str, live: Live, route: Route) -> bool:
        try:
            data = await self._state.get(self._prefix + key)
        except StateAway:
            return False
        entry = decode_entry(data) if data is not None else None
        if entry is None:
            return False
        live.status = "hit"
        live.hear([*entry.events])
        live.open(_named(route, entry.deployment), 0, entry.losses)
        return True

    async def _call(self, key: str, live: Live, exchange: Exchange, route: Route, ttl_s: float | None) -> None:
        stream: Stream | None = None
        try:
            answer = await self._ask(exchange, route)
            live.open(exchange.deployment, exchange.attempts, exchange.losses)
            if isinstance(answer, Whole):
                self._settlement.served(exchange, answer.usage, failed=False)
            else:
                stream = answer
                await stream.relay(_NOBODY)
        finally:
            if stream is not None:
                stream.close()
                self._settlement.served(exchange, stream.usage, failed=stream.failed)
        if ttl_s is not None and live.events and isinstance(live.events[-1], End):
            deployment = live.deployment.id if live.deployment is not None else ""
            entry = Entry(kept(live.events), deployment, list(live.losses), clock.unix_s())
            with suppress(StateAway):  # the answer is given without being kept: /health says why
                await self._state.put(self._prefix + key, encode_entry(entry), ttl_s)

    def _key(self, exchange: Exchange, route: Route, policy: CachePolicy) -> str:
        """Of this caller, unless its route shares: nobody must read what another has asked."""
        whose = "" if policy.shared else exchange.principal
        headers = [exchange.headers.get(name, b"").decode("latin-1") for name in _TELLING_HEADERS]
        said = encode([route.name, whose, exchange.strict, headers, digest(exchange.canonical())])
        return hashlib.sha256(said).hexdigest()


class _Nobody(Outlet):
    """The outlet of a call whose answer goes to those who listen."""

    def say(self, data: bytes) -> bool:
        return True

    async def drained(self) -> None: ...


_NOBODY = _Nobody()


def _learn(exchange: Exchange, live: Live, *, joins: bool) -> None:
    """What has become of the call that was made for this caller, or for the one that it has joined."""
    asked = live.asked
    assert asked is not None, "there is a call for every answer"
    exchange.deployment = live.deployment or asked.deployment
    exchange.attempts = live.attempts or asked.attempts
    exchange.trace = asked.trace
    if not joins:
        exchange.failures, exchange.asked_s, exchange.first_s = asked.failures, asked.asked_s, asked.first_s


def _named(route: Route, name: str | None) -> Deployment | None:
    return next((deployment for deployment in route.deployments if deployment.id == name), None)
