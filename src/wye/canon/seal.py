"""What only another vendor can read, carried through a client: sealed into one opaque text, and unsealed byte for byte
when the conversation comes back.

Every dialect with reasoning has a string that its clients replay without looking inside: Anthropic's `signature`,
Responses' `encrypted_content`, Bedrock's `signature`. A seal is `wye1.` and base64url (RFC 4648, no padding) of the
part as JSON. It is no secret and no proof: it holds nothing that its bearer could not send as well, and a reader
treats what comes out as the caller's own words.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from wye.canon.parts import Opaque, Thinking, ToolCall
from wye.kernel.json import JsonError, decode, encode

PREFIX = "wye1."
_SEALED = b'"' + PREFIX.encode() + base64.b64encode(b'{"type":"')
"""How a seal begins in a body's JSON: the part's kind is its first member. A search skips the further ahead the longer
what it looks for is, and it goes through every body that could pass through."""
MAX_SEAL_CHARS = 32 * 1024 * 1024
"""A longer text is no seal. The longest frame of a stream, sealed, is shorter."""

Sealable = Thinking | Opaque | ToolCall
"""A thought, an element that only its own dialect understands, a call that a provider ran itself."""


def seal(part: Sealable) -> str:
    """The part as one ASCII text. What the client keeps itself (a thought's text) need not be in it."""
    members = {name: value for name, value in msgspec.to_builtins(part).items() if value is not None}
    return PREFIX + base64.urlsafe_b64encode(encode(members)).rstrip(b"=").decode()


def has_seals(body: bytes) -> bool:
    """Whether there may be seals in the bytes of this JSON: nobody but Wye can read them."""
    return body.find(_SEALED) >= 0  # `in` would first try the bytes as a number


def unseal(text: str) -> Sealable | None:
    """The part that was sealed; None for a text that is no seal: a vendor's own, one that was cut, one too long."""
    if not text.startswith(PREFIX) or len(text) > MAX_SEAL_CHARS:
        return None
    try:
        data = text[len(PREFIX) :].encode("ascii")
        members = decode(base64.b64decode(data + b"=" * (-len(data) % 4), b"-_", validate=True))
        return msgspec.convert(members, Sealable)
    except (UnicodeEncodeError, binascii.Error, JsonError, msgspec.ValidationError):
        return None
