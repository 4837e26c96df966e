"""The state that processes of one machine share: asked of the one that keeps it, over a unix socket."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wye.drivers.socket.frames import Asked, Told, decode_told, frame_of, read_frame
from wye.ports.quota import Grant, Quota
from wye.ports.state import StateAway

_TIMEOUT_S = 5.0
"""A process that has ended is noticed at once, by its connection's end. This is for one that hangs, on a machine that
may stand still for a second or two: who takes it for gone too soon counts limits alone, and asks what others ask."""
_PROBED_S = 0.1

_log = logging.getLogger("wye")


class SocketState:
    """Implements `ports.state.State`. `path` is the socket of a `StateServer`."""

    shared = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self.away: str | None = "The shared state is not yet asked"
        self._topics: dict[str, list[Callable[[bytes], None]]] = {}
        self._begun: list[Callable[[], None]] = []
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: deque[asyncio.Future[Told | None]] = deque()
        self._heard = 0
        """Frames, so far."""
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    async def get(self, key: str) -> bytes | None:
        return await self._ask("get", key)

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._ask("put", key, value, ttl_s)

    async def delete(self, key: str) -> bool:
        return await self._ask("delete", key)

    async def clear(self, prefix: str) -> int:
        return await self._ask("clear", prefix)

    async def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        return await self._ask("acquire", key, owner, ttl_s)

    async def release(self, key: str, owner: str) -> None:
        await self._ask("release", key, owner)

    async def reserve(self, quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_s: float) -> Grant:
        return msgspec.convert(await self._ask("reserve", quotas, amounts, owner, lease_s), Grant)

    async def settle(self, quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> None:
        await self._ask("settle", quotas, amounts, spent, owner)

    async def append(self, key: str, items: Sequence[bytes], ttl_s: float) -> int:
        return await self._ask("append", key, items, ttl_s)

    async def items(self, key: str, start: int) -> list[bytes]:
        return await self._ask("items", key, start)

    async def publish(self, topic: str, message: bytes) -> None:
        await self._ask("publish", topic, message)

    def subscribe(self, topic: str, heard: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        self._topics.setdefault(topic, []).append(heard)
        self._begun.append(begun)
        if self._writer is not None:
            self._send(self._writer, _subscribe(topic))
            begun()  # what is asked now, is asked after it

    async def start(self) -> None:
        """Never fails: who keeps the state may come."""
        self._task = asyncio.create_task(self._run())
        await self._tried.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._part()

    async def _ask(self, operation: str, *arguments: Any) -> Any:
        if self._writer is None:
            raise StateAway(self.away or "The shared state is away")
        frame = frame_of(Asked(operation, [*arguments]))
        if frame is None:
            raise StateAway("It is too large to be shared")
        told = await self._answered(self._send(self._writer, frame))
        if told is None:
            raise StateAway(self._lost("no answer"))
        if told.error is not None:
            raise StateAway(told.error)
        return told.value

    async def _answered(self, answer: asyncio.Future[Told | None]) -> Told | None:
        """None when nothing at all is heard any more. A long queue is no silence, nor is a loop of one's own that was
        busy: what came meanwhile is read before the second time is over."""
        silences = 0
        while not answer.done():
            heard = self._heard
            await asyncio.wait([answer], timeout=_TIMEOUT_S / 2)
            silences = silences + 1 if self._heard == heard else 0
            if silences == 2 and not answer.done():
                self._part()
        return answer.result()

    def _send(self, writer: asyncio.StreamWriter, frame: bytes) -> asyncio.Future[Told | None]:
        answer: asyncio.Future[Told | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        writer.write(frame)
        return answer

    async def _run(self) -> None:
        """Be connected, through every end of the connection."""
        while True:
            try:
                await self._hear()
            except (OSError, EOFError) as error:  # TimeoutError is an OSError
                self._part()
                self._lost(type(error).__name__)
            self._tried.set()
            await asyncio.sleep(_PROBED_S)

    async def _hear(self) -> None:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(self._path)
            try:
                # Only an answer shows that somebody is there: a process that hangs is connected to all the same.
                writer.write(_subscribe())
                await read_frame(reader)
            except BaseException:
                writer.close()
                raise
        self._writer = writer
        self._send(writer, _subscribe(*self._topics))
        self._back()
        while True:
            told = decode_told(await read_frame(reader))
            self._heard += 1
            if told.topic is not None:
                for heard in self._topics[told.topic]:
                    heard(told.value)
            else:
                answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(told)

    def _back(self) -> None:
        if self._tried.is_set():
            _log.warning("The shared state is back")
        self.away = None
        self._tried.set()
        for begun in self._begun:
            begun()

    def _part(self) -> None:
        """Give the connection up, and with it every question that has no answer."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(None)

    def _lost(self, reason: str) -> str:
        """Why it is away, from now on."""
        if self.away is None or not self._tried.is_set():
            self.away = f"The shared state cannot be reached ({reason}): each process is on its own"
            _log.warning("%s", self.away)
        return self.away


def _subscribe(*topics: str) -> bytes:
    frame = frame_of(Asked("subscribe", [*topics]))
    assert frame is not None
    return frame
