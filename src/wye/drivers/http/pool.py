"""The connections to one origin: some carry an exchange, some are kept for the next one."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from wye.drivers.http.connection import Connection
from wye.drivers.http.reply import Carrier
from wye.drivers.http.route import Route
from wye.kernel.errors import ClockExpired, ConnectFailed, StreamCut


class Limits(msgspec.Struct, frozen=True):
    connections: int
    idle: int
    waiting: int
    idle_s: float


class Pool:
    """At most `limits.connections` places. A place is taken by a connection from before it is dialled until it is over.

    The connection used last is taken first, so that those not needed grow old and end.
    """

    def __init__(self, route: Route, limits: Limits) -> None:
        self.route = route
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._places = 0
        self._members: set[Carrier] = set()
        self._idle: deque[Connection] = deque()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def empty(self) -> bool:
        return not self._places

    def take(self) -> Connection | None:
        """A kept connection, if there is one."""
        if not self._idle:
            return None
        connection = self._idle.pop()
        if connection.kept_until < self._loop.time():
            self._retire(connection)
            return None  # all the others are older
        return connection

    async def connect(self, connect_s: float) -> Connection:
        """A new connection or, when all places are taken, the first that becomes free for this caller's turn.

        Raises ClockExpired (`connect_s`) and ConnectFailed.
        """
        try:
            async with asyncio.timeout(connect_s):
                while True:
                    connection = await self._turn()
                    if connection is None:
                        return await self._dial()
                    if not connection.closed:
                        return connection
        except TimeoutError:
            raise ClockExpired("connect_s", connect_s) from None

    async def replace(self, lost: Carrier, connect_s: float) -> Connection:
        """A new connection in the place of one that raised KeptConnectionLost. Raises as `connect`."""
        self._members.discard(lost)
        try:
            async with asyncio.timeout(connect_s):
                return await self._dial()
        except TimeoutError:
            raise ClockExpired("connect_s", connect_s) from None

    def keep(self, connection: Connection) -> None:
        waiter = self._next_waiter() if self._waiting else None
        if waiter is not None:
            waiter.set_result(connection)
        elif len(self._idle) >= self._limits.idle:
            self._retire(connection)
        else:
            connection.kept_until = self._loop.time() + self._limits.idle_s
            self._idle.append(connection)
            if self._sweep_timer is None:
                self._sweep_timer = self._loop.call_at(connection.kept_until, self._sweep)

    def lose(self, connection: Connection) -> None:
        if connection in self._members:
            self._members.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._vacate()

    def close(self) -> None:
        """End every connection; calls that wait or dial raise ConnectFailed, those under way StreamCut."""
        self._closed = True
        while waiter := self._next_waiter():
            waiter.set_exception(self._closing())
        for connection in tuple(self._members):
            connection.end(StreamCut(f"The connection to {self.route.peer} was closed: Wye is shutting down"))
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    async def _turn(self) -> Connection | None:
        """Wait for a place: with a connection in it, or None for an empty one."""
        if self._closed:
            raise self._closing()
        if self._places < self._limits.connections:
            self._places += 1
            return None
        if len(self._waiting) >= self._limits.waiting:
            raise ConnectFailed(
                f"All {self._limits.connections} connections to {self.route.peer} are busy "
                f"and {self._limits.waiting} calls wait for one already"
            )
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            raise

    async def _dial(self) -> Connection:
        """Fill an empty place; a failure leaves it to the next caller."""
        connection = Connection(self.route.peer, self)
        try:
            await self.route.dial(connection)
        except BaseException:  # the place is given up whatever happened, a cancellation too
            self._vacate()
            raise
        if self._closed:
            connection.end(self._closing())
            raise self._closing()
        self._members.add(connection)
        if connection.closed:
            self.lose(connection)
            raise ConnectFailed(f"{self.route.peer} accepted a connection and closed it at once")
        return connection

    def _pass_on(self, connection: Connection | None) -> None:
        """Give on what came to a caller who left."""
        if connection is None:
            self._vacate()
        elif not connection.closed:
            self.keep(connection)

    def _vacate(self) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            self._places -= 1
        else:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _retire(self, connection: Connection) -> None:
        connection.end(StreamCut(f"The connection to {self.route.peer} was not needed any longer"))

    def _sweep(self) -> None:
        """End the connections that nobody took for too long: the oldest are on the left."""
        self._sweep_timer = None
        now = self._loop.time()
        while self._idle and self._idle[0].kept_until <= now:
            self._retire(self._idle[0])
        if self._idle:
            self._sweep_timer = self._loop.call_at(self._idle[0].kept_until, self._sweep)

    def _closing(self) -> ConnectFailed:
        return ConnectFailed(f"No new connection to {self.route.peer}: Wye is shutting down")
