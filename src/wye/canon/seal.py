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
from typing import Any, TypeVar

import msgspec

from wye.canon.parts import Opaque, Thinking
from wye.kernel.json import JsonError, decode, encode

PREFIX = "wye1."
MAX_SEAL_CHARS = 32 * 1024 * 1024
"""A longer text is no seal. The longest frame of a stream, sealed, is shorter."""

P = TypeVar("P", Thinking, Opaque)


def seal(thought: Thinking) -> str:
    """The thought as one ASCII text. What the client keeps itself (the thought's text) need not be in it."""
    return _seal(thought)


def unseal(text: str) -> Thinking | None:
    """The thought that was sealed; None for a text that is no seal of one."""
    return _unseal(text, Thinking)


def seal_opaque(dialect: str, value: dict[str, Any]) -> str:
    """An element that only `dialect` understands, as one ASCII text."""
    return _seal(Opaque(dialect, value))


def unseal_opaque(text: str) -> Opaque | None:
    """The element that was sealed; None for a text that is no seal of one."""
    return _unseal(text, Opaque)


def _seal(part: Thinking | Opaque) -> str:
    members = {name: value for name, value in msgspec.to_builtins(part).items() if value is not None}
    return PREFIX + base64.urlsafe_b64encode(encode(members)).rstrip(b"=").decode()


def _unseal(text: str, kind: type[P]) -> P | None:
    if not text.startswith(PREFIX) or len(text) > MAX_SEAL_CHARS:
        return None
    try:
        data = text[len(PREFIX) :].encode("ascii")
        members = decode(base64.b64decode(data + b"=" * (-len(data) % 4), b"-_", validate=True))
        return msgspec.convert(members, kind)
    except (UnicodeEncodeError, binascii.Error, JsonError, msgspec.ValidationError):
        return None
