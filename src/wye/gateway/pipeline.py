"""The life of one request, on one screen.

auth (headers only) -> peek -> reserve -> plan -> attempt each deployment until one begins to answer -> relay -> settle.
Fallback ends at the first content byte: until then nothing has been said to the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from wye.dialects.dialect import EmbeddingDialect, demand_whole
from wye.gateway.cache.cache import AnswerCache
from wye.gateway.cache.control import CacheControl, take_control
from wye.gateway.deployment import Deployment, Route
from wye.gateway.embed import embed
from wye.gateway.exchange import Exchange, Stream, Whole
from wye.gateway.orchestrated import Cost, GatewayInference, orchestrate, unknown_cost
from wye.gateway.policy import attached, conversations, remembered
from wye.gateway.policy.auth import Auth
from wye.gateway.policy.cited import cited, is_cited
from wye.gateway.policy.conversations import Conversations
from wye.gateway.policy.remembered import Turn
from wye.gateway.policy.searched import searched
from wye.gateway.relay.continuation import continuing
from wye.gateway.relay.passthrough import pass_through, passes
from wye.gateway.relay.peek import model_of, peek, stream_of, take_orchestration
from wye.gateway.relay.several import translate_several
from wye.gateway.relay.translate import translate
from wye.gateway.routing.retry import Retry
from wye.gateway.routing.router import Router
from wye.gateway.settle import Settlement
from wye.gateway.straight import CACHE, ORCHESTRATION, Straight, Underway, answered, begin, speaks_to_wye
from wye.kernel import clock
from wye.kernel.errors import BadRequest, CapacityError, NotFound, UpstreamError
from wye.kernel.json import Raw, decode_body, encode
from wye.ports.attachments import Attachments
from wye.ports.citing import Citing
from wye.ports.file_search import FileSearches
from wye.ports.inference import Panel
from wye.ports.state import State

Answer = TypeVar("Answer", Whole, Whole | Stream)


class Pipeline:
    def __init__(
        self,
        auth: Auth,
        router: Router,
        settlement: Settlement,
        conversations: Conversations,
        state: State,
        kept: State,
        namespace: str = "wye",
        default_model: str | None = None,
        files: Attachments | None = None,
        cost: Cost = unknown_cost,
        searches: FileSearches | None = None,
        sessions: remembered.Open | None = None,
        citing: Citing | None = None,
    ) -> None:
        """`state` is what replicas share; `kept` holds the answers of routes with a cache, under `namespace`. `files`
        reads those that a request names, `searches` lets a model search them, `citing` tells what of them its answer
        rests on, `sessions` opens those that it may go on with; `cost` is what a deployment's tokens cost, asked for
        panels."""
        self.state = state
        self.cache = AnswerCache(kept, settlement, self._first, namespace)
        self.auth = auth
        self.conversations = conversations
        self.router = router
        self.settlement = settlement
        self.straight = Straight(auth, router, settlement, default_model, citing)
        self._default_model = default_model
        self._files = files
        self._cost = cost
        self._searches = searches
        self._sessions = sessions
        self._citing = citing

    async def chat(self, exchange: Exchange) -> Whole | Stream:
        """Answer one chat request of an authenticated caller. Raises WyeError.

        A stream that is returned has its first content; give it to `finish` when it is over, however it ended.
        """
        members = exchange.members = exchange.members or peek(exchange.body)
        if exchange.detect is not None:
            detected = exchange.detect(members)
            if detected is not exchange.dialect:
                exchange.dialect = detected
        to_wye = speaks_to_wye(exchange)
        panel = control = turn = None
        if to_wye:
            panel, control = self._take(exchange, members)
        if not exchange.model:  # else the path has named it
            exchange.model = model_of(members, self._default_model)
        if exchange.stream is None:
            exchange.stream = "stream" in members and stream_of(members)
        if self.auth.restricts:
            self.auth.allow(exchange.principal, "chat", exchange.model)
            if panel is not None:
                self.auth.allow(exchange.principal, "chat", panel.name)
        if to_wye:
            turn = await self._resume(exchange)
            await self._attach(exchange)
        if not self.settlement.begin_at_once(exchange):
            await self.settlement.begin(exchange)
        answer: Whole | Stream | None = None
        later = False
        try:
            route = Route(panel.name, [], panel=panel) if panel is not None else self.router.route(exchange.model)
            if route.strict:
                exchange.strict = True
            remembers = exchange.dialect.name == conversations.DIALECT
            if remembers:
                route = await self.conversations.resume(exchange, route)
                if self._searches is not None and "tools" in members:
                    route = await searched(exchange, route, self._searches)
            cites = exchange.dialect.cites or exchange.cited_files
            if cites and self._citing is not None and is_cited(exchange, route):
                route = await cited(exchange, route, self._citing)
            if self.settlement.funds:
                await self.settlement.fund(exchange, route)
            if remembers and self.conversations.begins_in_background(exchange, route):
                queued = await self.conversations.begin(exchange, partial(self._later, exchange, route, control))
                later = True
                return queued
            if route.plain:
                answer = await self._begin(exchange, route, self._attempt)
            else:
                answer = await self._answer(exchange, route, control)
            if turn is not None:
                answer = await turn.keep_whole(answer) if isinstance(answer, Whole) else turn.keep_stream(answer)
            if not remembers:
                return answer
            if isinstance(answer, Whole):
                return await self.conversations.keep_whole(exchange, answer)
            return self.conversations.keep_stream(exchange, answer)
        finally:
            if later:
                pass  # settled when it is made
            elif answer is None:
                self.settlement.end(exchange, None, failed=True)
            elif type(answer) is Whole:
                self.settlement.end(exchange, answer.usage, failed=False)

    def _take(self, exchange: Exchange, members: dict[str, Raw]) -> tuple[Panel | None, CacheControl | None]:
        """What a caller says to Wye of who is to answer, and of the cache, taken out of the body. Raises BadRequest."""
        panel = control = None
        if not ORCHESTRATION.isdisjoint(members):
            panel = self._panel(exchange, members)
        if not CACHE.isdisjoint(members):
            control = take_control(members)
            exchange.body = encode(members)
        return panel, control

    async def _attach(self, exchange: Exchange) -> None:
        """Put the files that a request names into it, unless another Wye answers, which has its own."""
        if attached.MEMBER not in exchange.members or self._files is None:
            return
        if not self.router.is_of_another_wye(exchange.model):
            await attached.attach(exchange, self._files)

    async def _resume(self, exchange: Exchange) -> Turn | None:
        """What was said in the session that a request names, unless another Wye answers, which has its own."""
        if remembered.MEMBER not in exchange.members and remembered.HEADER not in exchange.headers:
            return None
        if self._sessions is None or self.router.is_of_another_wye(exchange.model):
            return None
        try:
            window = self.router.route(exchange.model).window
        except NotFound:  # said by whoever routes it
            window = None
        return await remembered.resume(exchange, self._sessions, window)

    def _panel(self, exchange: Exchange, members: dict[str, Raw]) -> Panel | None:
        """The models that a request asks for by its `orchestration_mode` or `task_type`. Raises BadRequest."""
        named = exchange.model or (model_of(members, None) if "model" in members else "")
        if named and self.router.is_of_another_wye(named):
            exchange.model = named
            return None  # it is asked of that one
        mode, task_type = take_orchestration(members)
        exchange.body = encode(members)
        if self.router.panels is None or (mode is None and task_type is None):
            return None
        panel = self.router.panels.asked(named, mode, task_type)
        exchange.model = named or panel.name
        return panel

    async def _later(self, exchange: Exchange, route: Route, control: CacheControl | None) -> Whole:
        """The answer of a call whose caller has gone on. Raises WyeError."""
        answer: Whole | None = None
        try:
            made = await self._answer(exchange, route, control)
            assert isinstance(made, Whole), "no stream was asked for"
            answer = made
            return made
        finally:
            self.settlement.end(exchange, answer.usage if answer else None, failed=answer is None)

    def _answer(self, exchange: Exchange, route: Route, control: CacheControl | None) -> Awaitable[Whole | Stream]:
        if route.cache is None:
            return self._first(exchange, route)
        return self.cache.answer(exchange, route, route.cache, control)

    async def go_on(self, underway: Underway) -> Whole | Stream:
        """Answer a request that `straight` has begun, whatever it turned out to be. As `chat`."""
        exchange = underway.exchange
        answer: Whole | Stream | None = None
        try:
            answer = await self._begin(exchange, underway.route, self._attempt, underway.plan)
            return answer
        finally:
            if answer is None:
                self.settlement.end(exchange, None, failed=True)
            elif isinstance(answer, Whole):
                self.settlement.end(exchange, answer.usage, failed=False)

    def finish(self, exchange: Exchange, stream: Stream) -> None:
        """Let the upstream go and settle with what was seen: at the end, after an error, when the caller has left."""
        stream.close()
        self.settlement.end(exchange, stream.usage, failed=stream.failed)

    async def embed(self, exchange: Exchange, dialect: EmbeddingDialect, *, limited: bool = True) -> Whole:
        """Make the vectors that an authenticated caller asks for in that dialect. What Wye asks itself is not `limited`
        as its callers are. Raises WyeError."""
        members = exchange.members = peek(exchange.body)
        exchange.model = exchange.model or model_of(members, None)
        exchange.operation = "embeddings"
        self.auth.allow(exchange.principal, "embed", exchange.model)
        await self.settlement.begin(exchange, limited=limited)
        answer: Whole | None = None
        try:
            route = self.router.route(exchange.model)
            if route.panel is not None:
                raise BadRequest(f"'{route.name[:200]}' stands for several models: it makes no vectors", param="model")
            exchange.strict = exchange.strict or route.strict
            await self.settlement.fund(exchange, route)
            answer = await self._begin(exchange, route, partial(embed, caller=dialect))
            return answer
        finally:
            self.settlement.end(exchange, answer.usage if answer else None, failed=answer is None)

    @asynccontextmanager
    async def asking(self, exchange: Exchange) -> AsyncGenerator[GatewayInference]:
        """For what Wye asks models itself, on its caller's account. Raises LimitExceeded."""
        await self.settlement.begin(exchange)
        inference = GatewayInference(exchange, self.router, self.settlement, self._first)
        failed = True
        try:
            yield inference
            failed = False
        finally:
            self.settlement.end(exchange, inference.usage, failed=failed)

    async def count_tokens(self, exchange: Exchange) -> tuple[int, bool]:
        """Tokens of the request's input, and whether that figure is exact. Raises WyeError."""
        decode = exchange.dialect.decode_count
        assert decode is not None, "routes offer this only for dialects that have it"
        members = exchange.members = peek(exchange.body)
        exchange.model = exchange.model or model_of(members, self._default_model)
        self.auth.allow(exchange.principal, "count_tokens", exchange.model)
        route = self.router.route(exchange.model)
        if exchange.dialect.name == conversations.DIALECT:
            route = await self.conversations.resume(exchange, route)
        request = exchange.canonical(decode)
        if route.panel is not None:
            return _estimate(exchange), False
        deployment = route.deployments[0]
        if deployment.speaks(exchange.dialect) is not exchange.dialect:
            demand_whole(request, exchange.dialect)
        counted = await deployment.provider.count_tokens(deployment.model, request)
        return (counted, True) if counted is not None else (_estimate(exchange), False)

    def _first(self, exchange: Exchange, route: Route) -> Awaitable[Whole | Stream]:
        if route.panel is not None:
            inference = GatewayInference(exchange, self.router, self.settlement, self._first, self._cost, route.asks)
            return orchestrate(exchange, route.panel, inference)
        if route.continue_after_cut and exchange.stream:
            return continuing(exchange, route, self._ask, self.settlement)
        return self._ask(exchange, route)

    def _ask(self, exchange: Exchange, route: Route) -> Awaitable[Whole | Stream]:
        return self._begin(exchange, route, self._attempt)

    async def _begin(
        self,
        exchange: Exchange,
        route: Route,
        attempt: Callable[[Exchange, Deployment], Awaitable[Answer]],
        plan: list[Deployment] | None = None,
    ) -> Answer:
        """The first answer that begins well, of those who are planned. Raises the last failure."""
        started_s = clock.monotonic_s()
        if plan is None:
            plan = route.plan(started_s, len(exchange.body) // 4)
        everybody = plan is route.deployments or len(plan) == len(route.deployments)
        if exchange.trace is not None or not everybody:
            exchange.note(f"plan {', '.join(d.id for d in plan)}")
            for left_out in [d for d in route.deployments if d not in plan]:
                exchange.note(left_out.health.why(left_out.id, started_s))
        deployment = plan[0]
        retry: Retry | None = None
        while True:
            if exchange.sent is None:
                begin(exchange, deployment, started_s)
            else:  # it is begun
                started_s = exchange.asked_s
            answer: Answer | None = None
            wait_s = 0.0
            try:
                answer = await attempt(exchange, deployment)
            except (CapacityError, UpstreamError) as error:
                now_s = clock.monotonic_s()
                exchange.note(f"{deployment.id}: {error.status} {error.code} after {now_s - started_s:.3f} s")
                self.settlement.failed(exchange, error, now_s - started_s)
                retry = retry or Retry(plan, route.retries)
                wait_s = retry.after(error, now_s)
                deployment = retry.deployment
            finally:
                if answer is None:
                    deployment.health.end()
            if answer is not None:
                latency_s = answered(exchange, deployment)
                if exchange.trace is not None:
                    exchange.note(f"{deployment.id} began to answer after {latency_s:.3f} s")
                return answer
            if wait_s:
                exchange.note(f"waited {wait_s:.3f} s")
                await asyncio.sleep(wait_s)
            started_s = clock.monotonic_s()

    def _attempt(self, exchange: Exchange, deployment: Deployment) -> Awaitable[Whole | Stream]:
        if passes(exchange, deployment):
            return pass_through(exchange, deployment)
        upstream = deployment.speaks(exchange.dialect)
        if exchange.dialect.split is not None and exchange.listener is None:
            bodies = exchange.dialect.split(decode_body(exchange.body))
            if len(bodies) > 1:
                return translate_several(exchange, deployment, upstream, bodies)
        return translate(exchange, deployment, upstream)


def _estimate(exchange: Exchange) -> int:
    """Tokens without the model's tokenizer: about four bytes of text each, in most languages and vocabularies."""
    return max(1, len(exchange.body) // 4)
