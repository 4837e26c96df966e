"""The state that replicas share, in Redis or Valkey. While the server is away every operation says so at once.

https://valkey.io/commands/
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from wye.drivers.redis.quotas import RESERVE, SETTLE, read_grant, reserve_arguments, settle_arguments
from wye.kernel.secret import Secret
from wye.ports.quota import Grant, Quota
from wye.ports.state import StateAway

_TIMEOUT_S = 1.0
"""What a server on the same network does not need; who waits longer, waits for one that is gone."""
_PROBED_S = 0.5
_CONNECTIONS = 50
_QUEUED_S = 10.0
"""How long an operation may wait for one of them: a rush of calls is no reason to take the server for gone."""
_SCANNED = 1000
_GLOB = str.maketrans({character: f"\\{character}" for character in "*?[]^\\-"})

_ACQUIRE = """
if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('pexpire', KEYS[1], ARGV[2])
return 1
"""
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

_log = logging.getLogger("wye")
_Found = TypeVar("_Found")


_AWAY = (RedisError, OSError, RuntimeError)
"""What its client raises. uvloop raises RuntimeError where a connection is closed under a write."""


class RedisState:
    """Implements `ports.state.State`. `url` is `redis://`, `rediss://` or `unix://`, as redis-py takes it."""

    shared = True

    def __init__(self, url: Secret) -> None:
        # A connection of before a restart of the server is dead: one more try on a new one.
        pool = cast(Any, BlockingConnectionPool).from_url(  # redis-py tells its types in part only
            url.reveal(),
            max_connections=_CONNECTIONS,
            timeout=_QUEUED_S,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[NoConnection],
        )
        self._client: Any = cast(Any, Redis).from_pool(pool)
        self._reserve = self._client.register_script(RESERVE)
        self._settle = self._client.register_script(SETTLE)
        self.away: str | None = None
        self._topics: dict[str, list[Callable[[bytes], None]]] = {}
        self._begun: list[Callable[[], None]] = []
        self._probe: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes | None:
        return await self._do(lambda: self._client.get(key))

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._do(lambda: self._client.set(key, value, px=_ms(ttl_s)))

    async def delete(self, key: str) -> bool:
        return bool(await self._do(lambda: self._client.unlink(key)))

    async def clear(self, prefix: str) -> int:
        async def clear() -> int:
            count, pattern, cursor = 0, prefix.translate(_GLOB) + "*", 0
            while True:
                cursor, keys = await self._client.scan(cursor, match=pattern, count=_SCANNED)
                if keys:
                    count += await self._client.unlink(*keys)
                if not cursor:
                    return count

        return await self._do(clear)

    async def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        return bool(await self._do(lambda: self._client.eval(_ACQUIRE, 1, key, owner, _ms(ttl_s))))

    async def release(self, key: str, owner: str) -> None:
        await self._do(lambda: self._client.eval(_RELEASE, 1, key, owner))

    async def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_s: float) -> Grant:
        keys, arguments = [quota.key for quota in quotas], reserve_arguments(quotas, amounts, owner, _ms(lease_s))
        return read_grant(await self._do(lambda: self._reserve(keys, arguments)))

    async def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        keys, arguments = [quota.key for quota in quotas], settle_arguments(quotas, amounts, spent, owner)
        await self._do(lambda: self._settle(keys, arguments))

    async def append(self, key: str, items: Sequence[bytes], ttl_s: float) -> int:
        async def append() -> int:
            async with self._client.pipeline(transaction=True) as together:
                together.rpush(key, *items)
                together.pexpire(key, _ms(ttl_s))
                length, _ = await together.execute()
            return length

        return await self._do(append)

    async def items(self, key: str, start: int) -> list[bytes]:
        return await self._do(lambda: self._client.lrange(key, start, -1))

    async def publish(self, topic: str, message: bytes) -> None:
        await self._do(lambda: self._client.publish(topic, message))

    def subscribe(self, topic: str, heard: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        self._topics.setdefault(topic, []).append(heard)
        self._begun.append(begun)
        if self._listener is not None:
            self._listener.cancel()
            self._listener = asyncio.create_task(self._listen())

    async def start(self) -> None:
        """Never fails: a server that is away may come."""
        try:
            await self._client.ping()
        except _AWAY as error:
            self._lost(error)
        self._listener = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        for task in (self._probe, self._listener):
            if task is not None:
                task.cancel()
        await self._client.aclose()

    async def _do(self, work: Callable[[], Awaitable[_Found]]) -> _Found:
        if self.away is not None:
            raise StateAway(self.away)
        try:
            return await work()
        except _AWAY as error:
            raise StateAway(self._lost(error)) from None

    def _lost(self, error: Exception) -> str:
        """Why it is away, from now on."""
        if self.away is None:
            self.away = f"The shared state cannot be reached ({type(error).__name__}): each replica is on its own"
            _log.warning("Redis: %s: %s", self.away, error)
            self._probe = asyncio.create_task(self._wait_for_it())
        return self.away

    async def _wait_for_it(self) -> None:
        while True:
            await asyncio.sleep(_PROBED_S)
            try:
                await self._client.ping()
            except _AWAY:
                continue
            self.away = None
            _log.warning("Redis: the shared state is back")
            self._tell_begun()
            return

    async def _listen(self) -> None:
        """Hear what is published, through every end of the connection."""
        while self._topics:
            try:
                async with self._client.pubsub() as channel:
                    await self._hear(channel)
            except _AWAY as error:
                self._lost(error)
                await asyncio.sleep(_PROBED_S)

    async def _hear(self, channel: Any) -> None:
        topics = list(self._topics)
        await channel.subscribe(*topics)
        while True:
            message = await channel.get_message(timeout=_TIMEOUT_S)
            if message is None:
                continue
            if message["type"] == "subscribe":
                # What was published before the server's word is lost. Its client may subscribe anew by itself.
                if message["data"] == len(topics):  # so many are subscribed on this connection
                    self._tell_begun()
            else:
                for heard in self._topics.get(message["channel"].decode(), []):
                    heard(message["data"])

    def _tell_begun(self) -> None:
        for begun in self._begun:
            begun()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
