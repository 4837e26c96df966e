"""AWS Signature Version 4, both sides: what a caller's signature must be, and our own for an upstream.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

Pure functions on bytes. Header names are in lower case; of a header that came twice, the last counts. A refusal is a
Forbidden whose `code` is AWS's name for it and whose message is in AWS's words: their clients act on both.
"""

from __future__ import annotations

import calendar
import hmac
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from wye.kernel.errors import Forbidden

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW_S = 300
UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"

_STAMP = "%Y%m%dT%H%M%SZ"
_STAMP_SHAPE = re.compile(r"\d{8}T\d{6}Z")
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S %z"
_HEX_SHA256 = re.compile(rb"[0-9a-f]{64}")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_RESERVED = re.compile(rb"[^A-Za-z0-9._~-]")

# A proxy between the caller and us may ask for compression of its own; these are what clients say before it does.
_ACCEPT_ENCODINGS = (b"gzip, deflate, br, zstd", b"gzip, deflate, br", b"gzip, deflate", b"gzip", b"identity")


class Keys(msgspec.Struct, frozen=True):
    """As whom to sign. `repr` shows no secret."""

    access_key_id: str
    secret: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Keys({self.access_key_id!r})"


class Claim(msgspec.Struct, frozen=True):
    """What the headers of a signed request say about its signature."""

    access_key_id: str
    date: str
    """`YYYYMMDD`, of the credential's scope."""
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    stamp: str
    """When it was signed: `YYYYMMDDTHHMMSSZ`."""

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read_claim(headers: Mapping[bytes, bytes], *, service: str) -> Claim:
    """The signature that a request presents, not checked yet. Any region will do.

    Raises Forbidden: MissingAuthenticationTokenException, IncompleteSignatureException, InvalidSignatureException.
    """
    algorithm, _, rest = headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    if algorithm != ALGORITHM:
        raise missing_token()
    given = dict(_member(piece) for piece in rest.split(","))
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not given.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    credential = given["Credential"].split("/")
    if len(credential) != 5 or credential[4] != "aws4_request" or not credential[0]:
        raise _incomplete("Credential must have exactly 5 slash-delimited elements: keyid/date/region/service/term.")
    signed = tuple(given["SignedHeaders"].lower().split(";"))
    if "host" not in signed or len(set(signed)) < len(signed):
        raise _incomplete("'SignedHeaders' must name 'host', and each header once.")
    stamp = _stamp(headers)
    claim = Claim(*credential[:4], signed_headers=signed, signature=given["Signature"], stamp=stamp)
    if claim.service != service:
        raise _invalid(f"Credential should be scoped to correct service: '{service}'.")
    if claim.date != stamp[:8]:
        raise _invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.date}' != '{stamp[:8]}', from '{stamp}'."
        )
    return claim


def verify(
    claim: Claim,
    secret: str,
    method: bytes,
    path: bytes,
    query: bytes,
    headers: Mapping[bytes, bytes],
    body: bytes,
    now_s: float,
) -> None:
    """Check a claim against the request as it was on the wire: `path` and `query` raw, `now_s` in seconds since 1970.

    Raises Forbidden, InvalidSignatureException, for a signature that is another's or older or newer than five minutes.
    """
    _check_time(claim.stamp, now_s)
    payload = headers.get(b"x-amz-content-sha256")
    if payload != UNSIGNED_PAYLOAD:
        digest = sha256(body).hexdigest().encode()
        if payload is not None and not (_HEX_SHA256.fullmatch(payload) and hmac.compare_digest(payload, digest)):
            raise _mismatch()
        payload = digest
    key = signing_key(secret, claim.date, claim.region, claim.service)
    signature = claim.signature.encode("latin-1")
    for seen in _as_sent(headers, claim.signed_headers):
        for canonical_path in _paths(path):
            request = canonical_request(method, canonical_path, query, seen, claim.signed_headers, payload)
            if hmac.compare_digest(_signature(key, claim.stamp, claim.scope, request), signature):
                return
    raise _mismatch()


def sign(
    keys: Keys,
    region: str,
    service: str,
    method: bytes,
    path: bytes,
    query: bytes,
    headers: Mapping[bytes, bytes],
    body: bytes,
    now_s: float,
) -> dict[bytes, bytes]:
    """The headers to add to a request so that it is signed: x-amz-date, authorization, and the session token's.

    `headers` are those to be signed, `host` among them; `path` and `query` are encoded as they will be sent.
    """
    stamp = _stamp_of(now_s)
    added = {b"x-amz-date": stamp.encode()}
    if keys.session_token:
        added[b"x-amz-security-token"] = keys.session_token.encode()
    seen = {**headers, **added}
    names = sorted(name.decode("latin-1") for name in seen)
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    payload = sha256(body).hexdigest().encode()
    request = canonical_request(method, _encoded_path(_normal(path)), query, seen, names, payload)
    signature = _signature(signing_key(keys.secret, stamp[:8], region, service), stamp, scope, request)
    added[b"authorization"] = (
        f"{ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature.decode()}"
    ).encode()
    return added


def canonical_request(
    method: bytes,
    canonical_path: bytes,
    query: bytes,
    headers: Mapping[bytes, bytes],
    signed_headers: Iterable[str],
    payload_hash: bytes,
) -> bytes:
    """The text whose hash is signed. A signed header that is not there counts as empty."""
    names = [name.encode("latin-1") for name in signed_headers]
    lines = [b"%b:%b" % (name, b" ".join(headers.get(name, b"").split())) for name in names]
    return b"\n".join((method, canonical_path, _canonical_query(query), *lines, b"", b";".join(names), payload_hash))


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


def missing_token() -> Forbidden:
    return Forbidden("Missing Authentication Token", code="MissingAuthenticationTokenException")


def unknown_key() -> Forbidden:
    return Forbidden("The security token included in the request is invalid.", code="UnrecognizedClientException")


def _mismatch() -> Forbidden:
    return _invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )


def _invalid(message: str) -> Forbidden:
    return Forbidden(message, code="InvalidSignatureException")


def _incomplete(message: str) -> Forbidden:
    return Forbidden(message, code="IncompleteSignatureException")


def _member(piece: str) -> tuple[str, str]:
    name, _, value = piece.strip().partition("=")
    return name, value


def _stamp(headers: Mapping[bytes, bytes]) -> str:
    """When the request says it was signed: x-amz-date over date, in ISO 8601's basic form or as HTTP writes dates."""
    written = headers.get(b"x-amz-date", headers.get(b"date", b"")).decode("latin-1").strip()
    if _STAMP_SHAPE.fullmatch(written):
        return written
    try:
        moment = datetime.strptime(written.replace("GMT", "+0000"), _HTTP_DATE)
        return moment.astimezone(UTC).strftime(_STAMP)
    except (ValueError, OverflowError):
        raise _incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        ) from None


def _stamp_of(seconds: float) -> str:
    return time.strftime(_STAMP, time.gmtime(seconds))


def _check_time(stamp: str, now_s: float) -> None:
    try:
        signed_s = calendar.timegm(time.strptime(stamp, _STAMP))
    except ValueError:
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.") from None
    now, minutes = _stamp_of(now_s), MAX_SKEW_S // 60
    if signed_s < now_s - MAX_SKEW_S:
        edge = _stamp_of(now_s - MAX_SKEW_S)
        raise _invalid(f"Signature expired: {stamp} is now earlier than {edge} ({now} - {minutes} min.)")
    if signed_s > now_s + MAX_SKEW_S:
        edge = _stamp_of(now_s + MAX_SKEW_S)
        raise _invalid(f"Signature not yet current: {stamp} is still later than {edge} ({now} + {minutes} min.)")


def _signature(key: bytes, stamp: str, scope: str, request: bytes) -> bytes:
    to_sign = "\n".join((ALGORITHM, stamp, scope, sha256(request).hexdigest()))
    return hmac.digest(key, to_sign.encode("latin-1"), "sha256").hex().encode()


def _as_sent(headers: Mapping[bytes, bytes], signed: tuple[str, ...]) -> Iterable[Mapping[bytes, bytes]]:
    """The headers as they came, then as they may have been before a proxy changed what it is allowed to change."""
    yield headers
    if "accept-encoding" in signed:
        for value in _ACCEPT_ENCODINGS:
            yield {**headers, b"accept-encoding": value}


def _paths(path: bytes) -> list[bytes]:
    """The canonical forms that a client may have signed for this path, without repetition, the likeliest first.

    Every service but S3 has the path encoded once more than it is sent: `:` in a model's id is sent as `%3A` and signed
    as `%253A`, or sent as it is and signed as `%3A`. Some clients encode only once, and a proxy may have undone the
    encoding of what it did not need to encode. `%2F` within an id never becomes a separator.
    """
    path = _normal(path)
    once = b"/".join(_encoded(_decoded(segment)) for segment in path.split(b"/"))
    return list(dict.fromkeys((_encoded_path(path), _encoded_path(once), once)))


def _normal(path: bytes) -> bytes:
    """Without empty and dot segments. https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4"""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            kept = kept[:-1]
        elif segment not in (b"", b"."):
            kept.append(segment)
    return b"/" + b"/".join(kept) + (b"/" if kept and path.endswith(b"/") else b"")


def _canonical_query(query: bytes) -> bytes:
    if not query:
        return b""
    pairs = (pair.partition(b"=") for pair in query.split(b"&") if pair)
    encoded = sorted((_encoded(_decoded(name)), _encoded(_decoded(value))) for name, _, value in pairs)
    return b"&".join(b"%b=%b" % pair for pair in encoded)


def _encoded_path(path: bytes) -> bytes:
    return b"/".join(map(_encoded, path.split(b"/")))


def _encoded(value: bytes) -> bytes:
    return _RESERVED.sub(lambda found: b"%%%02X" % ord(found[0]), value)


def _decoded(value: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), value)
