"""Work that any process with the same Postgres database does. Implements `ports.jobs.Jobs` by procrastinate.

https://procrastinate.readthedocs.io
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, cast

import psycopg
from procrastinate import App, BaseRetryStrategy, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.schema import SchemaManager

from wye.ports.jobs import ATTEMPTS, Failed, GiveUp, Work, reason_of, wait_before
from wye.ports.store import StoreAway

_TASK = "wye.read"
_LOOKED_S = 2.0
"""Jobs are told by the database; this is for those whose telling was lost."""
_HEARTBEAT_S = 3.0
_DEAD_S = 12.0
"""A worker of which nothing is heard for so long is dead, and what it had begun is begun anew."""
_LOCK = 0x57_79_67
"""Of Postgres's advisory locks, the one for making procrastinate's tables."""
_GRACE_S = 5
log = logging.getLogger("wye")


class ProcrastinateJobs:
    def __init__(self, url: str) -> None:
        """`url` is Postgres's own kind: `postgresql://...`."""
        self._url = url
        self._connector = PsycopgConnector(conninfo=url, min_size=1, max_size=8, timeout=3.0)
        self._app = App(connector=self._connector)
        self._opening = asyncio.Lock()
        self._opened = False
        self._work: Work | None = None
        self._failed: Failed | None = None
        task = self._app.task(name=_TASK, pass_context=True, retry=_Again())
        self._task: Any = task(self._do)

    async def add(self, subject: str) -> None:
        try:
            await self._open()
            if await self._app.job_manager.list_jobs_async(queueing_lock=subject, status=Status.DOING.value):
                return  # a second one would be in its way if it must be begun anew
            with suppress(AlreadyEnqueued):
                await self._task.configure(queueing_lock=subject, lock=subject).defer_async(subject=subject)
        except (ConnectorException, psycopg.Error) as error:
            raise _away(error) from None

    async def remove(self, subject: str) -> None:
        try:
            await self._open()
            await self._cancel(subject)
        except (ConnectorException, psycopg.Error) as error:
            raise _away(error) from None

    async def run(self, work: Work, failed: Failed, *, concurrency: int) -> None:
        self._work, self._failed = work, failed
        while True:
            try:
                await self._open()
                async with asyncio.TaskGroup() as together:
                    together.create_task(self._rescue())
                    together.create_task(self._serve(concurrency))
            except* (ConnectorException, psycopg.Error, OSError) as errors:
                log.warning(
                    "Documents are not read while the database is away: %s", type(errors.exceptions[0]).__name__
                )
            if _is_cancelled():
                raise asyncio.CancelledError
            await asyncio.sleep(_LOOKED_S)

    async def close(self) -> None:
        if self._opened:
            await self._app.close_async()

    async def _open(self) -> None:
        async with self._opening:
            if not self._opened:
                await _make_tables(self._url)
                await self._app.open_async()
                self._opened = True

    async def _serve(self, concurrency: int) -> None:
        await self._app.run_worker_async(
            concurrency=concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=_LOOKED_S,
            update_heartbeat_interval=_HEARTBEAT_S,
            stalled_worker_timeout=_DEAD_S,
            shutdown_graceful_timeout=_GRACE_S,
            delete_jobs="always",
        )

    async def _cancel(self, subject: str) -> None:
        manager = self._app.job_manager
        for job in await manager.list_jobs_async(queueing_lock=subject, status=Status.TODO.value):
            await manager.cancel_job_by_id_async(cast(int, job.id), delete_job=True)

    async def _rescue(self) -> None:
        manager = self._app.job_manager
        while True:
            for job in await manager.get_stalled_jobs(seconds_since_heartbeat=_DEAD_S):
                log.warning("%s: its worker died, it is begun anew", job.task_kwargs.get("subject"))
                await self._cancel(cast(str, job.queueing_lock))  # added in the moment when this one was begun
                await manager.retry_job(job)
            await asyncio.sleep(_HEARTBEAT_S)

    async def _do(self, context: JobContext, subject: str) -> None:
        assert self._work is not None
        assert self._failed is not None
        attempt = context.job.attempts + 1
        try:
            if attempt > ATTEMPTS:
                raise GiveUp(f"The server ended {ATTEMPTS} times while it was read")
            await self._work(subject)
        except StoreAway:
            raise
        except Exception as error:  # the edge of the work: whatever goes wrong with one job, the others are done
            log.warning("%s: attempt %d failed", subject, attempt, exc_info=error)
            if attempt < ATTEMPTS and not isinstance(error, GiveUp):
                raise
            await self._failed(subject, reason_of(error))


class _Again(BaseRetryStrategy):
    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, StoreAway | asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 1})
        return RetryDecision(retry_in={"seconds": int(wait_before(job.attempts + 2))})


async def _make_tables(url: str) -> None:
    """procrastinate's tables, made by whoever comes first."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=3) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        found = await (await connection.execute("SELECT to_regclass('procrastinate_jobs')")).fetchone()
        if found == (None,):
            await connection.execute(cast(Any, SchemaManager.get_schema()))


def _is_cancelled() -> bool:
    """Of a cancelled group whose members fail on their way out, only the failures are told."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _away(error: Exception) -> StoreAway:
    return StoreAway(f"The database cannot be used: {type(error).__name__}", retry_after_s=1)
