"""Every call goes into the ledger: into the journal as it ends, from there behind its answer, many at a time."""

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
from wye.ports.ledger import Entry, Journal, Ledger, Leftover
from wye.ports.store import StoreAway

WRITTEN_S = 1.0
"""How long an entry waits for others."""
MAX_WAITING = 100_000
"""Entries that wait for a database that is away, some 50 MB; beyond that the oldest are lost."""
_AT_ONCE = 5000
_LAST_S = 10.0
"""How long an end may take to write what waits."""

_log = logging.getLogger("wye")


class Bookkeeper:
    def __init__(self, ledger: Ledger, journal: Journal, prices: Prices) -> None:
        self._ledger = ledger
        self._journal = journal
        self._prices = prices
        self._waiting: deque[Entry] = deque()
        self._left_behind: deque[Leftover] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.lost = 0

    @property
    def degraded(self) -> str | None:
        """What is not as it should be; None when all is written."""
        lost = f", {self.lost} are lost" if self.lost else ""
        if self._ledger.away or self.lost:
            return f"{len(self._waiting)} entries wait for the database{lost}"
        return self._journal.away

    async def start(self) -> None:
        """Bring in what processes before this one have left; where the database is away, later."""
        self._left_behind.extend(self._journal.left_behind())
        if self._left_behind and not await self._bring_in():
            self._writer = asyncio.create_task(self._write_soon())

    def record(self, exchange: Exchange, deployment: Deployment | None, usage: Usage | None, *, failed: bool) -> None:
        """Note a call that is over, answered by that deployment."""
        usage = usage or Usage()
        paid = exchange.cache in ("hit", "join")
        cost = 0
        if deployment is not None and not paid:
            cost = self._prices.cost_micro_usd(deployment.provider.name, deployment.model, usage)
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._journal.done(1)
            self.lost += 1
        entry = Entry(
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
        self._journal.add(entry)
        self._waiting.append(entry)
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
            fate = "are lost" if self._journal.away is not None else "wait in the journal for the next start"
            _log.error("The ledger's database is away: %d entries %s", len(self._waiting), fate)
        self._journal.close()

    async def _write_soon(self) -> None:
        while self._waiting or self._left_behind:
            await asyncio.sleep(WRITTEN_S)
            if await self._bring_in():
                while self._waiting and await self._write():
                    pass

    async def _write(self) -> bool:
        """Write the oldest. An entry that was written by a call that was cut off is not written twice: it has an id."""
        entries = [self._waiting[i] for i in range(min(_AT_ONCE, len(self._waiting)))]
        try:
            await self._ledger.add(entries)
        except StoreAway:
            return False
        done = 0
        for entry in entries:
            if self._waiting and self._waiting[0] is entry:  # else it was lost meanwhile
                self._waiting.popleft()
                done += 1
        self._journal.done(done)
        return True

    async def _bring_in(self) -> bool:
        """Whether nothing is left behind any more."""
        try:
            while self._left_behind:
                await bring_in(self._left_behind[0], self._ledger)
                self._left_behind.popleft()
        except StoreAway:
            return False
        return True


async def bring_in(leftover: Leftover, ledger: Ledger) -> None:
    """Write down what a process before this one did not come to. Raises StoreAway."""
    entries = leftover.entries()
    if entries:
        await ledger.add(entries)
    leftover.forget()
