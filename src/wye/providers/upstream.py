"""A provider that is a row: an address, a key and a dialect."""

from __future__ import annotations

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Dialect, Quirks
from wye.kernel.errors import ConfigError, NoDeployment
from wye.kernel.json import JsonError, as_object, decode, encode
from wye.kernel.secret import Secret
from wye.ports.provider import Adapted, Operation
from wye.ports.transport import Clocks, HeaderMap, Reply, Transport
from wye.providers.endpoint import header_line, read_address
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
        if not base_url:
            raise ConfigError(f"providers.{name}: base_url is required for this kind of provider")
        self.origin, prefix = read_address(f"providers.{name}.base_url", base_url)
        self._targets = {
            operation: (prefix.removesuffix("/v1") if path.startswith("/v1") else prefix).encode() + path.encode()
            for (spoken, operation), path in _PATHS.items()
            if spoken == dialect.name
        }
        # Later ones replace earlier ones of the same name: what the operator wrote down stands.
        auth, _, value = row.auth.partition(": ")
        own = {"content-type": "application/json", "accept-encoding": "identity"}
        own |= {auth: value.format(key=api_key.reveal())} if api_key else {}
        own |= {header.lower(): value for header, value in headers.items()}
        self.missing_key = row.needs_key and auth not in own
        self._lines = b"".join(header_line(name, *header) for header in own.items())
        self._defaults = {
            key.encode(): header_line(name, key, value) for key, value in row.headers.items() if key not in own
        }
        self._forwarded = frozenset(header.encode() for header in row.forward_headers if header not in own)
        self._default_lines = b"".join(self._defaults.values())

    async def adapt(self, request: ChatRequest, losses: Losses) -> Adapted:
        return Adapted(request)

    async def call(self, operation: Operation, model: str, body: bytes, clocks: Clocks, caller: HeaderMap) -> Reply:
        if self.missing_key:
            raise NoDeployment(
                f"Provider '{self.name}' has no API key: set {self._row.key_env}, or providers.{self.name}.api_key"
            )
        lines = self._lines + (self._forward(caller) if caller else self._default_lines)
        return await self._transport.send(self.origin, b"POST", self._target(operation, model), lines, body, clocks)

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
            raise self.dialect.decode_error(reply.status, reply.headers, answer)
        try:
            tokens = (as_object(decode(answer)) or {}).get("input_tokens")
        except JsonError:
            return None
        return tokens if isinstance(tokens, int) else None

    def _target(self, operation: Operation, model: str) -> bytes:
        return self._targets[operation]

    def _forward(self, caller: HeaderMap) -> bytes:
        """The caller's own headers that concern the upstream, over the row's defaults."""
        if self._forwarded.isdisjoint(caller):
            return self._default_lines
        own = [(name, caller[name]) for name in self._forwarded if name in caller]
        lines = {**self._defaults, **{name: b"%b: %b\r\n" % (name, value) for name, value in own}}
        return b"".join(lines.values())
