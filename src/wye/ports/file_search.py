"""Files that a model may search while it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wye.kernel.json import JsonObject
from wye.ports.inference import Panel


class FileSearches(Protocol):
    async def panel(self, principal: str, tools: Sequence[JsonObject], *, demanded: bool) -> Panel | None:
        """Who answers a request with these tools `file_search` of OpenAI's Responses API: the model that is asked, with
        what is found for it here. None where Wye knows none of their stores, unless it is `demanded` of Wye.

        Raises NotFound for a store that is not there, BadRequest for what cannot be asked of it, StoreAway.
        """
        ...
