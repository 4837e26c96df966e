"""Addresses and headers as an operator writes them, checked once and made ready to send."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from wye.kernel.errors import ConfigError
from wye.ports.transport import Origin

_SCHEMES = ("http", "https")
# https://www.rfc-editor.org/rfc/rfc9110#section-5.5
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_OF_THE_TRANSPORT = ("host", "content-length", "connection", "transfer-encoding")


def read_address(setting: str, url: str) -> tuple[Origin, str]:
    """Where to connect, and the path in front of every call. Raises ConfigError naming `setting`, its path."""
    # First of all: no later message may repeat them.
    if "@" in url:
        raise ConfigError(f"{setting} must hold no credentials: use api_key or headers")
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else 443 if parts.scheme == "https" else 80
    except ValueError:
        parts, port = urlsplit(""), 0
    is_plain = url.isascii() and all("!" <= character <= "~" for character in url)
    if not is_plain or not parts.hostname or not port or parts.query or parts.fragment or parts.scheme not in _SCHEMES:
        raise ConfigError(f"{setting}: {url!r} must look like https://host[:port]/path")
    return Origin(parts.scheme, parts.hostname, port), parts.path.rstrip("/")


def header_line(setting: str, name: str, value: str) -> bytes:
    """Raises ConfigError, without the value: it may be a key."""
    if not _HEADER_NAME.fullmatch(name) or name in _OF_THE_TRANSPORT or not _HEADER_VALUE.fullmatch(value):
        raise ConfigError(f"{setting}: {name!r} cannot be sent as an HTTP header with the value it has")
    return f"{name}: {value}\r\n".encode("latin-1")
