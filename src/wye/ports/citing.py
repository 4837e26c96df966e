"""Answers that say which places of a request's documents they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wye.canon.request import ChatRequest
from wye.ports.inference import Panel


class Citing(Protocol):
    async def panel(self, principal: str, request: ChatRequest, file_ids: Sequence[str]) -> Panel:
        """Who answers a request whose documents ask for citations: the model that is asked, which is shown their text
        in numbered passages. These files come as further documents before the caller's last words.

        Raises NotFound, UnsupportedMedia and BadRequest for documents that cannot be read, StoreAway.
        """
        ...
