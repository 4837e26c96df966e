"""A fake upstream: a small HTTP/1.1 server that says exactly the bytes it is told, faults included, and keeps a log.

It knows no dialect. What it says is wire format written down by hand, so that a mistake in a codec cannot hide in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal

import msgspec

from wye.kernel.json import decode, encode

_MAX_HEAD = 64 * 1024


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

    pieces: list[bytes | float]
    status: int = 200
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    end: Literal["clean", "cut", "reset", "hang"] = "clean"
    head: bool = True
    """False says nothing at all before `end`."""


Script = Callable[[FakeRequest], FakeAnswer]


def json_body(value: Any, status: int = 200, **headers: str) -> FakeAnswer:
    return FakeAnswer([encode(value)], status, {"content-type": "application/json", **headers})


def event_stream(
    pieces: Iterable[bytes | float], end: Literal["clean", "cut", "reset", "hang"] = "clean"
) -> FakeAnswer:
    return FakeAnswer(list(pieces), headers={"content-type": "text/event-stream"}, end=end)


class FakeUpstream:
    """A context manager that serves from a thread of its own on a free port.

    Answers come from `queue`, one for each request; when it is empty, from `script`.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.requests: list[FakeRequest] = []
        self.queue: deque[FakeAnswer] = deque()
        self.script: Script = script or (lambda _: json_body({"error": {"message": "nothing scripted"}}, 500))
        self.connections = 0
        self.left = 0
        """Answers that the caller did not wait for."""
        self.port = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="fake-upstream", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeUpstream:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the fake upstream did not start within 10 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and its connections. Idempotent."""
        if self._thread.is_alive() and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_HEAD)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await self._read(reader):
                self.requests.append(request)
                answer = self.queue.popleft() if self.queue else self.script(request)
                if not await self._say(answer, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the caller has left, or the server stops: either ends this connection
        finally:
            with contextlib.suppress(ConnectionError):
                writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> FakeRequest | None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return FakeRequest(method, path, headers, body)

    async def _say(self, answer: FakeAnswer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        if answer.head:
            lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            writer.write(f"HTTP/1.1 {answer.status} Fake\r\n{lines}transfer-encoding: chunked\r\n\r\n".encode())
            gone = asyncio.ensure_future(reader.read(1))
            try:
                for piece in answer.pieces:
                    if isinstance(piece, bytes):
                        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
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
                writer.write(b"0\r\n\r\n")
                await writer.drain()
                return True
            case "cut":
                return False
            case "reset":
                writer.transport.abort()
                return False
            case "hang":
                await reader.read(1)
                self.left += 1
                return False
