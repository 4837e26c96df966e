"""A server that sends on what it is asked, and hears what is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from wye.drivers.http import HttpTransport
from wye.kernel.errors import ConfigError, UpstreamError
from wye.ports.transport import Clocks, Origin, Reply
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body

_HOP_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "expect", "accept-encoding", "keep-alive"}
_MAX_ANSWER = 64 * 1024 * 1024
_SILENCE_S = 300.0


class Forwarder(FakeUpstream):
    """Forwards to `base_url` (with or without `/v1`), keys included; answers come as they are made.

    AWS's signatures hold the host's name, so calls that are signed for another do not pass: use a bearer token, or put
    a gateway between. An answer that breaks off, breaks off here as well. Raises ConfigError for what is no address.
    """

    def __init__(self, base_url: str, *, port: int = 0) -> None:
        super().__init__(self.forward, port=port)
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"'{base_url}' is no address of a server: https://HOST")
        default = 443 if parts.scheme == "https" else 80
        self._origin = Origin(parts.scheme, parts.hostname, parts.port or default)
        self._prefix = parts.path.rstrip("/").removesuffix("/v1")
        self._transport: HttpTransport | None = None

    def ended(self, request: FakeRequest, status: int, headers: dict[str, str], body: bytes, *, whole: bool) -> None:
        """Called once an answer is over, before the caller knows; `whole` when nothing of it is missing."""

    async def forward(self, request: FakeRequest) -> FakeAnswer:
        if self._transport is None:
            self._transport = HttpTransport()
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items() if name not in _HOP_HEADERS)
        head = f"{lines}accept-encoding: identity\r\n".encode("latin-1")
        target = (self._prefix + request.path).encode("latin-1")
        method = request.method.encode()
        try:
            reply = await self._transport.send(self._origin, method, target, head, request.body, Clocks())
        except UpstreamError as error:
            return json_body({"error": {"message": error.message, "type": "upstream_error"}}, 502)
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers.items()}
        headers = {name: value for name, value in told.items() if name not in (*_HOP_HEADERS, "content-encoding")}
        return FakeAnswer(self._pieces(request, reply, headers), reply.status, headers)

    async def _pieces(self, request: FakeRequest, reply: Reply, headers: dict[str, str]) -> AsyncIterator[bytes]:
        heard: list[bytes] = []
        size, whole = 0, False
        try:
            while piece := await reply.read(_SILENCE_S):
                heard.append(piece)
                size += len(piece)
                if size > _MAX_ANSWER:
                    raise ConnectionError(f"the answer is longer than {_MAX_ANSWER} bytes")
                yield piece
            whole = True
        except UpstreamError as error:
            raise ConnectionError(error.message) from None
        finally:
            reply.close()
            self.ended(request, reply.status, headers, b"".join(heard), whole=whole)

    async def _ended(self) -> None:
        if self._transport is not None:
            await self._transport.close()
