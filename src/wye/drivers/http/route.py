"""How one origin is reached: what the head of a request says, and how a connection to it is opened."""

from __future__ import annotations

import asyncio
import socket
import ssl

from wye.drivers.http.proxy import Proxy, Tunnel
from wye.kernel.errors import BadRequest, ConnectFailed
from wye.ports.transport import Origin

_REMEMBERED = 64
_WITHOUT_BODY = (b"GET", b"HEAD", b"DELETE", b"OPTIONS")


class Route:
    """An origin, the proxy before it and the certificates to trust. `peer` names it in errors."""

    def __init__(self, origin: Origin, proxy: Proxy | None, tls: ssl.SSLContext | None) -> None:
        self._origin = origin
        self._proxy = proxy
        self._tls = tls
        self.peer = f"unix socket {origin.socket_path}" if origin.scheme == "unix" else f"{origin.host}:{origin.port}"
        # A proxy is told the whole URL of a plain request (absolute-form); a tunnel's other end is not.
        forwarded = proxy is not None and tls is None
        host, authority = _ascii(origin.host), _ascii(origin.authority)
        self._tunnel_to = (b"[%b]:%d" if b":" in host else b"%b:%d") % (host, origin.port)
        self._before_target = b" http://" + authority if forwarded else b" "
        self._after_target = b" HTTP/1.1\r\nhost: " + authority + b"\r\n"
        if proxy is not None and forwarded:
            self._after_target += proxy.authorization
        self._lines: dict[tuple[bytes, bytes], bytes] = {}
        """The first lines of a request, by its method and its target."""

    def head(self, method: bytes, target: bytes, headers: bytes, body: bytes) -> bytes:
        """The request up to its body. Raises BadRequest for a target with a blank, which could smuggle a request."""
        lines = self._lines.get((method, target)) or self._first_lines(method, target)
        end = b"content-length: %d\r\n\r\n" % len(body) if body or method not in _WITHOUT_BODY else b"\r\n"
        return b"".join((lines, headers, end))

    def _first_lines(self, method: bytes, target: bytes) -> bytes:
        if target.split() != [target]:
            raise BadRequest("The path of the upstream's URL is empty or holds a blank or a line break")
        if len(self._lines) >= _REMEMBERED:
            self._lines.clear()  # some targets hold an id
        lines = self._lines[method, target] = method + self._before_target + target + self._after_target
        return lines

    async def dial(self, connection: asyncio.Protocol) -> None:
        """Open a socket for `connection`. Raises ConnectFailed, in words."""
        try:
            await self._open(connection)
        except OSError as error:
            via = f" through the proxy {self._proxy}" if self._proxy else ""
            raise ConnectFailed(f"Cannot reach {self.peer}{via}: {_cause(error)}") from error

    async def _open(self, connection: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        origin = self._origin
        if origin.scheme == "unix":
            await loop.create_unix_connection(lambda: connection, origin.socket_path)
        elif self._proxy is None:
            await loop.create_connection(lambda: connection, origin.host, origin.port, ssl=self._tls)
        elif self._tls is None:
            await loop.create_connection(lambda: connection, self._proxy.host, self._proxy.port)
        else:
            await self._open_tunnel(connection, self._proxy, self._tls)

    async def _open_tunnel(self, connection: asyncio.Protocol, proxy: Proxy, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        plain, tunnel = await loop.create_connection(lambda: Tunnel(proxy, self._tunnel_to), proxy.host, proxy.port)
        try:
            await tunnel.opened
            secure = await loop.start_tls(plain, connection, tls, server_hostname=self._origin.host)
        except BaseException:  # whatever ends this, a cancellation too, must not leave the socket open
            plain.abort()
            raise
        assert secure is not None
        connection.connection_made(secure)


def _ascii(name: str) -> bytes:
    try:
        encoded = name.encode("idna")
    except UnicodeError:
        encoded = b" "
    if any(byte <= 0x20 for byte in encoded):
        raise ConnectFailed(f"Cannot reach {name!r}: not a host name")
    return encoded


def _cause(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate is not trusted ({error.verify_message}); a private CA needs its CA file set"
        case ssl.SSLError():
            return f"the TLS handshake failed ({error.reason or error})"
        case socket.gaierror():
            return f"the name was not found ({error.strerror}); check the host and the DNS"
        case ConnectionRefusedError():
            return "connection refused; is anything listening there?"
        case FileNotFoundError():
            return "no such socket; is its server running?"
        case ConnectionError():
            return "it closed the connection during the handshake"
        case _:
            return error.strerror or str(error)
