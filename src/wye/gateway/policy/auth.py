"""Who is calling. Headers only: the body of an unknown caller is never read."""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from wye.kernel.errors import Forbidden, Unauthenticated
from wye.kernel.secret import Secret, fingerprint
from wye.ports.transport import HeaderMap

ANONYMOUS = "anonymous"


class Auth:
    """Knows keys by their SHA-256 only. Without any key the server is open and every caller is anonymous."""

    def __init__(self, keys: dict[str, Secret]) -> None:
        self._principals = {fingerprint(key.reveal()): name for name, key in keys.items()}

    @property
    def open(self) -> bool:
        return not self._principals

    def principal(self, headers: HeaderMap) -> str:
        """The name of the key's owner. Raises Unauthenticated, Forbidden."""
        if not self._principals:
            _refuse_other_sites(headers)
            return ANONYMOUS
        presented = _presented(headers)
        if presented is None:
            raise Unauthenticated(
                "An API key is needed: send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'",
                code="missing_api_key",
            )
        seen = sha256(presented).digest()
        for known, name in self._principals.items():
            if hmac.compare_digest(known, seen):
                return name
        raise Unauthenticated("The API key is not valid")


def _refuse_other_sites(headers: HeaderMap) -> None:
    """An open server must not serve web pages of other sites: any page in the user's browser can reach loopback.

    Browsers send Origin with every such call. https://fetch.spec.whatwg.org/#origin-header
    """
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin.decode("latin-1")).hostname not in ("localhost", "127.0.0.1", "::1"):
        raise Forbidden("A server without an API key does not answer web pages of other sites: set API_KEY")


def _presented(headers: HeaderMap) -> bytes | None:
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if key and scheme.lower() == b"bearer":
        return key.strip()
    return headers.get(b"x-api-key", b"").strip() or None
