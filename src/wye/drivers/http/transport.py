"""The Transport port over HTTP/1.1: https://www.rfc-editor.org/rfc/rfc9112"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from ssl import SSLContext

from wye.drivers.http.connection import KeptConnectionLost
from wye.drivers.http.decoding import decoded
from wye.drivers.http.pool import Limits, Pool
from wye.drivers.http.proxy import Proxies
from wye.drivers.http.reply import HttpReply
from wye.drivers.http.route import Route
from wye.drivers.http.tls import client_context
from wye.kernel.errors import ConnectFailed
from wye.ports.transport import Clocks, Origin, Reply, Sent

# Origins come from the configuration and from local engines' sockets, which change at each start: beyond this many
# pools, those without a connection are dropped.
_MANY_POOLS = 256


class HttpTransport:
    """One pool of kept connections per origin. Belongs to the event loop that first uses it.

    `proxies` maps `http` and `https` to a proxy's URL (`http://user:password@host:port`) and `no` to the hosts that
    are reached directly (`localhost,.internal`, or `*`). `ca_file` holds certificates trusted beside the system's own.
    A pool opens at most `max_connections` and keeps `max_idle` of them; beyond, up to `max_waiting` calls wait in
    order, while their `connect_s` runs. Kept connections end after `idle_s`, those of unix sockets after
    `unix_idle_s` (an engine's child process closes its side at 5 s).

    Ask for `accept-encoding: identity`: compressed answers are decoded (gzip, deflate), but cost time and latency.

    Raises ConfigError for a proxy or a CA file that cannot be used.
    """

    def __init__(
        self,
        *,
        proxies: Mapping[str, str] | None = None,
        ca_file: Path | None = None,
        max_connections: int = 1024,
        max_idle: int = 256,
        max_waiting: int = 4096,
        idle_s: float = 30.0,
        unix_idle_s: float = 4.0,
    ) -> None:
        self._proxies = Proxies(proxies or {})
        self._ca_file = ca_file
        self._limits = Limits(max_connections, max_idle, max_waiting, idle_s)
        self._unix_limits = Limits(max_connections, max_idle, max_waiting, unix_idle_s)
        self._pools: dict[Origin, Pool] = {}
        self._closed = False
        if ca_file is not None:
            _ = self._tls  # a CA file that cannot be read is the operator's to know now, not at the first call

    def send_at_once(
        self, origin: Origin, method: bytes, target: bytes, headers: bytes, body: bytes, clocks: Clocks
    ) -> HttpReply | None:
        pool = self._pools.get(origin)
        if pool is None or (connection := pool.take()) is None:
            return None
        head = pool.route.head(method, target, headers, body)
        return connection.exchange(head, body, method == b"HEAD", clocks.headers_s)

    async def send(
        self,
        origin: Origin,
        method: bytes,
        target: bytes,
        headers: bytes,
        body: bytes,
        clocks: Clocks,
        sent: Sent | None = None,
    ) -> Reply:
        """See the port. Also raises BadRequest for a target that is empty or holds a blank."""
        pool = self._pools.get(origin) or self._open_pool(origin)
        head = pool.route.head(method, target, headers, body)
        bodiless = method == b"HEAD"
        if sent is None:
            connection = pool.take() or await pool.connect(clocks.connect_s)
            begun = connection.exchange(head, body, bodiless, clocks.headers_s)
        else:
            assert isinstance(sent, HttpReply), "it was sent here"
            begun = sent
        try:
            reply = await (begun if sent is None else begun.head())
        except KeptConnectionLost:
            connection = await pool.replace(begun.carrier, clocks.connect_s)
            reply = await connection.exchange(head, body, bodiless, clocks.headers_s)
        return decoded(reply)

    async def close(self) -> None:
        """End all connections, idle and busy. Calls under way raise StreamCut, later ones ConnectFailed. Idempotent."""
        self._closed = True
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        await asyncio.sleep(0)  # the loop closes the sockets in its next round

    def _open_pool(self, origin: Origin) -> Pool:
        if self._closed:
            raise ConnectFailed("The HTTP transport is closed: Wye is shutting down")
        if len(self._pools) >= _MANY_POOLS:
            self._pools = {known: pool for known, pool in self._pools.items() if not pool.empty}
        tls = self._tls if origin.scheme == "https" else None
        route = Route(origin, self._proxies.between(origin), tls)
        pool = self._pools[origin] = Pool(route, self._unix_limits if origin.scheme == "unix" else self._limits)
        return pool

    @cached_property
    def _tls(self) -> SSLContext:
        return client_context(self._ca_file)
