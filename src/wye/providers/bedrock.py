"""Amazon Bedrock's runtime: where its models are called, and as whom.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from wye.kernel import clock
from wye.kernel.errors import NoDeployment, UpstreamRefused
from wye.kernel.sigv4 import sign
from wye.ports.provider import Operation
from wye.ports.transport import Origin
from wye.providers.aws import AwsCredentials
from wye.providers.endpoint import header_line, read_address

_SERVICE = "bedrock"
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
        self._bearer = header_line(name, "authorization", f"Bearer {token.reveal()}") if token else None

    async def origin(self) -> Origin:
        """Where to connect. Raises NoDeployment when no region is known."""
        if self._endpoint is not None:
            return self._endpoint[0]
        return Origin("https", f"bedrock-runtime.{await self.credentials.region()}.amazonaws.com", 443)

    def target(self, dialect: str, operation: Operation, stream: bool, model: str) -> bytes:
        """The path of a call in `bedrock_converse`, else in a model's own format; `model` is an id or an ARN."""
        if operation == "count_tokens":
            verb = "count-tokens"
        elif dialect == "bedrock_converse":
            verb = "converse-stream" if stream else "converse"
        else:
            verb = "invoke-with-response-stream" if stream else "invoke"
        prefix = self._endpoint[1] if self._endpoint else ""
        return f"{prefix}/model/{quote(model, safe='')}/{verb}".encode()

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
