"""A fake upstream: a small HTTP/1.1 server that says exactly the bytes it is told, faults included, and keeps a log.

It knows no dialect. What it says is wire format written down by hand, so that a mistake in a codec cannot hide in it;
`fake_provider` is the one that speaks them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Literal, Self

import httptools
import msgspec

from wye.kernel.json import decode, encode

_CHUNK = 64 * 1024
_MAX_HEAD = 64 * 1024
_MAX_HEADERS = 200
_MAX_BODY = 64 * 1024 * 1024
_MAX_KEPT_BYTES = 256 * 1024 * 1024
_START_S = 10.0

End = Literal["clean", "cut", "reset", "hang"]


class FakeRequest(msgspec.Struct):
    """One request as it was heard. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return decode(self.body)


class FakeAnswer(msgspec.Struct):
    """What to say: `pieces` are bytes to send, each flushed by itself, and seconds to wait.

    `end`: `clean` as HTTP wants it, `cut` closes the connection before the body's end, `reset` aborts it, `hang` waits
    for the caller to leave.
    """

    pieces: list[bytes | float] | AsyncIterator[bytes]
    status: int = 200
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    end: End = "clean"
    head: bool = True
    """False says nothing at all before `end`."""
    length: int | None = None
    """The content-length to declare, right or wrong; None sends the body in chunks."""
    delay_s: float = 0.0
    """How long to wait before the head."""


Script = Callable[[FakeRequest], FakeAnswer | Awaitable[FakeAnswer]]


def json_body(value: Any, status: int = 200, **headers: str) -> FakeAnswer:
    return FakeAnswer([encode(value)], status, {"content-type": "application/json", **headers})


def event_stream(pieces: Iterable[bytes | float], end: End = "clean") -> FakeAnswer:
    return FakeAnswer(list(pieces), headers={"content-type": "text/event-stream"}, end=end)


async def _each(pieces: list[bytes | float] | AsyncIterator[bytes]) -> AsyncIterator[bytes | float]:
    if isinstance(pieces, list):
        for piece in pieces:
            yield piece
    else:
        async for piece in pieces:
            yield piece


class _Refused(Exception):
    """A request that this server will not read. The message is for its sender."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Incoming:
    """One request as httptools tells it."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.begun = False
        self.whole = False
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.begun = True
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole = True


class FakeUpstream:
    """A context manager, also of asyncio's kind, that serves from a thread of its own on 127.0.0.1.

    Answers come from `queue`, one for each request; when it is empty, from `script`, which is called on that thread.
    `port` 0 takes a free one. Of the requests the last `keep` are kept.
    """

    def __init__(self, script: Script | None = None, *, port: int = 0, keep: int = 10_000) -> None:
        self.requests: list[FakeRequest] = []
        self.queue: deque[FakeAnswer] = deque()
        self.script: Script = script or (lambda _: json_body({"error": {"message": "nothing scripted"}}, 500))
        self.connections = 0
        self.left = 0
        """Answers that the caller did not wait for."""
        self.port = port
        self._keep = keep
        self._kept_bytes = 0
        self._ready = threading.Event()
        self._failed: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Raises OSError when the port is not to be had. Idempotent while it runs; a stopped server starts no more."""
        if self._thread is None:
            self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="fake-upstream", daemon=True)
            self._thread.start()
        if not self._ready.wait(_START_S):
            raise TimeoutError(f"The fake upstream did not start within {_START_S:g} s")
        if self._failed is not None:
            raise OSError(self._failed.errno, f"The fake upstream cannot listen on port {self.port}: {self._failed}")

    def stop(self) -> None:
        """End the server and its connections. Idempotent; in a forked child, which has no such thread, nothing."""
        thread, loop, stop = self._thread, self._loop, self._stop
        if thread is not None and thread.is_alive() and loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself in between
                loop.call_soon_threadsafe(stop.set)
            thread.join(_START_S)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=_CHUNK)
        except OSError as error:
            self._failed = error
            self._ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._ended()

    async def _ended(self) -> None:
        """For those that hold more than their connections."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await self._read(reader, writer):
                self._remember(request)
                scripted = self.queue.popleft() if self.queue else self.script(request)
                answer = scripted if isinstance(scripted, FakeAnswer) else await scripted
                if not await self._say(answer, reader, writer):
                    break
        except _Refused as refused:
            await self._say(json_body({"error": {"message": str(refused)}}, refused.status), reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the caller has left, or the server stops: either ends this connection
        finally:
            with contextlib.suppress(ConnectionError):
                writer.close()

    def _remember(self, request: FakeRequest) -> None:
        if not self.requests:
            self._kept_bytes = 0  # a test may have cleared them
        self.requests.append(request)
        self._kept_bytes += len(request.body)
        while len(self.requests) > self._keep or (self._kept_bytes > _MAX_KEPT_BYTES and len(self.requests) > 1):
            self._kept_bytes -= len(self.requests.pop(0).body)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> FakeRequest | None:
        """None when the caller closes the connection. Raises _Refused."""
        incoming = _Incoming()
        taken = 0
        while not incoming.whole:
            chunk = await reader.read(_CHUNK)
            if not chunk:
                return None
            taken += len(chunk)
            try:
                incoming.parser.feed_data(chunk)
            except httptools.HttpParserError as error:
                raise _Refused(400, f"This is no HTTP request: {error}") from None
            if len(incoming.headers) > _MAX_HEADERS or (taken > _MAX_HEAD + _CHUNK and not incoming.body):
                raise _Refused(431, "The request's headers are too long")
            if len(incoming.body) > _MAX_BODY:
                raise _Refused(413, f"The request's body is longer than {_MAX_BODY} bytes")
            if not incoming.whole and incoming.headers.get("expect", "").lower() == "100-continue":
                del incoming.headers["expect"]
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method = incoming.parser.get_method().decode()
        return FakeRequest(method, incoming.target.decode("latin-1"), incoming.headers, bytes(incoming.body))

    async def _say(self, answer: FakeAnswer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        chunked = answer.length is None
        sent = 0
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.head:
            lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            length = "transfer-encoding: chunked" if chunked else f"content-length: {answer.length}"
            writer.write(f"HTTP/1.1 {answer.status} Fake\r\n{lines}{length}\r\n\r\n".encode())
            gone = asyncio.ensure_future(reader.read(1))
            try:
                async for piece in _each(answer.pieces):
                    if isinstance(piece, bytes):
                        sent += len(piece)
                        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                        await writer.drain()
                    else:
                        await asyncio.wait([gone], timeout=piece)
                    if gone.done():
                        self.left += 1
                        return False
            finally:
                gone.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await gone
        match answer.end:
            case "clean":
                if chunked:
                    writer.write(b"0\r\n\r\n")
                await writer.drain()
                return chunked or answer.length == sent
            case "cut":
                return False
            case "reset":
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
                writer.transport.abort()
                return False
            case "hang":
                await reader.read(1)
                self.left += 1
                return False
