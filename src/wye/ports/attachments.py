"""Files that a chat request names, as text for a model to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Attachments(Protocol):
    async def context(self, principal: str, file_ids: Sequence[str]) -> str:
        """One block that names each file and holds what is in it, bounded, in the order asked for.

        Raises NotFound, UnsupportedMedia with the list of what is supported, BadRequest for a file that cannot be
        read, StoreAway.
        """
        ...
