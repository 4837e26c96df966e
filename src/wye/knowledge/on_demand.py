"""The library, opened when it is first asked for: a gateway that keeps no files imports nothing of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from wye.kernel.errors import WyeError
from wye.knowledge.library import Library

log = logging.getLogger("wye")


class LibraryOnDemand:
    def __init__(self, make: Callable[[], Library], in_use: Callable[[], bool]) -> None:
        """`make` runs in a thread: it imports. `in_use` tells whether there may be work left from before."""
        self._make = make
        self._in_use = in_use
        self._library: Library | None = None
        self._opening = asyncio.Lock()
        self._first: asyncio.Task[None] | None = None

    async def __call__(self) -> Library:
        """Raises ConfigError, MissingExtra."""
        async with self._opening:
            if self._library is None:
                library = await asyncio.to_thread(self._make)
                library.start()
                self._library = library
        return self._library

    @property
    def in_use(self) -> bool:
        """Whether anything may be kept in it."""
        return self._library is not None or self._in_use()

    @property
    def away(self) -> str | None:
        """Why its database cannot be reached; None while it can, or nobody asked for it."""
        return self._library.store.away if self._library is not None else None

    async def start(self) -> None:
        if self._in_use():
            self._first = asyncio.create_task(self._open())

    async def stop(self) -> None:
        if self._first is not None:
            self._first.cancel()
        if self._library is not None:
            await self._library.close()

    async def _open(self) -> None:
        """The server does not wait for it, and serves what needs no database without it."""
        try:
            await self()
        except WyeError as error:
            log.warning("Documents cannot be served: %s", error.message)
