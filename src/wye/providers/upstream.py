"""A provider that is a row: an address, a key and a dialect."""

from __future__ import annotations

from urllib.parse import urlsplit

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Dialect, Quirks
from wye.kernel.errors import ConfigError, NoDeployment
from wye.kernel.json import JsonError, decode, encode
from wye.kernel.secret import Secret
from wye.ports.provider import Adapted, Operation
from wye.ports.transport import Clocks, HeaderMap, Origin, Reply, Transport
from wye.providers.rows import Row

_PATHS: dict[tuple[str, Operation], str] = {
    ("openai_chat", "chat"): "/chat/completions",
    ("anthropic_messages", "chat"): "/v1/messages",
    ("anthropic_messages", "count_tokens"): "/v1/messages/count_tokens",
}
_MAX_COUNT_BYTES = 64 * 1024


class UpstreamProvider:
    passthrough = True

    def __init__(
        self,
        name: str,
        row: Row,
        dialect: Dialect,
        transport: Transport,
        *,
        base_url: str,
        api_key: Secret | None,
        headers: dict[str, str],
        quirks: Quirks,
    ) -> None:
        """Raises ConfigError for an address that is none, or a header that cannot be sent."""
        self.name = name
        self.dialect = dialect
        self.quirks = quirks
        self._row = row
        self._transport = transport
        self.missing_key = row.needs_key and not api_key
        self.origin, prefix = _address(name, base_url)
        self._targets = {
            operation: (prefix.removesuffix("/v1") if path.startswith("/v1") else prefix).encode() + path.encode()
            for (spoken, operation), path in _PATHS.items()
            if spoken == dialect.name
        }
        lines = [("content-type", "application/json"), ("accept-encoding", "identity"), *headers.items()]
        if api_key:
            header, _, value = row.auth.partition(": ")
            lines.append((header, value.format(key=api_key.reveal())))
        self._lines = b"".join(_line(name, *line) for line in lines)
        self._defaults = {key.encode(): _line(name, key, value) for key, value in row.headers.items()}
        self._forwarded = tuple(header.encode() for header in row.forward_headers)
        self._default_lines = b"".join(self._defaults.values())

    async def adapt(self, request: ChatRequest, losses: Losses) -> Adapted:
        return Adapted(request)

    async def call(self, operation: Operation, model: str, body: bytes, clocks: Clocks, caller: HeaderMap) -> Reply:
        if self.missing_key:
            raise NoDeployment(
                f"Provider '{self.name}' has no API key: set {self._row.key_env}, or providers.{self.name}.api_key"
            )
        lines = self._lines + (self._forward(caller) if caller else self._default_lines)
        return await self._transport.send(self.origin, b"POST", self._targets[operation], lines, body, clocks)

    async def count_tokens(self, model: str, request: ChatRequest) -> int | None:
        if "count_tokens" not in self._targets:
            return None
        body = self.dialect.encode_request(request, Losses(), self.quirks)
        # Limits of the answer are no part of a question about the input.
        counted = {
            name: body[name] for name in ("messages", "system", "tools", "tool_choice", "thinking") if name in body
        }
        reply = await self.call("count_tokens", model, encode({"model": model, **counted}), Clocks(), {})
        try:
            answer = await reply.read_all(_MAX_COUNT_BYTES, Clocks().headers_s)
        finally:
            reply.close()
        if reply.status >= 400:
            raise self.dialect.decode_error(reply.status, dict(reply.headers), answer)
        try:
            return int(decode(answer)["input_tokens"])
        except (JsonError, KeyError, TypeError, ValueError):
            return None

    def _forward(self, caller: HeaderMap) -> bytes:
        """The caller's own headers that concern the upstream, over the row's defaults."""
        own = [(name, value) for name in self._forwarded if (value := caller.get(name)) is not None]
        if not own:
            return self._default_lines
        lines = {**self._defaults, **{name: b"%b: %b\r\n" % (name, value) for name, value in own}}
        return b"".join(lines.values())


def _address(name: str, base_url: str) -> tuple[Origin, str]:
    """Where to connect, and the path in front of every call."""
    if not base_url:
        raise ConfigError(f"providers.{name}: base_url is required for this kind of provider")
    parts = urlsplit(base_url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.query or parts.fragment:
        raise ConfigError(f"providers.{name}.base_url: {base_url!r} must look like https://host[:port]/path")
    if parts.username or parts.password:
        raise ConfigError(f"providers.{name}.base_url must hold no credentials: use api_key or headers")
    default = 443 if parts.scheme == "https" else 80
    return Origin(parts.scheme, parts.hostname, port or default), parts.path.rstrip("/")


def _line(provider: str, name: str, value: str) -> bytes:
    if not name.isascii() or any(c in "\r\n\0" for c in name + value):
        raise ConfigError(f"providers.{provider}.headers: {name!r} cannot be sent as an HTTP header")
    return f"{name.lower()}: {value}\r\n".encode("latin-1", "replace")
