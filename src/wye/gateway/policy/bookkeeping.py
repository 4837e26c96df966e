"""Every call goes into the ledger: behind its answer, many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from wye.canon.usage import Usage
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange
from wye.gateway.policy.prices import Prices
from wye.kernel import clock
from wye.kernel.ids import new_id
from wye.ports.ledger import Entry, Ledger
from wye.ports.store import StoreAway

WRITTEN_S = 1.0
"""How long an entry waits for others; what a kill -9 loses."""
MAX_WAITING = 100_000
"""Entries that wait for a database that is away, some 50 MB; beyond that the oldest are lost."""
_AT_ONCE = 5000
_LAST_S = 10.0
"""How long an end may take to write what waits."""

_log = logging.getLogger("wye")


class Bookkeeper:
    def __init__(self, ledger: Ledger, prices: Prices) -> None:
        self._ledger = ledger
        self._prices = prices
        self._waiting: deque[Entry] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.lost = 0

    @property
    def degraded(self) -> str | None:
        """What is not as it should be; None when all is written."""
        lost = f", {self.lost} are lost" if self.lost else ""
        return f"{len(self._waiting)} entries wait for the database{lost}" if self._ledger.away or self.lost else None

    def record(self, exchange: Exchange, deployment: Deployment | None, usage: Usage | None, *, failed: bool) -> None:
        """Note a call that is over, answered by that deployment."""
        usage = usage or Usage()
        paid = exchange.cache in ("hit", "join")
        cost = 0
        if deployment is not None and not paid:
            cost = self._prices.cost_micro_usd(deployment.provider.name, deployment.model, usage)
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(
            Entry(
                id=new_id("call_"),
                at_s=clock.wall_s(),
                principal=exchange.principal,
                model=exchange.model[:200],
                deployment=deployment.id[:200] if deployment is not None else None,
                status="failed" if failed else "answered",
                cache=exchange.cache if paid else None,
                input_tokens=usage.input_tokens or 0,
                output_tokens=usage.output_tokens or 0,
                cached_tokens=usage.cached_tokens or 0,
                cost_micro_usd=cost,
            )
        )
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def stop(self) -> None:
        """Write what waits."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        until_s = clock.monotonic_s() + _LAST_S
        while self._waiting and clock.monotonic_s() < until_s:
            if not await self._write():
                await asyncio.sleep(WRITTEN_S / 4)
        if self._waiting:
            _log.error("The ledger's database is away: %d entries are lost", len(self._waiting))

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(WRITTEN_S)
            while self._waiting and await self._write():
                pass

    async def _write(self) -> bool:
        """Write the oldest. An entry that was written by a call that was cut off is not written twice: it has an id."""
        entries = [self._waiting[i] for i in range(min(_AT_ONCE, len(self._waiting)))]
        try:
            await self._ledger.add(entries)
        except StoreAway:
            return False
        for entry in entries:
            if self._waiting and self._waiting[0] is entry:  # else it was lost meanwhile
                self._waiting.popleft()
        return True
