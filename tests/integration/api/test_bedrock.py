"""The routes of Bedrock, as AWS's own client calls them: paths, signatures, errors in AWS's words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests import wire
from wye.kernel import clock
from wye.kernel.sigv4 import Keys, sign
from wye.testing.fake import event_stream
from wye.testing.fake_provider import FakeProvider
from wye.testing.replies import Rule
from wye.testing.server import WyeServer

ASK: list[Any] = [{"role": "user", "content": [{"text": "Hi"}]}]
CLAUDE = json.dumps({"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeProvider]:
    with FakeProvider([Rule(say="Hello there")]) as provider:
        yield provider


@pytest.fixture(scope="module")
def server(upstream: FakeProvider) -> Iterator[WyeServer]:
    provider = {"kind": "vllm", "base_url": f"{upstream.url}/v1"}
    names = ("m", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "arn:aws:bedrock:us-east-1:1:inference-profile/a.b")
    config = {
        "local": {"enabled": False},
        "server": {"api_key": "k-1"},
        "providers": {"fake": provider},
        "routes": {name: {"deployments": [{"provider": "fake", "model": "x"}]} for name in names},
    }
    with WyeServer(config) as server:
        yield server


def client(server: WyeServer, key_id: str = "wye", secret: str = "k-1", service: str = "bedrock-runtime") -> Any:
    return boto3.client(
        service,
        endpoint_url=server.url,
        region_name="eu-central-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 0}),
    )


@pytest.mark.parametrize(
    "model", ["m", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "arn:aws:bedrock:us-east-1:1:inference-profile/a.b"]
)
def test_every_route_under_a_model_is_signed_and_answered(model: str, server: WyeServer) -> None:
    bedrock = client(server)
    # /model/{model}/converse, /converse-stream, /invoke, /invoke-with-response-stream, /count-tokens
    assert bedrock.converse(modelId=model, messages=ASK)["output"]["message"]["content"] == [{"text": "Hello there"}]
    events = list(bedrock.converse_stream(modelId=model, messages=ASK)["stream"])
    assert "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e) == "Hello there"
    assert json.loads(bedrock.invoke_model(modelId=model, body=CLAUDE)["body"].read())["content"][0]["text"]
    chunks = list(bedrock.invoke_model_with_response_stream(modelId=model, body=CLAUDE)["body"])
    assert json.loads(chunks[-1]["chunk"]["bytes"])["type"] == "message_stop"
    assert bedrock.count_tokens(modelId=model, input={"converse": {"messages": ASK}})["inputTokens"] > 0
    assert bedrock.count_tokens(modelId=model, input={"invokeModel": {"body": CLAUDE}})["inputTokens"] > 0


def test_paths_may_be_written_as_other_clients_do(server: WyeServer) -> None:
    headers = {"authorization": "Bearer k-1"}
    for path in (
        "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/converse",
        "/model/arn:aws:bedrock:us-east-1:1:inference-profile%2Fa.b/converse",
        "/model/arn:aws:bedrock:us-east-1:1:inference-profile/a.b/converse",
    ):
        assert wire.call(server.url, path, {"messages": ASK}, headers=headers)[0] == 200
    for path in ("/model/converse", "/model//converse", "/model/m/forget", "/model/"):
        assert wire.call(server.url, path, {"messages": ASK}, headers=headers)[0] == 404


@pytest.mark.parametrize(
    ("key_id", "secret", "code"),
    [
        ("wye", "wrong", "InvalidSignatureException"),
        ("AKIDUNKNOWN", "k-1", "UnrecognizedClientException"),
    ],
)
def test_a_wrong_signature_is_403_as_aws_words_it(key_id: str, secret: str, code: str, server: WyeServer) -> None:
    with pytest.raises(ClientError) as refused:
        client(server, key_id, secret).converse(modelId="m", messages=ASK)
    response = refused.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (403, code)
    if code == "InvalidSignatureException":
        assert "does not match the signature you provided" in response["Error"]["Message"]


BODY = json.dumps({"messages": ASK}).encode()
JSON = b"application/json"


def signed(server: WyeServer, body: bytes = BODY, skew_s: float = 0, **told: bytes) -> dict[str, str]:
    """The headers of a Converse of model `m`; `told` are signed with the rest."""
    headers = {b"host": server.url.removeprefix("http://").encode(), b"content-type": JSON}
    headers |= {name.replace("_", "-").encode(): value for name, value in told.items()}
    now_s = clock.wall_s() + skew_s
    added = sign(Keys("wye", "k-1"), "eu-west-3", "bedrock", b"POST", b"/model/m/converse", b"", headers, body, now_s)
    return {name.decode(): value.decode() for name, value in {**headers, **added}.items()}


def refused(server: WyeServer, headers: dict[str, str], body: bytes = BODY) -> tuple[int, str, str]:
    status, told, said = wire.call(server.url, "/model/m/converse", body, headers=headers)
    return status, told.get("x-amzn-errortype", ""), json.loads(said).get("message", "")


@pytest.mark.parametrize("skew_s", [-290, 290])
def test_clocks_may_differ_by_five_minutes(skew_s: float, server: WyeServer) -> None:
    assert refused(server, signed(server, skew_s=skew_s))[0] == 200


@pytest.mark.parametrize(
    ("skew_s", "words"), [(-330, "Signature expired: "), (330, "Signature not yet current: "), (-86400, "expired")]
)
def test_a_signature_of_another_time_is_refused(skew_s: float, words: str, server: WyeServer) -> None:
    status, code, message = refused(server, signed(server, skew_s=skew_s))
    assert (status, code) == (403, "InvalidSignatureException")
    assert words in message
    assert "5 min." in message


@pytest.mark.parametrize(
    ("member", "instead", "code", "words"),
    [
        ("x-amz-date", None, "IncompleteSignatureException", "'X-Amz-Date' or a 'Date' header"),
        ("authorization", None, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        ("authorization", "AWS4-HMAC-SHA256", "IncompleteSignatureException", "requires 'Credential' parameter"),
        ("content-type", "text/plain", "InvalidSignatureException", "does not match the signature you provided"),
    ],
)
def test_a_header_that_is_missing_or_changed_is_named(
    member: str, instead: str | None, code: str, words: str, server: WyeServer
) -> None:
    headers = {name: value for name, value in signed(server).items() if name != member}
    told = refused(server, headers if instead is None else {**headers, member: instead})
    assert told[:2] == (403, code)
    assert words in told[2]


def test_a_changed_body_is_refused_and_a_body_that_was_not_signed_is_not(server: WyeServer) -> None:
    assert refused(server, signed(server), BODY + b" ")[1] == "InvalidSignatureException"
    # What was signed is that the body is not.
    unsigned = signed(server)
    unsigned["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    assert refused(server, unsigned)[1] == "InvalidSignatureException"
    bedrock = client(server)
    bedrock.meta.events.register("before-sign.bedrock-runtime.Converse", leave_the_body_unsigned)
    assert bedrock.converse(modelId="m", messages=ASK)["stopReason"] == "end_turn"


def leave_the_body_unsigned(request: Any, **_: Any) -> None:
    request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"


def test_a_body_in_pieces_is_signed_as_the_whole_that_it_is(server: WyeServer) -> None:
    headers = {"transfer-encoding": "chunked", **signed(server)}
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (BODY[:9], BODY[9:])) + b"0\r\n\r\n"
    assert refused(server, headers, pieces)[0] == 200


def test_pieces_that_are_signed_one_by_one_are_s3_s_own_way(server: WyeServer) -> None:
    streaming = signed(server, x_amz_content_sha256=b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    assert refused(server, streaming)[:2] == (403, "InvalidSignatureException")
    status, code, message = refused(server, {**streaming, "content-encoding": "aws-chunked"})
    assert (status, code) == (415, "ValidationException")
    assert "'aws-chunked' is not supported" in message


def test_temporary_keys_may_bring_a_token_of_their_own(server: WyeServer) -> None:
    assert refused(server, signed(server, x_amz_security_token=b"of-a-session"))[0] == 200


def test_nobody_is_answered_without_a_key(server: WyeServer) -> None:
    status, headers, _ = wire.call(server.url, "/model/m/converse", {"messages": ASK})
    assert (status, headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda b: b.converse(modelId="nobody", messages=ASK), "ResourceNotFoundException"),
        (lambda b: b.invoke_model(modelId="m", body='{"what": 1}'), "ValidationException"),
        (lambda b: b.invoke_model(modelId="m", body="no json"), "ValidationException"),
    ],
)
def test_errors_are_those_that_aws_has(call: Any, code: str, server: WyeServer) -> None:
    with pytest.raises(ClientError) as refused:
        call(client(server))
    assert refused.value.response["Error"]["Code"] == code


def test_a_stream_that_breaks_off_ends_in_an_exception(server: WyeServer, upstream: FakeProvider) -> None:
    upstream.queue.append(event_stream(wire.OPENAI_STREAM[:3], end="cut"))
    with pytest.raises(Exception, match="before") as cut:
        list(client(server).converse_stream(modelId="m", messages=ASK)["stream"])
    assert type(cut.value).__name__ == "EventStreamError"


def test_profiles_are_listed_for_clients_that_ask_first(server: WyeServer) -> None:
    # GET /inference-profiles
    listed = client(server, service="bedrock").list_inference_profiles(typeEquals="SYSTEM_DEFINED")
    assert "m" in [profile["inferenceProfileId"] for profile in listed["inferenceProfileSummaries"]]
