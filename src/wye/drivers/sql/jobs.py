"""Work that is done in the processes that share a database file. Implements `ports.jobs.Jobs`.

A job is a row. Whoever takes it moves the time when it is due to the end of a lease, and renews that while it works:
the jobs of a process that died are due again when their leases end.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from sqlalchemy import delete, func, select, update

from wye.drivers.sql.database import Database
from wye.drivers.sql.tables import jobs
from wye.kernel import clock
from wye.kernel.ids import new_id
from wye.ports.jobs import ATTEMPTS, Failed, GiveUp, Work, reason_of, wait_before
from wye.ports.store import StoreAway

_LEASE_S = 10.0
_RENEWED_S = 3.0
_LOOKED_S = 2.0
"""How often to look for jobs of others, beside those that are added here."""
log = logging.getLogger("wye")


class SqlJobs:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner = new_id("worker-")
        self._added = asyncio.Event()
        self._running: set[str] = set()

    async def add(self, subject: str) -> None:
        row = {"subject": subject, "attempts": 0, "due_s": clock.wall_s()}
        async with self._database.write() as connection:
            await connection.execute(self._database.insert(jobs).values(row).on_conflict_do_nothing())
        self._added.set()

    async def remove(self, subject: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(jobs).where(jobs.c.subject == subject))

    async def run(self, work: Work, failed: Failed, *, concurrency: int) -> None:
        async with asyncio.TaskGroup() as together:
            together.create_task(self._keep_leases())
            for _ in range(concurrency):
                together.create_task(self._work(work, failed))

    async def close(self) -> None:
        """Nothing is open that the database does not close itself."""

    async def _work(self, work: Work, failed: Failed) -> None:
        while True:
            try:
                taken = await self._take()
                if taken is None:
                    await self._wait()
                else:
                    await self._do(*taken, work, failed)
            except StoreAway:  # what was under way is due again when its lease ends
                await asyncio.sleep(_LOOKED_S)

    async def _take(self) -> tuple[str, int] | None:
        """A job that is due, and which attempt at it this is."""
        self._added.clear()
        now = clock.wall_s()
        async with self._database.read() as connection:  # looked at first: a transaction that writes stops all others
            if not await connection.scalar(select(func.count()).where(jobs.c.due_s <= now)):
                return None
        due = select(jobs.c.subject).where(jobs.c.due_s <= now).order_by(jobs.c.due_s).limit(1)
        taken = update(jobs).where(jobs.c.subject == due.scalar_subquery())
        taken = taken.values(owner=self._owner, due_s=now + _LEASE_S, attempts=jobs.c.attempts + 1)
        async with self._database.write() as connection:
            row = (await connection.execute(taken.returning(jobs.c.subject, jobs.c.attempts))).one_or_none()
        return (row.subject, row.attempts) if row else None

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOKED_S):
                await self._added.wait()

    async def _do(self, subject: str, attempt: int, work: Work, failed: Failed) -> None:
        self._running.add(subject)
        try:
            if attempt > ATTEMPTS:  # the process died each time
                raise GiveUp(f"The server ended {ATTEMPTS} times while it was read")
            await work(subject)
        except StoreAway:
            raise
        except Exception as error:  # the edge of the work: whatever goes wrong with one job, the others are done
            log.warning("%s: attempt %d failed", subject, attempt, exc_info=error)
            if attempt < ATTEMPTS and not isinstance(error, GiveUp):
                await self._again(subject, wait_before(attempt + 1))
                return
            await failed(subject, reason_of(error))
        finally:
            self._running.discard(subject)
        await self.remove(subject)

    async def _again(self, subject: str, wait_s: float) -> None:
        later = update(jobs).where(jobs.c.subject == subject, jobs.c.owner == self._owner)
        async with self._database.write() as connection:
            await connection.execute(later.values(owner=None, due_s=clock.wall_s() + wait_s))

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(_RENEWED_S)
            if self._running:
                mine = (jobs.c.owner == self._owner, jobs.c.subject.in_(self._running))
                with suppress(StoreAway):
                    async with self._database.write() as connection:
                        await connection.execute(update(jobs).where(*mine).values(due_s=clock.wall_s() + _LEASE_S))
