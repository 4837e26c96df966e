"""Kept answers of one process: bounded, the oldest go first."""

from __future__ import annotations

from wye.kernel import clock
from wye.ports.responses import KeptResponse

_KEPT_S = 30 * 24 * 3600.0
"""As long as OpenAI keeps them: https://platform.openai.com/docs/guides/conversation-state"""


class MemoryResponses:
    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[tuple[str, str], KeptResponse] = {}

    async def put(self, kept: KeptResponse) -> None:
        """An answer that alone is larger than the bound is not kept."""
        await self.delete(kept.principal, kept.id)
        size = _size(kept)
        if size > self._max_bytes:
            return
        self._kept[kept.principal, kept.id] = kept
        self._bytes += size
        while self._bytes > self._max_bytes:
            await self.delete(*next(iter(self._kept)))

    async def get(self, principal: str, response_id: str) -> KeptResponse | None:
        kept = self._kept.get((principal, response_id))
        if kept is not None and clock.wall_s() - kept.created_s > _KEPT_S:
            await self.delete(principal, response_id)
            return None
        return kept

    async def delete(self, principal: str, response_id: str) -> bool:
        kept = self._kept.pop((principal, response_id), None)
        if kept is None:
            return False
        self._bytes -= _size(kept)
        return True


def _size(kept: KeptResponse) -> int:
    return len(kept.response) + len(kept.items) + 500
