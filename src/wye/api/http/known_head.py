"""The head of a request, known again: on its connection a caller says the same one call after call."""

from __future__ import annotations

import re

from wye.api.http.call import Call
from wye.ports.transport import HeaderMap

MAX_KNOWN_BYTES = 8192
"""A longer head is not remembered: each connection holds one."""
_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,15})\r\n", re.IGNORECASE)
_MAX_DIGITS = 15


class KnownHead:
    """What the parser made of a head, for a request whose head is the same but for the length of its body.

    What a parser finds depends on nothing but the bytes since the request before. Only a request without a byte beyond
    it is known: all others are the parser's.
    """

    __slots__ = ("_after", "_before", "_digits_at", "_headers", "method", "target")

    def __init__(self, before: bytes, after: bytes, call: Call) -> None:
        self._before = before
        """Up to the digits of Content-Length."""
        self._after = after
        self._digits_at = len(before)
        self._headers = call.headers
        self.method = call.method
        self.target = call.target

    def read(self, data: bytes) -> tuple[HeaderMap, bytes, int] | None:
        """The headers of a request with this head, its body, and how many bytes of that are still to come. None for any
        other bytes."""
        if not data.startswith(self._before):
            return None
        digits_at = self._digits_at
        end = data.find(b"\r\n", digits_at, digits_at + _MAX_DIGITS + 2)
        if end < 0 or not data.startswith(self._after, end):
            return None
        digits = data[digits_at:end]
        if not digits.isdigit():
            return None
        body = data[end + len(self._after) :]
        missing = int(digits) - len(body)
        return ({**self._headers, b"content-length": digits}, body, missing) if missing >= 0 else None


def learn(data: bytes, call: Call) -> KnownHead | None:
    """The head of a call that the parser found at the begin of these bytes; None where it is not to be known."""
    end = data.find(b"\r\n\r\n", 0, MAX_KNOWN_BYTES) + 4
    found = _LENGTH.search(data, 0, end)
    if found is None or call.version != "1.1" or b"expect" in call.headers:
        return None
    # Each line but the first and the last is a header of its own: none is folded, or comes twice.
    if data.count(b"\r\n", 0, end) != len(call.headers) + 2:
        return None
    return KnownHead(data[: found.start(1)], data[found.end(1) : end], call)
