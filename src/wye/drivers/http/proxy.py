"""Which proxy stands before an origin, and the tunnel through it for TLS (CONNECT).

https://www.rfc-editor.org/rfc/rfc9110#name-connect
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

from wye.kernel.errors import ConfigError, ConnectFailed
from wye.kernel.secret import Secret
from wye.ports.transport import Origin

_MAX_HEAD_BYTES = 65_536
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


class Proxy:
    """An HTTP proxy: where it is and the line that opens it."""

    def __init__(self, url: str, setting: str) -> None:
        parts, port = _split(url, setting)
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigError(f"The {setting} proxy must be given as http://host:port (an HTTP proxy, without TLS)")
        self.host = parts.hostname
        self.port = port or 80
        self._credentials = None
        if parts.username is not None:
            self._credentials = Secret(f"{unquote(parts.username)}:{unquote(parts.password or '')}")

    @property
    def authorization(self) -> bytes:
        """The header line with the proxy's user and password; empty without one."""
        if self._credentials is None:
            return b""
        return b"proxy-authorization: Basic %b\r\n" % base64.b64encode(self._credentials.reveal().encode())

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _split(url: str, setting: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        # The cause would quote the URL, and a URL may hold a password.
        raise ConfigError(f"The {setting} proxy is not a URL such as http://host:port") from None


class Proxies:
    """The rules of the configuration: `http`, `https` and `no`, as HTTP_PROXY, HTTPS_PROXY and NO_PROXY mean them."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._by_scheme = {scheme: Proxy(url, scheme) for scheme, url in rules.items() if scheme != "no" and url}
        hosts = rules.get("no", "").lower().split(",")
        self._direct = {host.strip().removeprefix("*.").removeprefix(".") for host in hosts} - {""}

    def between(self, origin: Origin) -> Proxy | None:
        """The proxy that an origin is reached through, if any. A name in `no` covers the names below it."""
        labels = origin.host.lower().split(".")
        names = {".".join(labels[start:]) for start in range(len(labels))}
        if "*" in self._direct or names & self._direct:
            return None
        return self._by_scheme.get(origin.scheme)


class Tunnel(asyncio.Protocol):
    """Asks a proxy for a way through. `opened` is done once bytes may be sent to the other end."""

    def __init__(self, proxy: Proxy, to: bytes) -> None:
        self._proxy = proxy
        self._to = to
        self._head = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(  # uvloop's do not inherit from asyncio's
            b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (self._to, self._to, self._proxy.authorization)
        )

    def data_received(self, data: bytes) -> None:
        self._head += data
        if len(self._head) > _MAX_HEAD_BYTES:
            self._refuse("with a head longer than 64 KiB")
        elif b"\r\n\r\n" in self._head:
            status = _STATUS_LINE.match(self._head)
            if status is None:
                self._refuse("with something that is not HTTP/1.1")
            elif status[1] == b"407":
                self._refuse("because it wants a user name and a password: http://user:password@host:port")
            elif not status[1].startswith(b"2"):
                self._refuse(f"with status {status[1].decode()}")
            elif not self.opened.done():
                self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse("by closing the connection")

    def _refuse(self, how: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(
                ConnectFailed(f"The proxy {self._proxy} refused a tunnel to {self._to.decode()} {how}")
            )
