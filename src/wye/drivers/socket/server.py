"""A state given to other processes of this machine, over a unix socket. Who may open its folder may use it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from wye.drivers.socket.frames import LARGEST, Told, decode_asked, frame_of, read_frame
from wye.ports.quota import Grant, Quota
from wye.ports.state import State


def listen(path: Path) -> socket.socket:
    """The socket for a server. Whoever calls before the server is there waits for it a moment, and is not refused."""
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)
    return listener


class StateServer:
    def __init__(self, state: State, listener: socket.socket) -> None:
        self._state = state
        self._listener = listener
        self._operations: dict[str, Callable[..., Awaitable[Any]]] = {
            "get": state.get,
            "put": state.put,
            "delete": state.delete,
            "clear": state.clear,
            "acquire": state.acquire,
            "release": state.release,
            "reserve": self._reserve,
            "settle": self._settle,
            "append": state.append,
            "items": state.items,
            "publish": state.publish,
        }
        self._listeners: dict[str, set[asyncio.StreamWriter]] = {}
        self._callers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, sock=self._listener)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for caller in self._callers:
                caller.transport.abort()
            self._server = None

    async def run(self) -> None:
        """Until the process ends."""
        await self.start()
        await asyncio.Event().wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers.add(writer)
        try:
            while True:
                asked = decode_asked(await read_frame(reader))
                if asked.operation == "subscribe":
                    _tell(writer, Told())
                    for topic in asked.arguments:
                        self._subscribe(topic, writer)
                else:
                    _tell(writer, Told(await self._operations[asked.operation](*asked.arguments)))
                await writer.drain()
        except (EOFError, OSError, msgspec.MsgspecError):
            return  # it is gone, or is none of ours
        finally:
            self._callers.discard(writer)
            for listeners in self._listeners.values():
                listeners.discard(writer)
            writer.close()

    async def _reserve(self, quotas: Any, *more: Any) -> Grant:
        return await self._state.reserve(msgspec.convert(quotas, list[Quota]), *more)

    async def _settle(self, quotas: Any, *more: Any) -> None:
        await self._state.settle(msgspec.convert(quotas, list[Quota]), *more)

    def _subscribe(self, topic: str, writer: asyncio.StreamWriter) -> None:
        if topic not in self._listeners:
            self._listeners[topic] = set()
            self._state.subscribe(topic, lambda message: self._push(topic, message), lambda: None)
        self._listeners[topic].add(writer)

    def _push(self, topic: str, message: bytes) -> None:
        for writer in self._listeners[topic]:
            if writer.transport.get_write_buffer_size() > LARGEST:
                writer.transport.abort()  # it does not listen any more
            else:
                _tell(writer, Told(message, topic))


def _tell(writer: asyncio.StreamWriter, told: Told) -> None:
    writer.write(frame_of(told) or frame_of(Told(error="It is too large to be shared")) or b"")
