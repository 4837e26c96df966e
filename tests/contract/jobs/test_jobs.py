"""What everything that keeps jobs does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, Protocol

import psycopg
import pytest
from sqlalchemy import func, select

from tests.waiting import until
from wye.drivers.procrastinate import jobs as procrastinate_jobs
from wye.drivers.procrastinate.jobs import ProcrastinateJobs
from wye.drivers.sql import jobs as sql_jobs
from wye.drivers.sql.database import Database, database_url
from wye.drivers.sql.jobs import SqlJobs
from wye.drivers.sql.tables import jobs as jobs_table
from wye.kernel import clock
from wye.kernel.errors import BadRequest
from wye.kernel.secret import Secret
from wye.ports import jobs as port
from wye.ports.jobs import GiveUp, Jobs
from wye.ports.store import StoreAway

LEASE_S = 600.0
"""Longer than any machine stands still: leases end where a test says so, and nowhere else."""


class Leases(Protocol):
    """What is under way, and for how much longer it is its worker's."""

    async def age(self, seconds: float) -> None: ...
    async def are_young(self) -> bool: ...
    async def kept(self) -> int:
        """How many jobs are not over."""
        ...


@dataclass
class SqlLeases:
    database: Database
    turned_s: float = 0.0
    """How far the clock of all workers is turned forward."""

    async def age(self, seconds: float) -> None:
        self.turned_s += seconds

    async def are_young(self) -> bool:
        async with self.database.read() as connection:
            ends_s = await connection.scalar(select(func.min(jobs_table.c.due_s)))
        return ends_s is not None and ends_s > clock.wall_s() + LEASE_S / 2

    async def kept(self) -> int:
        async with self.database.read() as connection:
            return await connection.scalar(select(func.count()).select_from(jobs_table)) or 0


@dataclass
class ProcrastinateLeases:
    url: str

    async def age(self, seconds: float) -> None:
        await self._run(
            "UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - %s * interval '1 s'", seconds
        )

    async def are_young(self) -> bool:
        old = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat < NOW() - %s * interval '1 s'"
        return await self._run(old, LEASE_S / 2) == (0,)

    async def kept(self) -> int:
        [count] = await self._run("SELECT count(*) FROM procrastinate_jobs WHERE %s > 0", 1.0) or [0]
        return count

    async def _run(self, statement: LiteralString, seconds: float) -> tuple[int] | None:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            done = await connection.execute(statement, [seconds])
            return await done.fetchone() if done.description else None


Make = Callable[[], Jobs]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long; a lease is renewed far more often than it must be."""
    monkeypatch.setattr(sql_jobs, "_LOOKED_S", 0.05)
    monkeypatch.setattr(sql_jobs, "_LEASE_S", LEASE_S)
    monkeypatch.setattr(sql_jobs, "_RENEWED_S", 0.1)
    monkeypatch.setattr(sql_jobs, "wait_before", lambda attempt: 0.02)
    monkeypatch.setattr(procrastinate_jobs, "_LOOKED_S", 0.05)
    monkeypatch.setattr(procrastinate_jobs, "_HEARTBEAT_S", 0.1)
    monkeypatch.setattr(procrastinate_jobs, "_DEAD_S", LEASE_S)
    monkeypatch.setattr(procrastinate_jobs, "_GRACE_S", 0.1)
    monkeypatch.setattr(procrastinate_jobs, "wait_before", lambda attempt: 0.0)


@pytest.fixture(params=["sql", "procrastinate"])
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(database_url(Secret(f"sqlite:///{tmp_path}/wye.db")))
    yield database
    await database.close()


@pytest.fixture
def leases(driver: str, database: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Leases:
    if driver == "procrastinate":
        return ProcrastinateLeases(request.getfixturevalue("postgres_url"))
    leases, wall_s = SqlLeases(database), clock.wall_s
    monkeypatch.setattr(clock, "wall_s", lambda: wall_s() + leases.turned_s)
    return leases


@pytest.fixture
async def make(driver: str, database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes what another process would use."""
    url = request.getfixturevalue("postgres_url") if driver == "procrastinate" else ""
    all_made: list[Jobs] = []

    def made() -> Jobs:
        all_made.append(ProcrastinateJobs(url) if url else SqlJobs(database))
        return all_made[-1]

    yield made
    for jobs in all_made:
        await jobs.close()


class Seen:
    def __init__(self, work: Callable[[str], Awaitable[None]] | None = None) -> None:
        self.done: list[str] = []
        self.tried: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self._work = work

    async def work(self, subject: str) -> None:
        self.tried.append(subject)
        if self._work is not None:
            await self._work(subject)
        self.done.append(subject)

    async def fail(self, subject: str, reason: str) -> None:
        self.failed.append((subject, reason))


@asynccontextmanager
async def running(jobs: Jobs, seen: Seen, concurrency: int = 2) -> AsyncIterator[None]:
    task = asyncio.create_task(jobs.run(seen.work, seen.fail, concurrency=concurrency))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def over(leases: Leases) -> None:
    async with asyncio.timeout(60):
        while await leases.kept():  # noqa: ASYNC110 - a row of a database tells nobody
            await asyncio.sleep(0.02)


async def test_what_was_added_before_and_after_is_done_once(make: Make, leases: Leases) -> None:
    jobs, seen = make(), Seen()
    for subject in ("a", "a", "b"):
        await jobs.add(subject)
    async with running(jobs, seen):
        await until(lambda: len(seen.done) == 2)
        await jobs.add("c")
        await until(lambda: "c" in seen.done)
        await over(leases)
    assert sorted(seen.tried) == ["a", "b", "c"]
    assert seen.failed == []


async def test_as_many_are_done_at_one_time_as_is_said(make: Make) -> None:
    most = now = 0
    together = asyncio.Event()

    async def work(_: str) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        if now == 3:
            together.set()
        await together.wait()
        await asyncio.sleep(0.02)
        now -= 1

    jobs, seen = make(), Seen(work)
    for number in range(8):
        await jobs.add(str(number))
    async with running(jobs, seen, concurrency=3):
        await until(lambda: len(seen.done) == 8)
    assert most == 3


async def test_several_processes_share_what_is_to_be_done(make: Make) -> None:
    async def work(_: str) -> None:
        await until(lambda: bool(first.tried and second.tried))

    first, second = Seen(work), Seen(work)
    jobs = make()
    for number in range(12):
        await jobs.add(str(number))
    async with running(jobs, first, 1), running(make(), second, 1):
        await until(lambda: len(first.done) + len(second.done) == 12)
    assert sorted(first.tried + second.tried, key=int) == [str(number) for number in range(12)]


async def test_what_fails_is_tried_again_and_then_given_up_with_a_reason(make: Make) -> None:
    async def work(subject: str) -> None:
        if subject == "odd":
            raise KeyError(subject)
        raise BadRequest("It cannot be read")

    jobs, seen = make(), Seen(work)
    await jobs.add("odd")
    await jobs.add("bad")
    async with running(jobs, seen):
        await until(lambda: len(seen.failed) == 2)
    assert sorted(seen.tried) == ["bad"] * port.ATTEMPTS + ["odd"] * port.ATTEMPTS
    told = dict(seen.failed)
    assert told["bad"] == "It cannot be read"
    assert "internal error (KeyError)" in told["odd"]


async def test_what_would_fail_again_is_not_tried_again(make: Make) -> None:
    async def work(_: str) -> None:
        raise GiveUp("It has a password")

    jobs, seen = make(), Seen(work)
    await jobs.add("a")
    async with running(jobs, seen):
        await until(lambda: bool(seen.failed))
        await asyncio.sleep(0.1)
    assert (seen.tried, seen.failed) == (["a"], [("a", "It has a password")])


async def test_what_may_pass_passes(make: Make) -> None:
    async def work(_: str) -> None:
        if len(seen.tried) < 3:
            raise OSError

    jobs, seen = make(), Seen(work)
    await jobs.add("a")
    async with running(jobs, seen):
        await until(lambda: bool(seen.done))
    assert (seen.tried, seen.failed) == (["a"] * 3, [])


async def test_what_is_added_again_while_it_is_done_is_not_done_twice(make: Make, leases: Leases) -> None:
    async def work(subject: str) -> None:
        await jobs.add(subject)
        if len(seen.tried) < 3:
            raise OSError

    jobs, seen = make(), Seen(work)
    await jobs.add("a")
    async with running(jobs, seen):
        await until(lambda: bool(seen.done))
        await over(leases)
    assert (seen.tried, seen.failed) == (["a"] * 3, [])


async def test_what_a_dead_process_had_begun_is_begun_anew(make: Make, leases: Leases) -> None:
    async def never(_: str) -> None:
        await asyncio.Event().wait()

    jobs, dead, alive = make(), Seen(never), Seen()
    await jobs.add("a")
    async with running(jobs, dead):
        await until(lambda: bool(dead.tried))
    await leases.age(2 * LEASE_S)
    async with running(make(), alive):
        await until(lambda: bool(alive.done))


async def test_long_work_is_not_taken_over(make: Make, leases: Leases) -> None:
    over = asyncio.Event()

    async def long(_: str) -> None:
        await over.wait()

    first, second = Seen(long), Seen()
    jobs = make()
    await jobs.add("a")
    async with running(jobs, first):
        await until(lambda: bool(first.tried))
        async with running(make(), second):
            for _ in range(3):
                await leases.age(LEASE_S * 2 / 3)
                async with asyncio.timeout(60):
                    while not await leases.are_young():  # noqa: ASYNC110 - a row of a database tells nobody
                        await asyncio.sleep(0.02)
            over.set()
            await until(lambda: bool(first.done))
    assert second.tried == []


async def test_what_ends_its_process_each_time_is_given_up(make: Make, leases: Leases) -> None:
    async def never(_: str) -> None:
        await asyncio.Event().wait()

    jobs = make()
    await jobs.add("a")
    for _ in range(port.ATTEMPTS):
        dead = Seen(never)
        async with running(jobs, dead):
            await until(lambda dead=dead: bool(dead.tried))
        await leases.age(2 * LEASE_S)
    last = Seen()
    async with running(jobs, last):
        await until(lambda: bool(last.failed))
    assert (last.tried, last.failed) == ([], [("a", f"The server ended {port.ATTEMPTS} times while it was read")])


async def test_what_was_removed_is_not_done(make: Make) -> None:
    jobs, seen = make(), Seen()
    await jobs.add("a")
    await jobs.remove("a")
    await jobs.add("b")
    async with running(jobs, seen):
        await until(lambda: seen.done == ["b"])


async def test_a_database_that_is_away_is_nobodys_failure(make: Make, driver: str, leases: Leases) -> None:
    async def work(_: str) -> None:
        if len(seen.tried) < port.ATTEMPTS:
            if driver == "sql":  # the other one is told at once, without a lease
                await leases.age(2 * LEASE_S)
            raise StoreAway("gone")

    jobs, seen = make(), Seen(work)
    await jobs.add("a")
    async with running(jobs, seen):
        await until(lambda: bool(seen.done))
    assert seen.failed == []


@pytest.mark.parametrize(("attempt", "seconds"), [(2, 2.0), (3, 8.0), (4, 32.0)])
def test_each_attempt_waits_longer(attempt: int, seconds: float) -> None:
    assert port.wait_before(attempt) == seconds
