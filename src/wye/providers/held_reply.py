"""An answer that holds its model's slot until it is closed."""

from __future__ import annotations

from wye.ports.engine import Slot
from wye.ports.transport import HeaderMap, Reply, Sink


class HeldReply:
    """Implements `ports.transport.Reply`. One that was waited for says where in the queue, as `x-queue-position`."""

    def __init__(self, reply: Reply, slot: Slot) -> None:
        self._reply = reply
        self._slot = slot
        self.status = reply.status

    @property
    def headers(self) -> HeaderMap:
        if not self._slot.position:
            return self._reply.headers
        return {**self._reply.headers, b"x-queue-position": b"%d" % self._slot.position}

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        return await self._reply.read(timeout_s, clock)

    async def pour(self, sink: Sink, clock: str) -> bool:
        return await self._reply.pour(sink, clock)

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        return await self._reply.read_all(limit, timeout_s)

    def close(self) -> None:
        self._reply.close()
        self._slot.release()
