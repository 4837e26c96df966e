"""A secret that cannot be printed by accident."""

from __future__ import annotations

import hashlib
import hmac


class Secret:
    """Holds a key or a token. Absent from repr, str, logs and JSON (encoding one is a TypeError); see `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def masked(self) -> str:
        """Enough to recognise it, too little to use it: `sk-***` keeps the part before the first dash."""
        head, dash, _ = self._value.partition("-")
        return f"{head}-***" if dash and len(head) <= 4 else "***"

    def __repr__(self) -> str:
        return f"Secret({self.masked()!r})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(fingerprint(self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret cannot be pickled")


def fingerprint(value: str) -> bytes:
    """SHA-256 of a key: what is stored and compared instead of it. Keys are random, so no salt or stretching."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
