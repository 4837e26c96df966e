"""Bedrock's models as the gateway calls them: whose words they are asked in, what goes along, what a refusal means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.fake_aws import CONVERSE, FakeAws
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message
from wye.dialects.bedrock_invoke.families import family_of_model
from wye.dialects.dialect import Quirks
from wye.dialects.registry import DIALECTS
from wye.drivers.http import HttpTransport
from wye.kernel.errors import BadAnswer, NoDeployment, UpstreamRefused
from wye.kernel.json import decode, encode
from wye.kernel.secret import Secret
from wye.ports.provider import Call
from wye.ports.transport import Reply
from wye.providers.aws import AwsCredentials, AwsSettings
from wye.providers.bedrock import BedrockProvider, BedrockRuntime
from wye.testing.fake import json_body

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "amazon.nova-pro-v1:0"
BODY = encode({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]})
ASKED = ChatRequest(
    model="alias", messages=[Message("system", [Text("Be brief.")]), Message("user", [Text("Hi")])], temperature=0.5
)


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws(AKIDUSER="user-secret") as aws:
        yield aws


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


def provider(aws: FakeAws, transport: HttpTransport, **settings: Any) -> BedrockProvider:
    given = {"region": "eu-west-1", "access_key_id": "AKIDUSER", "secret_access_key": Secret("user-secret"), **settings}
    runtime = BedrockRuntime("bedrock", AwsCredentials("bedrock", AwsSettings(**given)), aws.url)
    converse = DIALECTS["bedrock_converse"]
    return BedrockProvider("bedrock", runtime, converse, family_of_model, transport, Quirks())


async def body_of(reply: Reply) -> Any:
    try:
        return decode(await reply.read_all(100_000, 5))
    finally:
        reply.close()


async def test_a_model_is_asked_in_converse_unless_its_caller_speaks_its_own_words(
    aws: FakeAws, transport: HttpTransport
) -> None:
    bedrock = provider(aws, transport)
    claude, converse = DIALECTS["bedrock_claude"], DIALECTS["bedrock_converse"]
    assert bedrock.speaks(f"us.{CLAUDE}", claude) is claude
    assert bedrock.speaks(NOVA, claude) is converse
    assert bedrock.speaks(CLAUDE, DIALECTS["anthropic_messages"]) is converse
    assert bedrock.embeds("amazon.titan-embed-text-v2:0") is not None
    assert bedrock.embeds(CLAUDE) is None
    assert (await bedrock.adapt(ASKED, Losses())).request is ASKED


@pytest.mark.parametrize("stream", [False, True])
async def test_headers_of_a_caller_that_bedrock_knows_go_along_signed(
    stream: bool, aws: FakeAws, transport: HttpTransport
) -> None:
    caller = {
        b"x-amzn-bedrock-guardrailidentifier": b"gr1",
        b"anthropic-beta": b"b-1",
        b"authorization": b"AWS4-HMAC-SHA256 theirs",
        b"x-amz-date": b"20200101T000000Z",
        b"cookie": b"c",
    }
    call = Call("bedrock_claude", CLAUDE, BODY, stream, caller=caller)
    assert await body_of(await provider(aws, transport).call(call)) == CONVERSE
    (heard,) = aws.requests
    assert heard.path == f"/model/{CLAUDE.replace(':', '%3A')}/" + (
        "invoke-with-response-stream" if stream else "invoke"
    )
    assert (heard.headers["x-amzn-bedrock-guardrailidentifier"], heard.headers["anthropic-beta"]) == ("gr1", "b-1")
    assert "cookie" not in heard.headers
    accept = "application/vnd.amazon.eventstream" if stream else "application/json"
    assert (heard.headers["accept"], heard.headers["content-type"]) == (accept, "application/json")
    assert "anthropic-beta" in heard.headers["authorization"].split("SignedHeaders=")[1]


async def test_what_bedrock_refuses_of_the_request_is_the_upstream_s_answer(
    aws: FakeAws, transport: HttpTransport
) -> None:
    reply = await provider(aws, transport).call(Call("bedrock_converse", NOVA, b"{}"))
    assert (reply.status, await body_of(reply)) == (400, {"message": "messages is required"})


async def test_what_bedrock_refuses_of_the_account_is_not_the_caller_s(aws: FakeAws, transport: HttpTransport) -> None:
    call = Call("bedrock_converse", NOVA, BODY)
    with pytest.raises(NoDeployment) as caught:
        await provider(aws, transport, access_key_id="AKIDNOBODY").call(call)
    assert caught.value.message == (
        "Provider 'bedrock' has no usable AWS credentials. Tried static keys (AKIDNOBODY): "
        "The security token included in the request is invalid."
    )
    told = {"x-amzn-ErrorType": "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    aws.queue.append(json_body({"message": "You don't have access to the model."}, 403, **told))
    with pytest.raises(UpstreamRefused) as refused:
        await provider(aws, transport).call(call)
    assert (refused.value.status, refused.value.kind) == (403, "AccessDeniedException")
    assert refused.value.message == "You don't have access to the model."


async def test_tokens_are_counted_for_the_model_that_a_profile_stands_for(
    aws: FakeAws, transport: HttpTransport
) -> None:
    aws.queue.append(json_body({"inputTokens": 7}))
    assert await provider(aws, transport).count_tokens(f"eu.{CLAUDE}", ASKED) == 7
    (heard,) = aws.requests
    assert heard.path == f"/model/{CLAUDE.replace(':', '%3A')}/count-tokens"
    messages = [{"role": "user", "content": [{"text": "Hi"}]}]
    assert heard.json() == {"input": {"converse": {"messages": messages, "system": [{"text": "Be brief."}]}}}


async def test_what_cannot_be_counted_is_unknown(aws: FakeAws, transport: HttpTransport) -> None:
    bedrock = provider(aws, transport)
    words = "The provided model doesn't support counting tokens."
    aws.queue.append(json_body({"message": words}, 400, **{"x-amzn-ErrorType": "ValidationException"}))
    assert await bedrock.count_tokens(NOVA, ASKED) is None
    aws.queue.append(json_body({"inputTokens": "many"}))
    with pytest.raises(BadAnswer):
        await bedrock.count_tokens(NOVA, ASKED)
