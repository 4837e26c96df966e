"""An upstream that does exactly what a test says, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import until
from wye.ports.transport import Origin

Script = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One connection, as the server sees it."""

    number: int
    """Counts the server's connections from 1."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[bytes]
    """Those of the whole server."""

    async def request(self) -> bytes:
        """The next request: head and body as they came."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length: "):
                length = int(line.split()[1])
        request = head + await self.reader.readexactly(length)
        self.requests.append(request)
        return request

    async def say(self, data: bytes) -> None:
        if self.writer.transport.is_closing():  # uvloop would raise RuntimeError
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with RST, as a crashed process does."""
        linger_zero = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        self.writer.transport.abort()

    async def left(self) -> None:
        """Returns once the client has closed its side."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass


@dataclass
class ScriptedServer:
    origin: Origin
    visits: int = 0
    requests: list[bytes] = field(default_factory=list)
    left: int = 0
    """Connections that are over."""
    faults: list[BaseException] = field(default_factory=list)
    """What scripts raised that is not about a client who left."""

    async def lost(self, connections: int = 1, within_s: float = 60.0) -> None:
        """Returns once so many connections are over."""
        await until(lambda: self.left >= connections, within_s)


def answering(*answers: bytes) -> Script:
    """A script that gives one answer per request on each connection, the last one for ever."""

    async def script(visit: Visit) -> None:
        turn = 0
        while True:
            await visit.request()
            await visit.say(answers[min(turn, len(answers) - 1)])
            turn += 1

    return script


@contextlib.asynccontextmanager
async def scripted_server(
    script: Script, *, tls: ssl.SSLContext | None = None, socket_path: Path | None = None
) -> AsyncIterator[ScriptedServer]:
    writers: set[asyncio.StreamWriter] = set()

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.visits += 1
        writers.add(writer)
        visit = Visit(server.visits, reader, writer, server.requests)
        try:
            await script(visit)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:  # a mistake in the test's own script: shown when the server ends
            server.faults.append(error)
        finally:
            server.left += 1
            writer.close()

    if socket_path is not None:
        listener = await asyncio.start_unix_server(visited, socket_path)
        server = ScriptedServer(Origin("unix", socket_path=str(socket_path)))
    else:
        listener = await asyncio.start_server(visited, "127.0.0.1", 0, ssl=tls)
        port = listener.sockets[0].getsockname()[1]
        server = ScriptedServer(Origin("https" if tls else "http", "127.0.0.1", port))
    try:
        yield server
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        await server.lost(server.visits)
    assert not server.faults, server.faults
