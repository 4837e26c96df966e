"""The end of every exchange, however it ended: figures to the meters, the reservation given back."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

import msgspec

from wye.canon.usage import Usage
from wye.gateway.call_record import call_record
from wye.gateway.deployment import Deployment, Route
from wye.gateway.exchange import Exchange
from wye.gateway.policy.bookkeeping import Bookkeeper
from wye.gateway.policy.budgets import Budgets, RouteSpending, output_limit
from wye.gateway.policy.local_limits import LocalLimiter
from wye.gateway.policy.shared_limits import SharedLimiter
from wye.gateway.routing.health import is_its_own_fault
from wye.kernel import clock
from wye.kernel.errors import StreamCut, WyeError
from wye.ports.telemetry import Attempt, Telemetry

TRACES = 50
_log = logging.getLogger("wye")


class Trace(msgspec.Struct, frozen=True):
    """How one answer came about."""

    request_id: str
    model: str
    outcome: str
    """`answered` or `failed`."""
    seconds: float
    tokens: int | None
    steps: list[str]
    ended_s: float
    """Seconds since 1970."""


class Settlement:
    def __init__(
        self,
        limiter: LocalLimiter | SharedLimiter | None,
        telemetry: Sequence[Telemetry] = (),
        budgets: Budgets | None = None,
        bookkeeper: Bookkeeper | None = None,
    ) -> None:
        self._local, self._shared = (None, limiter) if isinstance(limiter, SharedLimiter) else (limiter, None)
        self._budgets = budgets
        self.funds = budgets is not None
        """Whether `fund` may have something to do."""
        self._bookkeeper = bookkeeper
        self._telemetry = telemetry
        self.running = 0
        """Exchanges begun and not settled."""
        self.refused = 0
        """Exchanges that no deployment was asked for."""
        self.traces: deque[Trace] = deque(maxlen=TRACES)
        """The latest exchanges that did not go straight."""

    def degraded(self) -> dict[str, str]:
        """What is not as it should be, and how."""
        checks = {"limits": self._shared, "ledger": self._bookkeeper}
        return {name: reason for name, part in checks.items() if part is not None and (reason := part.degraded)}

    async def route_spending(self) -> dict[str, RouteSpending]:
        """What routes with a budget cost so far."""
        return await self._budgets.of_routes() if self._budgets is not None else {}

    async def begin(self, exchange: Exchange, *, limited: bool = True) -> None:
        """Reserve for a call. Raises LimitExceeded, and then there is nothing to settle."""
        if not limited:
            self.running += 1
        elif not self.begin_at_once(exchange):
            assert self._shared is not None, "nobody else is waited for"
            exchange.reservation = await self._shared.reserve(exchange.principal, len(exchange.body) // 4)
            self.running += 1

    def begin_at_once(self, exchange: Exchange) -> bool:
        """`begin` where nobody must be waited for; False where somebody must, and then nothing is begun."""
        if self._local is not None:
            exchange.reservation = self._local.reserve(exchange.principal, len(exchange.body) // 4)
        elif self._shared is not None:
            return False
        self.running += 1
        return True

    async def fund(self, exchange: Exchange, route: Route, max_tokens: int | None = None) -> None:
        """Reserve money for a call that is begun, whose answer may be so long; None leaves that to the request's own
        words. Raises LimitExceeded."""
        if self._budgets is not None:
            exchange.spending = await self._budgets.reserve(
                exchange.principal,
                exchange.model,
                route.deployments,
                len(exchange.body) // 4,
                output_limit(exchange.members) if max_tokens is None else max_tokens,
            )

    def failed(self, exchange: Exchange, error: WyeError, seconds: float) -> None:
        """An attempt that came to nothing. Its tokens are nobody's: what it used is the upstream's loss."""
        deployment = exchange.deployment
        assert deployment is not None, "somebody was asked"
        deployment.meter.add(None, seconds, failed=True)
        self._attempted(exchange, deployment, clock.monotonic_s() - seconds, error)
        if is_its_own_fault(error):
            deployment.health.failed(error, clock.monotonic_s())

    def broke_off(self, exchange: Exchange, error: WyeError) -> None:
        """An answer that another deployment goes on with; the figures of both are told at the end."""
        serving = exchange.serving
        assert serving is not None, "somebody answered"
        self.served(exchange, None, failed=True)
        self._attempted(exchange, serving, exchange.asked_s, error)

    def end(self, exchange: Exchange, usage: Usage | None, *, failed: bool) -> None:
        self.running -= 1
        reservation = exchange.reservation
        if reservation is not None:
            if exchange.cache is not None and exchange.cache in ("hit", "join"):
                spent = 0  # the answer is paid for
            elif usage is not None:
                spent = usage.total_tokens
            else:
                spent = reservation.tokens  # the estimate stands: a cut answer is not free of charge
            reservation.settle(spent)
        if self.funds or self._bookkeeper is not None:
            self.pay(exchange, usage, failed=failed)
        if exchange.trace:
            self._tell(exchange, usage, failed)
        if exchange.serving is not None:
            self.served(exchange, usage, failed=failed)
        elif exchange.deployment is None and not exchange.attempts:
            self.refused += 1
        if self._telemetry:
            record = call_record(exchange, usage, failed)
            for telemetry in self._telemetry:
                telemetry.record(record)

    def pay(self, exchange: Exchange, usage: Usage | None, *, failed: bool) -> None:
        """Settle the money of a call, and write it down. One that several models answered is paid model by model."""
        answered = _answered(exchange, usage, failed)
        if self._budgets is not None and exchange.spending is not None:
            paid = exchange.cache in ("hit", "join")
            self._budgets.settle(exchange.spending, answered, usage, paid=paid)
        if self._bookkeeper is not None and (answered is not None or failed):
            self._bookkeeper.record(exchange, answered, usage, failed=failed)

    def served(self, exchange: Exchange, usage: Usage | None, *, failed: bool) -> None:
        """The end of an upstream's answer."""
        serving = exchange.serving
        if serving is None:
            return  # a panel: its members are settled one by one
        now_s = clock.monotonic_s()
        serving.health.end()
        if failed:
            serving.health.failed(StreamCut("an answer broke off"), now_s)
        serving.meter.add(usage, now_s - exchange.started_s, failed)

    def _attempted(self, exchange: Exchange, deployment: Deployment, began_s: float, error: WyeError) -> None:
        if self._telemetry:
            provider, model = deployment.provider.name, deployment.model
            failure = Attempt(deployment.id, provider, model, began_s, clock.monotonic_s(), error.code)
            exchange.failures = [*(exchange.failures or ()), failure]

    def _tell(self, exchange: Exchange, usage: Usage | None, failed: bool) -> None:
        """Keep and log how an answer came about, where that is worth a word."""
        seconds = clock.monotonic_s() - exchange.started_s
        steps = exchange.trace or []
        outcome = "failed" if failed else "answered"
        tokens = usage.total_tokens if usage is not None else None
        self.traces.append(
            Trace(exchange.request_id, exchange.model, outcome, round(seconds, 3), tokens, steps, clock.wall_s())
        )
        _log.info("%s %s %s after %.3f s: %s", exchange.request_id, exchange.model, outcome, seconds, "; ".join(steps))


def _answered(exchange: Exchange, usage: Usage | None, failed: bool) -> Deployment | None:
    """Whose answer a caller was given, be it through a cache; None where it was nobody's."""
    if exchange.serving is None and exchange.cache is not None and (usage is not None or not failed):
        return exchange.deployment
    return exchange.serving
