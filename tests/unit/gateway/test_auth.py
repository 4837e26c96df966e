"""Callers of Bedrock routes, as boto3 and Anthropic's SDK sign their calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anthropic
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from wye.gateway.policy.auth import ANONYMOUS, OWN_ACCESS_KEY_ID, Auth, AwsCaller
from wye.kernel.errors import Forbidden, WyeError
from wye.kernel.secret import Secret
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
ARN = f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.{MODEL}"
KEYS = {"server": Secret("sk-server")}
PAIRS = {OWN_ACCESS_KEY_ID: ("server", KEYS["server"]), "AKIDISSUED": ("lab", Secret("issued/secret+1"))}
ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}


def headers_of(request: FakeRequest) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in request.headers.items()}


def admit(auth: Auth, request: FakeRequest) -> AwsCaller:
    headers, parts = headers_of(request), urlsplit(request.path)
    caller = auth.aws_caller(headers)
    caller.check(request.method.encode(), parts.path.encode(), parts.query.encode(), headers, request.body)
    return caller


class Gate:
    """A server that answers whom `auth` lets in, and keeps who that was."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self.seen: list[str] = []

    def __call__(self, request: FakeRequest) -> FakeAnswer:
        try:
            self.seen.append(admit(self._auth, request).principal)
        except WyeError as error:
            return json_body({"message": error.message}, error.status, **{"x-amzn-ErrorType": error.code})
        return json_body(ANSWER)


@pytest.fixture
def gate() -> Gate:
    return Gate(Auth(KEYS, PAIRS))


@pytest.fixture
def upstream(gate: Gate) -> Iterator[FakeUpstream]:
    with FakeUpstream(gate) as upstream:
        yield upstream


def bedrock(url: str, access_key_id: str, secret: str, region: str = "us-east-1") -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 1}),
    )


@pytest.mark.parametrize(
    ("access_key_id", "secret", "principal"),
    [("wye", "sk-server", "server"), ("AKIDISSUED", "issued/secret+1", "lab")],
)
@pytest.mark.parametrize("model", ["m", MODEL, ARN])
def test_boto3_with_a_key_pair(
    access_key_id: str, secret: str, principal: str, model: str, gate: Gate, upstream: FakeUpstream
) -> None:
    client = bedrock(upstream.url, access_key_id, secret, "eu-north-1")
    client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "Hi"}]}])
    client.invoke_model(modelId=model, body=b'{"inputText": "Hi"}')
    assert gate.seen == [principal, principal]


@pytest.mark.parametrize(
    ("access_key_id", "secret", "code"),
    [
        ("wye", "wrong", "InvalidSignatureException"),
        ("wye", "issued/secret+1", "InvalidSignatureException"),
        ("AKIDOTHER", "sk-server", "UnrecognizedClientException"),
    ],
)
def test_boto3_with_a_wrong_pair(access_key_id: str, secret: str, code: str, upstream: FakeUpstream) -> None:
    with pytest.raises(ClientError) as caught:
        bedrock(upstream.url, access_key_id, secret).converse(
            modelId="m", messages=[{"role": "user", "content": [{"text": "Hi"}]}]
        )
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_anthropics_sdk_for_bedrock(gate: Gate, upstream: FakeUpstream) -> None:
    """It signs `accept-encoding` and more, and leaves the model's colon as it is."""
    client = anthropic.AnthropicBedrock(
        base_url=upstream.url, aws_region="us-east-1", aws_access_key="wye", aws_secret_key="sk-server", max_retries=0
    )
    client.messages.with_raw_response.create(model=MODEL, max_tokens=5, messages=[{"role": "user", "content": "Hi"}])
    assert gate.seen == ["server"]
    assert "accept-encoding" in upstream.requests[0].headers["authorization"]


@pytest.mark.parametrize("headers", [{b"authorization": b"Bearer sk-server"}, {b"x-api-key": b"sk-server"}])
def test_a_key_as_on_any_other_route(headers: dict[bytes, bytes]) -> None:
    caller = Auth(KEYS, PAIRS).aws_caller(headers)
    assert caller == AwsCaller("server")
    caller.check(b"POST", b"/", b"", headers, b"whatever")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "MissingAuthenticationTokenException"),
        ({b"authorization": b"Basic eDp5"}, "MissingAuthenticationTokenException"),
        ({b"authorization": b"Bearer wrong"}, "UnrecognizedClientException"),
        ({b"x-api-key": b"wrong"}, "UnrecognizedClientException"),
        ({b"x-api-key": b"issued/secret+1"}, "UnrecognizedClientException"),
    ],
)
def test_strangers_are_refused_by_their_headers(headers: dict[bytes, bytes], code: str) -> None:
    with pytest.raises(Forbidden) as caught:
        Auth(KEYS, PAIRS).aws_caller(headers)
    assert (caught.value.status, caught.value.code) == (403, code)


def test_an_open_server_takes_any_signature() -> None:
    auth = Auth({})
    assert auth.aws_caller({b"authorization": b"AWS4-HMAC-SHA256 Credential=x"}) == AwsCaller(ANONYMOUS)
    with pytest.raises(Forbidden, match="other sites"):
        auth.aws_caller({b"origin": b"https://evil.example"})


def test_a_secret_that_signs_is_not_shown() -> None:
    assert "sk-server" not in repr(AwsCaller("server", None, Secret("sk-server")))
