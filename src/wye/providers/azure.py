"""Azure OpenAI: OpenAI's API under a resource of one's own, in either of its two forms.

https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from wye.dialects.dialect import Dialect, Quirks
from wye.kernel.errors import ConfigError
from wye.kernel.secret import Secret
from wye.ports.provider import Call
from wye.ports.transport import Transport
from wye.providers.rows import Row
from wye.providers.upstream import UpstreamProvider

_DATED = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_OF_V1 = ("v1", "preview", "latest")


class AzureProvider(UpstreamProvider):
    """`model` names a deployment of the resource: in the path with a dated API version, in the body with the v1 API."""

    def __init__(
        self,
        name: str,
        row: Row,
        dialects: Mapping[str, Dialect],
        transport: Transport,
        *,
        base_url: str,
        api_version: str | None,
        api_key: Secret | None,
        bearer_token: Secret | None,
        headers: dict[str, str],
        quirks: Quirks,
    ) -> None:
        """`base_url` is the resource's, with or without `/openai` or `/openai/v1`. Raises ConfigError."""
        if api_version and not _DATED.fullmatch(api_version) and api_version not in _OF_V1:
            raise ConfigError(
                f"providers.{name}.api_version: {api_version!r} must be a date like 2024-10-21, or 'preview'"
            )
        root = base_url.rstrip("/").removesuffix("/v1").removesuffix("/openai")
        self._dated = bool(api_version) and api_version not in _OF_V1
        self._query = f"?api-version={api_version}".encode() if api_version and api_version != "v1" else b""
        if bearer_token:
            row = msgspec.structs.replace(row, auth="authorization: Bearer {key}")
        super().__init__(
            name,
            row,
            dialects,
            transport,
            base_url=root and f"{root}/openai{'' if self._dated else '/v1'}",
            api_key=bearer_token or api_key,
            headers=headers,
            quirks=quirks,
        )

    def _target(self, call: Call) -> bytes:
        target = super()._target(call)
        # The Responses API is called at the resource also where all others are called at a deployment.
        if self._dated and call.dialect != "openai_responses":
            resource, openai, path = target.rpartition(b"/openai")
            target = b"%b%b/deployments/%b%b" % (resource, openai, quote(call.model, safe="").encode(), path)
        return target + self._query
