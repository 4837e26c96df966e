"""An upstream that costs next to nothing: canned bytes from one asyncio protocol. Prints its port, ends with stdin.

`/small` answers with a completion of about 700 bytes, whatever the body; `/stream` with 100 SSE chunks, each its own
write to the socket in a round of the loop of its own; `/paced` with the same, one chunk each millisecond.
With a certificate and its key as arguments it speaks TLS.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import uvloop

TEXT = b"The quick brown fox jumps over the lazy dog. " * 8
SMALL = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"'
SMALL += TEXT + b'"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":80,"total_tokens":89}}'
EVENT = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
EVENT += b'"delta":{"content":" word"},"finish_reason":null}]}\n\n'
HEADERS = b"date: Sat, 21 Nov 2026 00:00:00 GMT\r\nserver: mock\r\nx-request-id: req_1\r\nopenai-version: 1\r\n"

SMALL_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + HEADERS
SMALL_ANSWER += b"content-length: %d\r\n\r\n" % len(SMALL) + SMALL
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + HEADERS + b"transfer-encoding: chunked\r\n\r\n"
)
CHUNK = b"%x\r\n" % len(EVENT) + EVENT + b"\r\n"
CHUNKS = 100
STREAM_BYTES = CHUNKS * len(EVENT)


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""
        self.missing = 0
        self.path = b""

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            self.buffer += data
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head, rest = self.buffer[:end].lower(), self.buffer[end + 4 :]
            self.buffer = b""
            self.path = head.split(b" ", 2)[1]
            at = head.find(b"content-length:")
            self.missing = (int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0) - len(rest)
        if not self.missing:
            self.answer()

    def answer(self) -> None:
        if self.path == b"/small":
            self.transport.write(SMALL_ANSWER)
        else:
            self.transport.write(STREAM_HEAD)
            self.next_chunk(CHUNKS, 0.001 if self.path == b"/paced" else 0.0)

    def next_chunk(self, left: int, pause_s: float) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(CHUNK if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_later(pause_s, self.next_chunk, left - 1, pause_s)


async def main() -> None:
    loop = asyncio.get_running_loop()
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*sys.argv[1:3])
    server = await loop.create_server(Upstream, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.done() or ended.set_result(None))
    await ended


if __name__ == "__main__":
    uvloop.run(main())
