"""A state given to other processes of this machine, over a unix socket. Who may open its folder may use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from wye.drivers.socket.frames import LARGEST, Told, decode_asked, frame_of, read_frame
from wye.ports.state import State


class StateServer:
    def __init__(self, state: State, path: Path) -> None:
        self._state = state
        self._path = path
        self._operations: dict[str, Callable[..., Awaitable[Any]]] = {
            "get": state.get,
            "put": state.put,
            "delete": state.delete,
            "clear": state.clear,
            "acquire": state.acquire,
            "release": state.release,
            "append": state.append,
            "items": state.items,
            "publish": state.publish,
        }
        self._listeners: dict[str, set[asyncio.StreamWriter]] = {}
        self._callers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError when the path is not to be had. What a server that died has left there is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for caller in self._callers:
                caller.transport.abort()
            self._path.unlink(missing_ok=True)
            self._server = None

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
