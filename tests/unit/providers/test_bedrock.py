"""Calls of Bedrock's runtime, sent over our transport to a server that checks their signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_aws import FakeAws
from wye.drivers.http import HttpTransport
from wye.kernel.errors import ConfigError, UpstreamRefused
from wye.kernel.json import encode
from wye.kernel.secret import Secret
from wye.ports.provider import Call
from wye.ports.transport import Clocks, Origin
from wye.providers.aws import AwsCredentials, AwsSettings
from wye.providers.bedrock import BedrockRuntime

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
ARN = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{MODEL}"
HEADERS = {b"content-type": b"application/json"}
BODY = encode({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]})


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws(AKIDUSER="user-secret") as aws:
        yield aws


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


def runtime(endpoint_url: str | None = None, **settings: Any) -> BedrockRuntime:
    given = {"region": "eu-west-1", "access_key_id": "AKIDUSER", "secret_access_key": Secret("user-secret"), **settings}
    return BedrockRuntime("bedrock", AwsCredentials("bedrock", AwsSettings(**given)), endpoint_url)


async def send(
    bedrock: BedrockRuntime, transport: HttpTransport, target: bytes, body: bytes = BODY
) -> tuple[int, bytes]:
    lines = await bedrock.authorize(b"POST", target, HEADERS, body)
    lines += b"".join(b"%b: %b\r\n" % line for line in HEADERS.items())
    reply = await transport.send(await bedrock.origin(), b"POST", target, lines, body, Clocks())
    return reply.status, await reply.read_all(100_000, 5)


@pytest.mark.parametrize(
    ("call", "target"),
    [
        (("bedrock_converse", "chat", False, "m"), b"/model/m/converse"),
        (("bedrock_converse", "chat", True, "m"), b"/model/m/converse-stream"),
        (("bedrock_invoke", "chat", False, "m"), b"/model/m/invoke"),
        (("bedrock_invoke", "chat", True, "m"), b"/model/m/invoke-with-response-stream"),
        (("bedrock_converse", "count_tokens", False, "m"), b"/model/m/count-tokens"),
        (("bedrock_converse", "chat", False, MODEL), b"/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"),
        (
            ("bedrock_converse", "chat", False, ARN),
            b"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2F"
            b"us.anthropic.claude-3-haiku-20240307-v1%3A0/converse",
        ),
    ],
)
def test_the_path_of_a_call(call: tuple[Any, ...], target: bytes) -> None:
    dialect, operation, stream, model = call
    assert runtime().target(Call(dialect, model, b"", stream, operation)) == target


def test_an_endpoint_may_have_a_path_of_its_own() -> None:
    target = runtime("http://127.0.0.1:4566/bedrock/").target(Call("bedrock_converse", "m", b""))
    assert target == b"/bedrock/model/m/converse"


async def test_where_it_is() -> None:
    assert await runtime().origin() == Origin("https", "bedrock-runtime.eu-west-1.amazonaws.com", 443)
    assert await runtime("http://127.0.0.1:4566").origin() == Origin("http", "127.0.0.1", 4566)
    with pytest.raises(ConfigError, match=r"providers\.bedrock\.endpoint_url"):
        runtime("127.0.0.1:4566")


@pytest.mark.parametrize("prefix", ["", "/in/front"])
@pytest.mark.parametrize("model", ["m", MODEL, ARN, "你好 %2F"])
async def test_a_call_is_signed_so_that_the_runtime_takes_it(
    prefix: str, model: str, aws: FakeAws, transport: HttpTransport
) -> None:
    bedrock = runtime(aws.url + prefix)
    status, answer = await send(bedrock, transport, bedrock.target(Call("bedrock_converse", model, b"")))
    assert (status, b"end_turn" in answer) == (200, True)


async def test_temporary_keys_bring_their_token(aws: FakeAws, transport: HttpTransport) -> None:
    aws.tokens["AKIDUSER"] = "a-session"
    bedrock = runtime(aws.url)
    target = bedrock.target(Call("bedrock_converse", "m", b""))
    assert (await send(bedrock, transport, target))[0] == 403
    assert (await send(runtime(aws.url, session_token=Secret("a-session")), transport, target))[0] == 200


async def test_a_bearer_token_beats_keys(aws: FakeAws, transport: HttpTransport) -> None:
    bedrock = runtime(aws.url, bearer_token=Secret(aws.bearer))
    assert (await send(bedrock, transport, b"/model/m/converse"))[0] == 200
    assert aws.requests[0].headers["authorization"] == f"Bearer {aws.bearer}"
    assert "x-amz-date" not in aws.requests[0].headers


def test_a_bearer_token_that_no_header_can_carry_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="authorization") as caught:
        runtime(bearer_token=Secret("hush\r\nx: y"))
    assert "hush" not in caught.value.message


def refused(kind: str, message: str) -> UpstreamRefused:
    return UpstreamRefused(message, status=403, kind=kind)


def test_a_refusal_of_the_accounts_keys_is_not_the_callers(aws: FakeAws) -> None:
    bedrock = runtime(aws.url)
    error = bedrock.explain(refused("ExpiredTokenException", "The security token is expired"))
    assert error is not None
    assert error.message == (
        "Provider 'bedrock' has no usable AWS credentials. Tried static keys (AKIDUSER): The security token is expired"
    )
    assert bedrock.explain(refused("AccessDeniedException", "You don't have access to the model")) is None


async def test_after_such_a_refusal_it_signs_in_anew(
    aws: FakeAws, tmp_path: Path, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a file with temporary keys has been written anew."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    file.write_text("[dev]\naws_access_key_id = AKIDOLD\naws_secret_access_key = x\n")
    bedrock = runtime(aws.url, access_key_id=None, secret_access_key=None, profile="dev")
    target = bedrock.target(Call("bedrock_converse", "m", b""))
    assert (await send(bedrock, transport, target))[0] == 403
    file.write_text("[dev]\naws_access_key_id = AKIDUSER\naws_secret_access_key = user-secret\n")
    assert (await send(bedrock, transport, target))[0] == 403
    assert bedrock.explain(refused("UnrecognizedClientException", "invalid")) is not None
    assert (await send(bedrock, transport, target))[0] == 200
