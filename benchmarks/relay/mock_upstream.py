"""An upstream that costs next to nothing: canned bytes from one asyncio protocol. Prints its port, ends with stdin.

Running streams take turns, a frame each, with a short pause between the turns: as from models that know nothing of one
another, each frame reaches the gateway alone, and the gateway wakes for it. A timer for each stream would not do: a
loop's timers have a grain of a millisecond, so all streams would move in step and their frames be read in one round.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import cast

import uvloop

from benchmarks.relay import wire

PAUSE_S = 0.0001
"""Between two turns, of whichever streams; with the kernel's own slack it becomes about 0.00016."""


class Turns:
    """Writes the next frame of each running stream in turn."""

    def __init__(self) -> None:
        self._streams: deque[tuple[asyncio.Transport, Iterator[bytes]]] = deque()

    def add(self, transport: asyncio.Transport, writes: list[bytes]) -> None:
        self._streams.append((transport, iter(writes)))
        if len(self._streams) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        transport, writes = stream = self._streams.popleft()
        frame = next(writes, None)
        if frame is not None and not transport.is_closing():
            transport.write(frame)
            # Blocking is the point: nothing else here is as fine, and new callers can wait this long.
            time.sleep(PAUSE_S)
            self._streams.append(stream)
        if self._streams:
            asyncio.get_running_loop().call_soon(self._next)


class Upstream(asyncio.Protocol):
    """HTTP/1.1 as far as gateways speak it to an upstream: bodies with a length, one request at a time."""

    transport: asyncio.Transport

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.received = bytearray()
        self.head_end = -1
        self.expected = 0

    def data_received(self, data: bytes) -> None:
        received = self.received
        received += data
        if self.head_end < 0:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = received[:end].lower()
            self.head_end = end + 4
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self.expected = self.head_end + length
        if len(received) >= self.expected:
            request, self.received, self.head_end = bytes(received), bytearray(), -1
            self.answer(request)

    def answer(self, request: bytes) -> None:
        path = request.split(b" ", 2)[1].decode()
        stream = b'"stream":true' in request
        if path == wire.OPENAI_PATH:
            asks_usage = b'"include_usage":true' in request
            writes = wire.OPENAI_STREAM_WITH_USAGE if asks_usage else wire.OPENAI_STREAM
            whole = wire.OPENAI_WHOLE
        elif path == wire.ANTHROPIC_PATH:
            writes, whole = wire.ANTHROPIC_STREAM, wire.ANTHROPIC_WHOLE
        else:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        if stream:
            self.turns.add(self.transport, writes)
        else:
            self.transport.write(whole)


async def main() -> None:
    loop = asyncio.get_running_loop()
    turns = Turns()
    server = await loop.create_server(lambda: Upstream(turns), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(main())
