"""The end of every exchange, however it ended: figures to the meters, the reservation given back."""

from __future__ import annotations

from wye.canon.usage import Usage
from wye.gateway.exchange import Exchange
from wye.kernel import clock
from wye.ports.limiter import Limiter


class Settlement:
    def __init__(self, limiter: Limiter | None) -> None:
        self._limiter = limiter
        self.running = 0
        """Exchanges begun and not settled."""
        self.refused = 0
        """Exchanges that no deployment was asked for."""

    def begin(self, exchange: Exchange) -> None:
        """Reserve for a call. Raises LimitExceeded, and then there is nothing to settle."""
        if self._limiter is not None:
            exchange.reservation = self._limiter.reserve(exchange.principal, len(exchange.body) // 4)
        self.running += 1

    def end(self, exchange: Exchange, usage: Usage | None, *, failed: bool) -> None:
        self.running -= 1
        if self._limiter is not None and exchange.reservation is not None:
            # Without figures from the upstream the estimate stands: a cut answer is not free of charge.
            spent = usage.total_tokens if usage is not None else exchange.reservation.tokens
            self._limiter.settle(exchange.reservation, spent)
        if exchange.deployment is not None:
            exchange.deployment.meter.add(usage, clock.monotonic_s() - exchange.started_s, failed)
        else:
            self.refused += 1
