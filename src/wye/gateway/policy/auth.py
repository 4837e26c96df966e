"""Who is calling. Headers only: the body of an unknown caller is never read."""

from __future__ import annotations

import hmac

from wye.kernel.errors import Unauthenticated
from wye.kernel.secret import Secret, fingerprint
from wye.ports.transport import Headers

ANONYMOUS = "anonymous"


class Auth:
    """Knows keys by their SHA-256 only. Without any key the server is open and every caller is anonymous."""

    def __init__(self, keys: dict[str, Secret]) -> None:
        self._principals = {fingerprint(key.reveal()): name for name, key in keys.items()}

    @property
    def open(self) -> bool:
        return not self._principals

    def principal(self, headers: Headers) -> str:
        """The name of the key's owner. Raises Unauthenticated."""
        if not self._principals:
            return ANONYMOUS
        presented = _presented(headers)
        if presented is None:
            raise Unauthenticated(
                "An API key is needed: send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'",
                code="missing_api_key",
            )
        seen = fingerprint(presented)
        for known, name in self._principals.items():
            if hmac.compare_digest(known, seen):
                return name
        raise Unauthenticated("The API key is not valid")


def _presented(headers: Headers) -> str | None:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer" and key:
                return key.strip().decode("utf-8", "surrogateescape")
        elif name == b"x-api-key" and value:
            return value.strip().decode("utf-8", "surrogateescape")
    return None
