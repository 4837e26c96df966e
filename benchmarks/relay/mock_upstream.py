"""An upstream that costs next to nothing: canned bytes from one asyncio protocol. Prints its port, ends with stdin.

The frames of a stream are written one by one, a millisecond apart (the finest that libuv's timers have), so that every
gateway sees each in a read of its own, as from a model.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from benchmarks.relay import wire

PAUSE_S = 0.001


class Upstream(asyncio.Protocol):
    """HTTP/1.1 as far as gateways speak it to an upstream: bodies with a length, one request at a time."""

    transport: asyncio.Transport

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
            self.write_on(writes, 0)
        else:
            self.transport.write(whole)

    def write_on(self, writes: list[bytes], at: int) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(writes[at])
        if at + 1 < len(writes):
            asyncio.get_running_loop().call_later(PAUSE_S, self.write_on, writes, at + 1)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(main())
