"""A provider that is a row: an address, a key and a dialect."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from fnmatch import fnmatchcase
from urllib.parse import quote

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Dialect, EmbeddingDialect, Quirks
from wye.dialects.openai_embeddings import DIALECT as OPENAI_EMBEDDINGS
from wye.kernel.errors import ConfigError, NoDeployment
from wye.kernel.json import JsonError, as_object, decode, encode
from wye.kernel.secret import Secret
from wye.ports.provider import Adapted, Call, Operation
from wye.ports.transport import Clocks, HeaderMap, Reply, Sent, Transport
from wye.providers.endpoint import header_line, read_address
from wye.providers.rows import Row

_PATHS: dict[Operation, dict[str, str]] = {
    "chat": {
        "openai_chat": "/chat/completions",
        "openai_responses": "/responses",
        "openai_completions": "/completions",
        "anthropic_messages": "/v1/messages",
    },
    "embed": {"openai_embeddings": "/embeddings"},
    "count_tokens": {
        "openai_responses": "/responses/input_tokens",
        "anthropic_messages": "/v1/messages/count_tokens",
    },
    "show_response": {"openai_responses": "/responses/{id}"},
    "cancel_response": {"openai_responses": "/responses/{id}/cancel"},
    "delete_response": {"openai_responses": "/responses/{id}"},
}
"""By the operation and the dialect."""
_METHODS: dict[Operation, bytes] = {
    "chat": b"POST",
    "embed": b"POST",
    "count_tokens": b"POST",
    "show_response": b"GET",
    "cancel_response": b"POST",
    "delete_response": b"DELETE",
}
_COUNTED = {
    "anthropic_messages": ("messages", "system", "tools", "tool_choice", "thinking"),
    "openai_responses": (
        *("input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation"),
        *("previous_response_id", "conversation", "personality"),
    ),
}
"""The members that bear on a count, in each dialect that has one: limits of the answer do not."""
_MAX_COUNT_BYTES = 64 * 1024


class UpstreamProvider:
    passthrough = True
    is_wye = False

    def __init__(
        self,
        name: str,
        row: Row,
        dialects: Mapping[str, Dialect],
        transport: Transport,
        *,
        base_url: str,
        api_key: Secret | None,
        headers: dict[str, str],
        quirks: Quirks,
    ) -> None:
        """`dialects`, by name, hold at least those of the row.

        Raises ConfigError for an address that is none, or a header that cannot be sent.
        """
        self.name = name
        self._dialects = dialects
        self.quirks = quirks
        self._row = row
        self._transport = transport
        if not base_url:
            raise ConfigError(f"providers.{name}: base_url is required for this kind of provider")
        self.origin, prefix = read_address(f"providers.{name}.base_url", base_url)
        self._targets = {
            operation: {
                dialect: (prefix.removesuffix("/v1") if path.startswith("/v1") else prefix).encode() + path.encode()
                for dialect, path in paths.items()
            }
            for operation, paths in _PATHS.items()
        }
        # Later ones replace earlier ones of the same name: what the operator wrote down stands.
        auth, _, value = row.auth.partition(": ")
        own = {"content-type": "application/json", "accept-encoding": "identity"}
        own |= {auth: value.format(key=api_key.reveal())} if api_key else {}
        own |= {header.lower(): value for header, value in headers.items()}
        self.missing_key = row.needs_key and auth not in own
        setting = f"providers.{name}"
        self._lines = b"".join(header_line(setting, *header) for header in own.items())
        self._defaults = {
            key.encode(): header_line(setting, key, value) for key, value in row.headers.items() if key not in own
        }
        self._forwarded = frozenset(header.encode() for header in row.forward_headers if header not in own)
        self._all_lines = self._lines + b"".join(self._defaults.values())
        """Where no caller's own headers go along."""

    async def adapt(self, request: ChatRequest, losses: Losses) -> Adapted:
        return Adapted(request)

    def speaks(self, model: str, caller: Dialect) -> Dialect:
        for pattern, name in self._row.models.items():
            if fnmatchcase(model, pattern):
                return self._dialects[name]
        return self._dialects[caller.name if caller.name in self._row.dialects else self._row.dialects[0]]

    def takes_prefill(self, model: str) -> bool:
        return self._row.takes_prefill(model)

    def calls_tools(self, model: str) -> bool:
        return True

    def window(self, model: str) -> int | None:
        return None

    def embeds(self, model: str) -> EmbeddingDialect | None:
        return OPENAI_EMBEDDINGS if self._row.embeddings else None

    def call_at_once(self, call: Call) -> Sent | None:
        if self.missing_key:
            return None
        lines, target = self._lines_of(call), self._target(call)
        return self._transport.send_at_once(
            self.origin, _METHODS[call.operation], target, lines, call.body, call.clocks
        )

    def call(self, call: Call) -> Awaitable[Reply]:
        if self.missing_key:
            raise NoDeployment(
                f"Provider '{self.name}' has no API key: set {self._row.key_env}, or providers.{self.name}.api_key"
            )
        method, target, lines = _METHODS[call.operation], self._target(call), self._lines_of(call)
        return self._transport.send(self.origin, method, target, lines, call.body, call.clocks, call.sent)

    async def count_tokens(self, model: str, request: ChatRequest) -> int | None:
        counting = [self._dialects[name] for name in self._row.dialects if name in _COUNTED]
        dialect = next((dialect for dialect in counting if self.speaks(model, dialect) is dialect), None)
        if dialect is None:
            return None
        headers: HeaderMap = {}
        if dialect.headers is not None:
            request, headers = dialect.headers.encode_request(request, Losses())
        body = dialect.encode_request(request, Losses(), self.quirks)
        counted = {name: body[name] for name in _COUNTED[dialect.name] if name in body}
        asked = encode({"model": model, **counted})
        reply = await self.call(Call(dialect.name, model, asked, False, "count_tokens", caller=headers))
        try:
            answer = await reply.read_all(_MAX_COUNT_BYTES, Clocks().headers_s)
        finally:
            reply.close()
        if reply.status in (404, 405):
            return None  # a server of this format that does not count
        if reply.status >= 400:
            raise dialect.decode_error(reply.status, reply.headers, answer)
        try:
            tokens = (as_object(decode(answer)) or {}).get("input_tokens")
        except JsonError:
            return None
        return tokens if isinstance(tokens, int) else None

    def _lines_of(self, call: Call) -> bytes:
        if call.caller.keys().isdisjoint(self._forwarded):
            return self._all_lines
        return self._lines + self._forward(call.caller)

    def _target(self, call: Call) -> bytes:
        target = self._targets[call.operation][call.dialect]
        return target.replace(b"{id}", quote(call.subject, safe="").encode()) if call.subject else target

    def _forward(self, caller: HeaderMap) -> bytes:
        """The caller's own headers that concern the upstream, over the row's defaults."""
        own = [(name, caller[name]) for name in self._forwarded if name in caller]
        lines = {**self._defaults, **{name: b"%b: %b\r\n" % (name, value) for name, value in own}}
        return b"".join(lines.values())
