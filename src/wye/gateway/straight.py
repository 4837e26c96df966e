"""A whole answer of the caller's own dialect, without a task: one step when the request has come, one when the answer.

Most calls take no more. Whatever turns out to be otherwise goes on in a task, from where it stands: `Pipeline.go_on`.
"""

from __future__ import annotations

import logging

import msgspec

from wye.gateway.deployment import Deployment, Route
from wye.gateway.exchange import Exchange, Whole
from wye.gateway.policy import attached, conversations, remembered
from wye.gateway.policy.auth import Auth
from wye.gateway.policy.cited import is_cited
from wye.gateway.relay.answer import BESIDE_ANSWERS, MAX_ANSWER_BYTES, heard
from wye.gateway.relay.passthrough import call_of, passes, whole
from wye.gateway.relay.peek import model_of, peek, stream_of
from wye.gateway.routing.router import Router
from wye.gateway.settle import Settlement
from wye.kernel import clock
from wye.ports.citing import Citing
from wye.ports.transport import Sent

log = logging.getLogger("wye")

ORCHESTRATION = frozenset({"orchestration_mode", "task_type"})
CACHE = frozenset({"cache", "extra_body"})
_TO_WYE = ORCHESTRATION | CACHE | {remembered.MEMBER, attached.MEMBER}
"""Members by which a caller may speak to Wye, beside its dialect. Most say none, and are asked but once."""


class Underway(msgspec.Struct, frozen=True):
    """A request that is begun: what was reserved for it is to be settled."""

    exchange: Exchange
    route: Route
    plan: list[Deployment] | None
    """None where nobody could be asked."""

    @property
    def body_s(self) -> float:
        """How long the body of an answer may take after its head."""
        assert self.plan, "somebody was asked"
        return self.plan[0].clocks.headers_s


class Straight:
    def __init__(
        self, auth: Auth, router: Router, settlement: Settlement, default_model: str | None, citing: Citing | None
    ) -> None:
        self._auth = auth
        self._router = router
        self._settlement = settlement
        self._default_model = default_model
        self._citing = citing

    def ask(self, exchange: Exchange) -> Underway | None:
        """Begin the chat request of an authenticated caller, and send it on (`exchange.sent`) where nothing must be
        waited for. None where it takes more than that, or is to be refused: then nothing is begun."""
        try:
            members = exchange.members = peek(exchange.body)
            if exchange.trace is not None or ("stream" in members and stream_of(members)):
                return None
            if exchange.detect is not None:
                exchange.dialect = exchange.detect(members)
            dialect = exchange.dialect
            if speaks_to_wye(exchange) or dialect.name == conversations.DIALECT or self._settlement.funds:
                return None
            exchange.model = model_of(members, self._default_model)
            if self._auth.restricts:
                self._auth.allow(exchange.principal, "chat", exchange.model)
            route = self._router.route(exchange.model)
            if not route.plain or (dialect.cites and self._citing is not None and is_cited(exchange, route)):
                return None
            if not self._settlement.begin_at_once(exchange):
                return None
        except Exception:  # whatever is wrong is found again, and told, on the long way
            return None
        exchange.stream = False
        exchange.strict = exchange.strict or route.strict
        now_s = exchange.started_s  # it came this very moment
        plan: list[Deployment] | None = None
        try:
            plan = route.plan(now_s, len(exchange.body) // 4)
            deployment = plan[0]
            if len(plan) == len(route.deployments) and passes(exchange, deployment):
                sent = deployment.provider.call_at_once(call_of(exchange, deployment)[0])
                if sent is not None:
                    begin(exchange, deployment, now_s)
                    exchange.sent = sent
        except Exception:  # the same: it is settled there
            log.debug("%s goes the long way", exchange.request_id, exc_info=True)
        return Underway(exchange, route, plan)

    def answer(self, exchange: Exchange, sent: Sent) -> Whole | None:
        """The answer, settled, where it has come well and whole; None, with nothing done, where it has not."""
        deployment = exchange.deployment
        assert deployment is not None, "somebody was asked"
        body = sent.body_at_once(MAX_ANSWER_BYTES) if sent.status < 400 else None
        if body is None:
            return None
        try:
            said = whole(exchange, sent.headers, body)
        except Exception:  # the same
            return None
        if not sent.headers.keys().isdisjoint(BESIDE_ANSWERS):
            heard(exchange, deployment, sent.headers)
        exchange.sent = None
        answered(exchange, deployment)
        self._settlement.end(exchange, said.usage, failed=False)
        return said


def speaks_to_wye(exchange: Exchange) -> bool:
    return not _TO_WYE.isdisjoint(exchange.members) or remembered.HEADER in exchange.headers


def begin(exchange: Exchange, deployment: Deployment, now_s: float) -> None:
    """A deployment is asked."""
    exchange.attempts += 1
    exchange.deployment = deployment
    exchange.asked_s = now_s
    deployment.health.begin(now_s)


def answered(exchange: Exchange, deployment: Deployment) -> float:
    """It has begun to answer well: after how many seconds."""
    now_s = clock.monotonic_s()
    exchange.serving = deployment
    exchange.first_s = latency_s = now_s - exchange.asked_s
    deployment.health.answered(latency_s, now_s)
    return latency_s
