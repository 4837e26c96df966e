"""Amazon Bedrock's runtime: where its models are called, and as whom.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn
from urllib.parse import quote

from msgspec.structs import replace

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.bedrock_converse import decode_count_response, encode_count_request
from wye.dialects.bedrock_embeddings import family_of_model as embeddings_of_model
from wye.dialects.bedrock_models import base_model
from wye.dialects.dialect import Dialect, EmbeddingDialect, Quirks
from wye.kernel import clock
from wye.kernel.errors import NoDeployment, UpstreamRefused
from wye.kernel.json import decode_answer, encode
from wye.kernel.sigv4 import sign
from wye.ports.provider import Adapted, Call
from wye.ports.transport import Clocks, Origin, Reply, Sent, Transport
from wye.providers.aws import AwsCredentials
from wye.providers.endpoint import header_line, read_address
from wye.providers.rows import ROWS

_SERVICE = "bedrock"
_FORWARDED = (b"x-amzn-bedrock-", b"anthropic-beta")
"""How the names of headers begin that a caller's request goes out with."""
_MAX_SMALL_BYTES = 64 * 1024
_REFUSAL_S = 10.0
_ABOUT_CREDENTIALS = (
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
)


class BedrockRuntime:
    """One account in one region."""

    def __init__(self, name: str, credentials: AwsCredentials, endpoint_url: str | None = None) -> None:
        """Raises ConfigError for an endpoint_url that is no address. Without one it is the region's."""
        self.credentials = credentials
        self._endpoint = read_address(f"providers.{name}.endpoint_url", endpoint_url) if endpoint_url else None
        token = credentials.settings.bearer_token
        self._bearer = header_line(f"providers.{name}", "authorization", f"Bearer {token.reveal()}") if token else None

    async def origin(self) -> Origin:
        """Where to connect. Raises NoDeployment when no region is known."""
        if self._endpoint is not None:
            return self._endpoint[0]
        return Origin("https", f"bedrock-runtime.{await self.credentials.region()}.amazonaws.com", 443)

    def target(self, call: Call) -> bytes:
        """The path of a call in `bedrock_converse`, else in a model's own format; its model is an id or an ARN."""
        if call.operation == "count_tokens":
            verb = "count-tokens"
        elif call.dialect == "bedrock_converse":
            verb = "converse-stream" if call.stream else "converse"
        else:
            verb = "invoke-with-response-stream" if call.stream else "invoke"
        prefix = self._endpoint[1] if self._endpoint else ""
        return f"{prefix}/model/{quote(call.model, safe='')}/{verb}".encode()

    async def authorize(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        """The header lines that make a call of `target` this account's; `headers` are signed with it.

        Raises NoDeployment for credentials that cannot be had, MissingExtra.
        """
        if self._bearer is not None:
            return self._bearer
        keys, region, origin = await self.credentials.keys(), await self.credentials.region(), await self.origin()
        path, _, query = target.partition(b"?")
        signed = {b"host": origin.authority.encode(), **headers}
        added = sign(keys, region, _SERVICE, method, path, query, signed, body, clock.wall_s())
        return b"".join(b"%b: %b\r\n" % line for line in added.items())

    def explain(self, error: UpstreamRefused) -> NoDeployment | None:
        """What a refusal means when it is about this account's credentials, which are no concern of the caller's.

        The next call signs in anew.
        """
        if error.kind not in _ABOUT_CREDENTIALS:
            return None
        self.credentials.forget()
        return self.credentials.unusable(error.message)


class BedrockProvider:
    """Bedrock's models, in Converse; in its own format a model is asked only by callers who speak it themselves."""

    passthrough = True
    is_wye = False

    def __init__(
        self,
        name: str,
        runtime: BedrockRuntime,
        converse: Dialect,
        family_of: Callable[[str], Dialect | None],
        transport: Transport,
        quirks: Quirks,
    ) -> None:
        """`family_of` gives the format of a model's own family, None where it has none."""
        self.name = name
        self.quirks = quirks
        self._runtime = runtime
        self._converse = converse
        self._family_of = family_of
        self._transport = transport

    def speaks(self, model: str, caller: Dialect) -> Dialect:
        return caller if caller is self._family_of(model) else self._converse

    def takes_prefill(self, model: str) -> bool:
        return ROWS["bedrock"].takes_prefill(base_model(model))

    def calls_tools(self, model: str) -> bool:
        return True

    def window(self, model: str) -> int | None:
        return None

    def embeds(self, model: str) -> EmbeddingDialect | None:
        return embeddings_of_model(model)

    async def adapt(self, request: ChatRequest, losses: Losses) -> Adapted:
        return Adapted(request)

    def call_at_once(self, call: Call) -> Sent | None:
        return None  # whose keys sign it must be asked for

    async def call(self, call: Call) -> Reply:
        """Also raises what `BedrockRuntime.authorize` raises; UpstreamRefused for what Bedrock does not allow."""
        runtime = self._runtime
        target = runtime.target(call)
        accept = b"application/vnd.amazon.eventstream" if call.stream else b"application/json"
        headers = {b"content-type": b"application/json", b"accept": accept}
        headers |= {name: value for name, value in call.caller.items() if name.startswith(_FORWARDED)}
        lines = b"".join([b"%b: %b\r\n" % line for line in headers.items()])
        lines += await runtime.authorize(b"POST", target, headers, call.body)
        reply = await self._transport.send(await runtime.origin(), b"POST", target, lines, call.body, call.clocks)
        if reply.status in (401, 403):
            await self._refused(reply)
        return reply

    async def count_tokens(self, model: str, request: ChatRequest) -> int | None:
        """Models are asked for by their own id: what a profile adds to it is not known to this operation."""
        asked = encode(encode_count_request(replace(request, model=model), Losses(), self.quirks))
        call = Call(self._converse.name, base_model(model), asked, False, "count_tokens")
        reply = await self.call(call)
        try:
            answer = await reply.read_all(_MAX_SMALL_BYTES, Clocks().headers_s)
        finally:
            reply.close()
        if reply.status >= 400:
            return None  # some models cannot be asked
        return decode_count_response(decode_answer(answer))

    async def _refused(self, reply: Reply) -> NoReturn:
        """Raise what AWS said; what it says of this account's credentials is no concern of the caller's."""
        try:
            body = await reply.read_all(_MAX_SMALL_BYTES, _REFUSAL_S)
        finally:
            reply.close()
        error = self._converse.decode_error(reply.status, reply.headers, body)
        raise self._runtime.explain(error) or error
