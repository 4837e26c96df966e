"""Answers that come compressed although nobody asked: gzip and deflate, decoded as they come and within bounds.

https://www.rfc-editor.org/rfc/rfc9110#name-content-codings
"""

from __future__ import annotations

import zlib

from wye.drivers.http.reply import HttpReply, pour_by_reading, read_whole
from wye.kernel.errors import BadAnswer, StreamCut
from wye.ports.transport import Reply, Sink

MAX_DECODED_BYTES = 262_144
"""The most that one `read` gives back, however well it was compressed."""
_GZIP_OR_ZLIB = 47
_RAW_DEFLATE = -15


class Decoder:
    """Bytes in, decoded bytes out, at most MAX_DECODED_BYTES at a time: call `feed(b"")` until it gives nothing."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """Raises BadAnswer for bytes that are not compressed as the header says."""
        data = self._rest + data
        if not self._begun and len(data) < 2:
            self._rest = data  # too little to tell the formats apart
            return b""
        if self._inflate.eof and data:
            self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)  # gzip allows several members, one after the other
        try:
            decoded = self._inflate.decompress(data, MAX_DECODED_BYTES)
        except zlib.error:
            if self._begun:
                raise BadAnswer("The upstream's compressed answer is damaged") from None
            # "deflate" means zlib's format, but some servers send the raw one.
            self._begun = True
            self._inflate = zlib.decompressobj(_RAW_DEFLATE)
            self._rest = b""
            return self.feed(data)
        self._begun = True
        self._rest = self._inflate.unconsumed_tail or self._inflate.unused_data
        return decoded

    @property
    def finished(self) -> bool:
        """Whether the bytes so far are a whole: nothing at all, or all members to their end."""
        return not self._rest and (self._inflate.eof or not self._begun)


class DecodedReply:
    """A compressed answer, read as if it were not: see the port. Its headers say nothing of the compression."""

    def __init__(self, reply: HttpReply) -> None:
        self._reply = reply
        self._decoder = Decoder()
        self.status = reply.status
        hidden = (b"content-encoding", b"content-length")
        self.headers = {name: value for name, value in reply.headers.items() if name not in hidden}

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        decoded = self._feed(b"")
        while not decoded:
            data = await self._reply.read(timeout_s, clock)
            if not data:
                if self._decoder.finished:
                    return b""
                raise StreamCut("The upstream's compressed answer ended before it was complete")
            decoded = self._feed(data)
        return decoded

    async def pour(self, sink: Sink, clock: str) -> bool:
        return await pour_by_reading(self, sink, clock)

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        return await read_whole(self, limit, timeout_s)

    def close(self) -> None:
        self._reply.close()

    def _feed(self, data: bytes) -> bytes:
        try:
            return self._decoder.feed(data)
        except BadAnswer:
            self._reply.close()
            raise


def decoded(reply: HttpReply) -> Reply:
    """The answer in plain bytes. Raises BadAnswer, and closes it, for an encoding other than gzip and deflate."""
    encoding = reply.headers.get(b"content-encoding")
    if encoding is None:
        return reply
    match encoding.strip().lower():
        case b"" | b"identity":
            return reply
        case b"gzip" | b"x-gzip" | b"deflate":
            return DecodedReply(reply)
        case _:
            reply.close()
            raise BadAnswer("The upstream compressed its answer in a way that was not asked for")
