"""Another Wye: what is meant for a Wye is meant for that one, and its being away is nobody's mistake."""

from __future__ import annotations

from wye.kernel.errors import ConnectFailed
from wye.ports.provider import Call
from wye.ports.transport import Reply
from wye.providers.upstream import UpstreamProvider


class WyeProvider(UpstreamProvider):
    is_wye = True

    async def call(self, call: Call) -> Reply:
        """Raises what `UpstreamProvider.call` raises; ConnectFailed as 503."""
        try:
            return await super().call(call)
        except ConnectFailed as error:
            origin = self.origin
            raise ConnectFailed(
                f"The Wye '{self.name}' at {origin.scheme}://{origin.authority} is away: {error.message}",
                status=503,
            ) from None
