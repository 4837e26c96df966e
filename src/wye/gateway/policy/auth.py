"""Who is calling. Headers only: the body of an unknown caller is never read."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from wye.gateway.policy.issued_keys import IssuedKeys
from wye.kernel import clock, sigv4
from wye.kernel.errors import Forbidden, Unauthenticated
from wye.kernel.secret import Secret, fingerprint
from wye.ports.transport import HeaderMap

ANONYMOUS = "anonymous"


OWN_ACCESS_KEY_ID = "wye"
"""The access key id under which AWS clients sign with the server's API key as their secret."""


class AwsCaller(msgspec.Struct, frozen=True):
    """Who calls a Bedrock route, known by its headers; a signature is only checked once the body is there."""

    principal: str
    claim: sigv4.Claim | None = None
    secret: Secret | None = None

    def check(self, method: bytes, path: bytes, query: bytes, headers: HeaderMap, body: bytes) -> None:
        """Raises Forbidden, in AWS's words, when the request is not what this caller signed. `path` is undecoded."""
        if self.claim is not None and self.secret is not None:
            sigv4.verify(self.claim, self.secret.reveal(), method, path, query, headers, body, clock.wall_s())


class Auth:
    """Knows keys by their SHA-256, but for those that sign: a signature is checked with the secret itself.

    Without any key the server is open and every caller is anonymous.
    """

    def __init__(
        self,
        keys: Mapping[str, Secret],
        pairs: Mapping[str, tuple[str, Secret]] = MappingProxyType({}),
        issued: IssuedKeys | None = None,
    ) -> None:
        """`keys` by the name of their owner; `pairs` for AWS clients: access key id to its owner and its secret."""
        self._issued = issued
        self.restricts = issued is not None
        """Whether `allow` may have something to say."""
        self._principals = {fingerprint(key.reveal()): name for name, key in keys.items()}
        self._bearers = {b"Bearer " + key.reveal().encode("utf-8", "surrogatepass"): name for name, key in keys.items()}
        """By the header as clients send it. A dictionary compares only what has the same hash, and that is keyed: how
        long a search takes tells nothing of a key."""
        self._pairs = dict(pairs)

    @property
    def open(self) -> bool:
        return not self._principals and self._issued is None

    async def meet(self, headers: HeaderMap) -> None:
        """Look up an issued key, before `principal` or `aws_caller` is asked for its owner. Raises StoreAway."""
        if self._issued is not None and (secret := _presented(headers)) is not None:
            await self._issued.meet(secret)

    def known(self, headers: HeaderMap) -> str | None:
        """The same as `identify` where nobody must be waited for; None where somebody must."""
        name = self._bearers.get(headers.get(b"authorization", b""))
        return self.principal(headers) if name is None and self._issued is None else name

    async def identify(self, headers: HeaderMap) -> str:
        """The name of the key's owner. Raises Unauthenticated, Forbidden, StoreAway."""
        await self.meet(headers)
        return self.principal(headers)

    def allow(self, principal: str, operation: str, model: str | None = None) -> None:
        """Raises Forbidden where a caller's key is not for that."""
        if self._issued is not None:
            self._issued.allow(principal, operation, model)

    def principal(self, headers: HeaderMap) -> str:
        """The name of the key's owner. Raises Unauthenticated, Forbidden."""
        if self.open:
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
        if self._issued is not None and (key := self._issued.find(presented)) is not None:
            return key.id
        raise Unauthenticated("The API key is not valid")

    def aws_caller(self, headers: HeaderMap) -> AwsCaller:
        """The caller of a Bedrock route: a key as on any other route, or a signature whose key is known here.

        Raises Forbidden in AWS's words. An open server takes any signature, as AWS's clients always send one.
        """
        if _presented(headers) is not None or self.open:
            try:
                return AwsCaller(self.principal(headers))
            except Unauthenticated:
                raise sigv4.unknown_key() from None
        claim = sigv4.read_claim(headers, service="bedrock")
        pair = self._pairs.get(claim.access_key_id)
        if pair is None:
            raise sigv4.unknown_key()
        principal, secret = pair
        return AwsCaller(principal, claim, secret)


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
