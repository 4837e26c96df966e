"""What a relay in Python costs at the least: uvloop, httptools on both sides, and nothing else.

No key, no limit, no route, no figure, no clock, no error: bytes from a caller to an upstream and back. Its cost is the
interpreter's, on this machine; what Wye costs beyond it is what Wye does.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop
from httptools import HttpRequestParser, HttpResponseParser

from benchmarks.relay.processes import free_port, running, wait_for


class _Upstream(asyncio.Protocol):
    """A kept connection: the answer's bytes go to whoever asked."""

    transport: asyncio.Transport

    def __init__(self, idle: list[_Upstream]) -> None:
        self.caller: asyncio.Transport | None = None
        self._idle = idle
        self._parser = HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self.caller is not None, "nobody asked"
        self.caller.write(data)
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._idle.append(self)


class _Caller(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, upstream: int, idle: list[_Upstream]) -> None:
        self._upstream = upstream
        self._idle = idle
        self._request: list[bytes] = []
        self._whole = False
        self._parser = HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._request.append(data)
        self._parser.feed_data(data)
        if self._whole:
            self._whole = False
            if self._idle:
                self._ask(self._idle.pop())
            else:
                self._dialling = asyncio.create_task(self._dial())

    def on_message_complete(self) -> None:
        self._whole = True

    def _ask(self, upstream: _Upstream) -> None:
        upstream.caller = self.transport
        upstream.transport.write(b"".join(self._request))
        self._request.clear()

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(lambda: _Upstream(self._idle), "127.0.0.1", self._upstream)
        self._ask(upstream)


@contextlib.contextmanager
def floor(upstream: int, folder: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of one in front of the upstream. Raises RunFailed."""
    port, log = free_port(), folder / "floor.log"
    command = [sys.executable, "-m", "benchmarks.relay.floor", str(port), str(upstream)]
    with running(command, log, folder) as process:
        wait_for(port, process, log)
        yield port, process.pid


async def _serve(port: int, upstream: int) -> None:
    idle: list[_Upstream] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Caller(upstream, idle), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(*map(int, sys.argv[1:])))
