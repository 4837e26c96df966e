"""Wye's connections behind a real socket, and callers who say exactly what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

from uvicorn.server import ServerState

from tests.waiting import until
from wye.api.asgi import Application, Receive, Scope, Send
from wye.api.http.connection import Connection
from wye.api.http.server import make_server

GET = b"GET / HTTP/1.1\r\nhost: wye\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: wye\r\ntransfer-encoding: chunked\r\n\r\n"


def post(body: bytes, *lines: bytes, length: int | None = None, path: bytes = b"/") -> bytes:
    """`length` is what the head says of the body, where that is not so."""
    head = [b"POST %b HTTP/1.1" % path, b"host: wye", b"content-length: %d" % (len(body) if length is None else length)]
    return b"\r\n".join([*head, *lines, b"", body])


class Directly:
    """An application that needs no ASGI: `serve` answers whoever asks."""

    def __init__(self, serve: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        self.serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("nobody asked it by ASGI's messages")

    def direct(self, caller: Any, method: bytes, target: bytes) -> bool:
        caller.serve(self.serve(caller))
        return True


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)

    async def say_slowly(self, data: bytes, size: int = 1) -> None:
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await asyncio.sleep(0)

    async def head(self) -> Answer:
        async with asyncio.timeout(60):
            lines = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        version, status, _ = lines[0].split(b" ", 2)
        assert version == b"HTTP/1.1"
        headers: dict[bytes, bytes] = {}
        for line in lines[1:]:
            name, value = line.split(b": ", 1)
            assert name not in headers, f"{name!r} twice"
            headers[name] = value
        return Answer(int(status), headers, b"")

    async def answer(self, method: str = "GET") -> Answer:
        answer = await self.head()
        async with asyncio.timeout(60):
            if method == "HEAD" or answer.status in (204, 304):
                return answer
            if b"content-length" in answer.headers:
                assert b"transfer-encoding" not in answer.headers
                answer.body = await self.reader.readexactly(int(answer.headers[b"content-length"]))
            elif b"transfer-encoding" in answer.headers:
                while piece := await self.piece():
                    answer.body += piece
            else:
                assert answer.headers[b"connection"] == b"close"
                answer.body = await self.reader.read()
        return answer

    async def piece(self) -> bytes:
        """One chunk of an answer; b"" is the last."""
        async with asyncio.timeout(60):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = await self.reader.readexactly(size + 2)
        assert piece.endswith(b"\r\n")
        return piece[:-2]

    async def rest(self, within_s: float = 60.0) -> bytes:
        """All until the server ends its side. Raises ConnectionResetError when it does so by a reset."""
        async with asyncio.timeout(within_s):
            return await self.reader.read()

    async def gone(self, within_s: float = 60.0) -> None:
        """Until the connection is over, however it ended."""
        with contextlib.suppress(ConnectionError):
            await self.rest(within_s)

    async def ask(self, request: bytes) -> Answer:
        self.say(request)
        return await self.answer(request.split(b" ", 1)[0].decode())

    def leave(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        linger_zero = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        self.writer.transport.abort()


@dataclass
class Served:
    port: int
    state: ServerState
    callers: list[Caller] = field(default_factory=list[Caller])
    tls: ssl.SSLContext | None = None

    @property
    def connections(self) -> set[Connection]:
        return cast(set[Connection], self.state.connections)

    async def call(self, **more: Any) -> Caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, **more)
        self.callers.append(Caller(reader, writer))
        return self.callers[-1]

    async def call_with_small_buffers(self) -> Caller:
        """One whose kernel takes little of what it does not read."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        self.callers.append(Caller(reader, writer))
        return self.callers[-1]


@contextlib.asynccontextmanager
async def serving(
    application: Application, *, server_tls: ssl.SSLContext | None = None, caller_tls: ssl.SSLContext | None = None
) -> AsyncIterator[Served]:
    """After the test every request must be over and every connection of a caller who left gone."""
    config = make_server(application, grace_s=1).config
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0, ssl=server_tls)
    served = Served(listener.sockets[0].getsockname()[1], state, tls=caller_tls)
    try:
        yield served
    finally:
        for caller in served.callers:
            caller.leave()
        listener.close()
    await until(lambda: not state.connections)
    await until(lambda: not state.tasks)
