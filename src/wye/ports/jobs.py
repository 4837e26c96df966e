"""Work that must be done, whatever happens to the process that was asked for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from wye.kernel.errors import WyeError


class GiveUp(WyeError):
    """Raised by work that would fail again in the same way: it is not tried again. The message is for people."""

    code = "given_up"


Work = Callable[[str], Awaitable[None]]
"""Does the work on a subject, a document's id. It may be done twice: what it leaves behind must be the same."""
Failed = Callable[[str, str], Awaitable[None]]
"""Told of a subject that is given up, with the reason for people."""


class Jobs(Protocol):
    async def add(self, subject: str) -> None:
        """Have the work done on a subject; once, however often it is added before it is done. Durable when this
        returns. Raises StoreAway."""
        ...

    async def run(self, work: Work, failed: Failed, *, concurrency: int) -> None:
        """Do the work that is waiting or will come, until cancelled. What a dead process had begun is begun anew; what
        fails is tried again after a while, a few times. Goes on when the database was away."""
        ...

    async def remove(self, subject: str) -> None:
        """Nothing more needs to be done on it. Work that is under way goes on."""
        ...

    async def close(self) -> None: ...


ATTEMPTS = 4


def wait_before(attempt: int) -> float:
    """Seconds to wait before the second attempt, the third, ..."""
    return 2.0 * 4.0 ** (attempt - 2)


def reason_of(error: Exception) -> str:
    """Why work was given up, for people: an error of Wye's says it itself, any other is for the log."""
    if isinstance(error, WyeError):
        return error.message
    return f"It failed {ATTEMPTS} times by an internal error ({type(error).__name__}): the server's log has the details"
