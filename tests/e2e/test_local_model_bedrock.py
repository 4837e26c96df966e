"""boto3, with only the endpoint changed, against the model in the box: shapes are asserted, not content."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests import wire
from tests.e2e.conftest import MODEL, Served

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

ASK: list[Any] = [{"role": "user", "content": [{"text": "Count from 1 to 5."}]}]
TURNS: list[Any] = [{"role": "user", "content": "Count from 1 to 5."}]
BODIES: dict[str, dict[str, Any]] = {
    "claude": {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 16, "messages": TURNS},
    "titan": {"inputText": "User: Count from 1 to 5.\n\nBot:", "textGenerationConfig": {"maxTokenCount": 16}},
    "nova": {"schemaVersion": "messages-v1", "messages": ASK, "inferenceConfig": {"maxTokens": 16}},
    "llama": {
        "prompt": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nCount from 1 to 5.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "max_gen_len": 16,
    },
    "mistral": {"prompt": "<s>[INST] Count from 1 to 5. [/INST]", "max_tokens": 16},
}


def text_of(family: str, said: dict[str, Any]) -> str:
    """The text in a whole answer, or in one chunk of a stream."""
    match family:
        case "claude":
            return "".join(block["text"] for block in said.get("content", [])) or said.get("delta", {}).get("text", "")
        case "titan":
            return said["results"][0]["outputText"] if "results" in said else said["outputText"]
        case "nova" if "output" in said:
            return said["output"]["message"]["content"][0]["text"]
        case "nova":
            return said.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        case "llama":
            return said["generation"]
        case _:
            return said["outputs"][0]["text"]


@pytest.fixture(scope="module")
def bedrock(served: Served) -> Any:
    return client(served.url)


def client(url: str) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="wye",
        aws_secret_access_key="unused",
        config=Config(retries={"max_attempts": 0}, read_timeout=60),
    )


def read(usage: dict[str, int]) -> int:
    """Tokens of the input; those that the engine had read before are counted apart."""
    return usage["inputTokens"] + usage.get("cacheReadInputTokens", 0)


def test_converse_answers(bedrock: Any) -> None:
    answer = bedrock.converse(
        modelId=MODEL, messages=ASK, inferenceConfig={"maxTokens": 16}, system=[{"text": "Brief."}]
    )
    assert answer["output"]["message"]["content"][0]["text"]
    assert answer["stopReason"] in ("end_turn", "max_tokens")
    assert answer["usage"]["totalTokens"] == read(answer["usage"]) + answer["usage"]["outputTokens"]


def test_converse_streams(bedrock: Any) -> None:
    stream = bedrock.converse_stream(modelId=MODEL, messages=ASK, inferenceConfig={"maxTokens": 16})["stream"]
    events = list(stream)
    assert list(events[0]) == ["messageStart"]
    assert "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
    assert [e["messageStop"]["stopReason"] for e in events if "messageStop" in e]
    assert events[-1]["metadata"]["usage"]["outputTokens"] >= 1


def test_converse_is_made_to_call_a_tool(bedrock: Any) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
    tool = {"toolSpec": {"name": "get_weather", "description": "The weather", "inputSchema": {"json": schema}}}
    config = {"tools": [tool], "toolChoice": {"tool": {"name": "get_weather"}}}
    answer = bedrock.converse(modelId=MODEL, messages=ASK, toolConfig=config, inferenceConfig={"maxTokens": 60})
    call = next(block["toolUse"] for block in answer["output"]["message"]["content"] if "toolUse" in block)
    assert call["name"] == "get_weather"
    assert answer["stopReason"] in ("tool_use", "max_tokens")


@pytest.mark.parametrize("family", BODIES)
def test_invoke_answers_in_the_form_of_each_family(family: str, bedrock: Any) -> None:
    answer = bedrock.invoke_model(modelId=MODEL, body=json.dumps(BODIES[family]))
    assert answer["contentType"] == "application/json"
    assert text_of(family, json.loads(answer["body"].read()))


@pytest.mark.parametrize("family", BODIES)
def test_invoke_streams_in_the_form_of_each_family(family: str, bedrock: Any) -> None:
    stream = bedrock.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(BODIES[family]))["body"]
    chunks = [json.loads(event["chunk"]["bytes"]) for event in stream]
    assert "".join(text_of(family, chunk) for chunk in chunks)
    assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] >= 1


def test_tokens_are_counted(bedrock: Any) -> None:
    counted = bedrock.count_tokens(modelId=MODEL, input={"converse": {"messages": ASK}})
    answered = bedrock.converse(modelId=MODEL, messages=ASK, inferenceConfig={"maxTokens": 1})
    assert counted["inputTokens"] == read(answered["usage"])


def test_an_unknown_model_is_refused_as_aws_does(bedrock: Any) -> None:
    with pytest.raises(ClientError) as refused:
        bedrock.converse(modelId="no-such-model", messages=ASK)
    assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "target", ["openai", "responses", "anthropic", "bedrock_converse", "bedrock_claude", "bedrock_titan"]
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", ["openai", "claude", "titan"])
def test_any_of_three_forms_is_answered_in_any_format(form: str, stream: bool, target: str, served: Served) -> None:
    bodies = {"openai": {"messages": TURNS, "max_tokens": 8}, **BODIES}
    body = {"model": MODEL, **bodies[form], **({"stream": True} if stream else {})}
    path = f"/v1/chat/completions?target_format={target}"
    status, headers, said = wire.call(served.url, path, body)
    assert status == 200
    if stream:
        assert headers["content-type"].startswith("text/event-stream")
        assert said.endswith(b"data: [DONE]\n\n") is (target in ("openai", "responses"))
    else:
        member = {
            "openai": "choices",
            "responses": "output",
            "anthropic": "content",
            "bedrock_converse": "output",
            "bedrock_claude": "content",
            "bedrock_titan": "results",
        }
        assert json.loads(said)[member[target]]
