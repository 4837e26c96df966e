"""The fake provider as the vendors' own clients see it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import BaseModel

from tests import wire
from wye.kernel.errors import BadRequest
from wye.testing import kept_responses
from wye.testing.fake_provider import FakeProvider
from wye.testing.replies import Call, Rule
from wye.testing.services import free_port

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
COUNT = "Count from 1 to 5"
COUNTED = "1, 2, 3, 4, 5"


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(tag="one") as provider:
        yield provider


@pytest.fixture(scope="module")
def gpt(provider: FakeProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(provider: FakeProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0) as client:
        yield client


def aws(url: str, secret: str = "s") -> Any:
    once = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": secret}
    return boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", config=once, **keys)


@pytest.fixture(scope="module")
def bedrock(provider: FakeProvider) -> Any:
    return aws(provider.url)


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def converse(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


# OpenAI


def test_chat(gpt: Any) -> None:
    answer = gpt.chat.completions.create(model="gpt-4o", messages=user("What is 2+2?"), n=2)
    assert [choice.message.content for choice in answer.choices] == ["4", "4"]
    assert (answer.model, answer.system_fingerprint, answer.choices[0].finish_reason) == ("gpt-4o", "fp_one", "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@pytest.mark.parametrize("usage", [True, False])
def test_chat_streamed(gpt: Any, usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(gpt.chat.completions.create(model="gpt-4o", messages=user(COUNT), stream=True, **options))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == COUNTED
    assert len({chunk.id for chunk in chunks}) == 1
    assert [c.usage.completion_tokens for c in chunks if c.usage] == ([5] if usage else [])
    assert len(chunks) == 7 + usage


def test_chat_with_tools_goes_round(gpt: Any) -> None:
    messages = user("What is the weather?")
    said = gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[CHAT_TOOL]).choices[0]
    assert said.finish_reason == "tool_calls"
    (call,) = said.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "city"}
    messages += [said.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    answer = gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[CHAT_TOOL])
    assert answer.choices[0].message.content == "The tool says: rain"
    messages[-1]["tool_call_id"] = "another"
    with pytest.raises(openai.BadRequestError, match="no tool call with the id 'another'"):
        gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[CHAT_TOOL])


def test_chat_streams_calls_in_pieces(gpt: Any) -> None:
    with gpt.chat.completions.stream(model="gpt-4o", messages=user("weather"), tools=[CHAT_TOOL]) as stream:
        pieces = [e.arguments_delta for e in stream if e.type == "tool_calls.function.arguments.delta"]
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert len(pieces) > 1
    assert "".join(pieces) == call.function.arguments == '{"city":"city"}'


class Person(BaseModel):
    name: str
    age: int


def test_structured_output(gpt: Any) -> None:
    parsed = gpt.chat.completions.parse(model="gpt-4o", messages=user("Who?"), response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="name", age=1)
    assert (
        gpt.responses.parse(model="gpt-4o", input="Who?", text_format=Person).output_parsed
        == parsed.choices[0].message.parsed
    )


def test_responses(gpt: Any) -> None:
    answer = gpt.responses.create(
        model="o4-mini", input=COUNT, reasoning={"effort": "low"}, include=["reasoning.encrypted_content"]
    )
    thought, message = answer.output
    assert (thought.type, thought.summary[0].text) == ("reasoning", f"The question is: {COUNT}")
    assert thought.encrypted_content
    assert (answer.output_text, answer.status) == (COUNTED, "completed")
    assert answer.usage.output_tokens_details.reasoning_tokens == 8
    assert message.id.startswith("msg_")
    again = gpt.responses.create(model="o4-mini", input=[thought, message, *user("2+2")])
    assert again.output_text == "4"


def test_responses_streamed(gpt: Any) -> None:
    with gpt.responses.stream(model="gpt-4o", input=COUNT) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == COUNTED
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert [e.type for e in events if "delta" not in e.type] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_responses_go_on(gpt: Any) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": WEATHER}
    first = gpt.responses.create(model="gpt-4o", input="weather", tools=[tool])
    (call,) = first.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = gpt.responses.create(model="gpt-4o", input=[result], previous_response_id=first.id)
    assert second.output_text == "The tool says: rain"
    with pytest.raises(openai.BadRequestError, match="'resp_none' not found"):
        gpt.responses.create(model="gpt-4o", input="Hi", previous_response_id="resp_none")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_responses_are_kept_shown_and_forgotten(stream: bool, gpt: Any) -> None:
    def ask(text: str, **more: Any) -> Any:
        if not stream:
            return gpt.responses.create(model="gpt-4o", input=text, **more)
        *_, last = gpt.responses.create(model="gpt-4o", input=text, stream=True, **more)
        return last.response

    first = ask("What is 2+2?")
    second = ask("Oslo", previous_response_id=first.id)
    assert gpt.responses.retrieve(first.id).output_text == "4"
    assert gpt.responses.retrieve(second.id) == second
    items = [item.content[0].text for item in gpt.responses.input_items.list(second.id, order="asc")]
    assert items == ["What is 2+2?", "4", "Oslo"]
    pages = gpt.responses.input_items.list(second.id, limit=1)
    assert [item.content[0].text for item in pages] == ["Oslo", "4", "What is 2+2?"]
    with pytest.raises(openai.BadRequestError, match="background=true"):
        gpt.responses.cancel(first.id)
    with pytest.raises(openai.BadRequestError, match="order must be"):
        gpt.responses.input_items.list(first.id, order="up")
    gpt.responses.delete(first.id)
    for gone in (gpt.responses.retrieve, gpt.responses.delete, gpt.responses.cancel, gpt.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match="not found"):
            gone(first.id)
    with pytest.raises(openai.BadRequestError, match="not found"):
        ask("Hi", previous_response_id=first.id)
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve(ask("Hi", store=False).id)
    with pytest.raises(openai.NotFoundError, match="Unknown request URL"):
        gpt.get(f"/responses/{second.id}/nothing", cast_to=object)


@pytest.mark.parametrize("finish", ["length", "content_filter", "error"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_responses_that_did_not_end_well_are_kept_as_they_were(finish: Any, stream: bool) -> None:
    with FakeProvider() as provider:
        provider.when(say="Well", finish=finish)
        gpt = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="any", max_retries=0)
        asked: dict[str, Any] = {"model": "gpt-4o", "input": "How?"}
        made: Any = gpt.responses.create(**asked, stream=True) if stream else [gpt.responses.create(**asked)]
        *_, last = made
        last = last.response if stream else last
        assert last.status != "completed"
        assert gpt.responses.retrieve(last.id) == last


def test_the_latest_responses_alone_are_kept(monkeypatch: pytest.MonkeyPatch, gpt: Any) -> None:
    monkeypatch.setattr(kept_responses, "_MOST", 2)
    first, *others = (gpt.responses.create(model="gpt-4o", input="Hi").id for _ in range(3))
    for kept in others:
        assert gpt.responses.retrieve(kept).id == kept
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve(first)


def test_completions_embeddings_and_models(gpt: Any) -> None:
    assert gpt.completions.create(model="gpt-3.5", prompt="2+2").choices[0].text == "4"
    answer = gpt.embeddings.create(model="text-embedding-3-small", input=["red cat", "red dog", "blue sky"])
    cat, dog, sky = (item.embedding for item in answer.data)
    product = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))  # noqa: E731
    assert product(cat, cat) == pytest.approx(1, abs=1e-6)
    assert product(cat, dog) > product(cat, sky) + 0.3
    assert answer.usage.prompt_tokens == 6
    assert len(gpt.embeddings.create(model="e", input=[1, 2], dimensions=16).data[0].embedding) == 16
    assert "gpt-4o-mini" in [model.id for model in gpt.models.list()]
    assert gpt.models.retrieve("anything").id == "anything"


# Anthropic


def test_messages(claude: Any) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    ask = {"model": "claude", "max_tokens": 2000, "thinking": thinking}
    answer = claude.messages.create(messages=user(COUNT), **ask)
    thought, text = answer.content
    assert (thought.thinking, text.text, answer.stop_reason) == (f"The question is: {COUNT}", COUNTED, "end_turn")
    history = [*user(COUNT), {"role": "assistant", "content": answer.content}, *user("2+2")]
    assert claude.messages.create(messages=history, **ask).content[-1].text == "4"
    thought.thinking += "!"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        claude.messages.create(messages=history, **ask)


def test_messages_streamed(claude: Any) -> None:
    tool = {"name": "get_weather", "input_schema": WEATHER}
    ask = {"model": "claude", "max_tokens": 2000, "messages": user("weather"), "tools": [tool]}
    with claude.messages.stream(thinking={"type": "adaptive"}, **ask) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    thought, call = final.content
    assert (call.input, final.stop_reason, call.id[:6]) == ({"city": "city"}, "tool_use", "toolu_")
    assert thought.signature
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert final.usage.input_tokens > 0 < final.usage.output_tokens


def test_messages_are_cut_where_the_caller_wants(claude: Any) -> None:
    ask = {"model": "claude", "messages": user(COUNT)}
    cut = claude.messages.create(max_tokens=2, **ask)
    assert (cut.content[0].text, cut.stop_reason) == ("1, 2,", "max_tokens")
    stopped = claude.messages.create(max_tokens=9, stop_sequences=["4"], **ask)
    assert (stopped.content[0].text, stopped.stop_reason, stopped.stop_sequence) == ("1, 2, 3, ", "stop_sequence", "4")


def test_messages_as_anthropic_has_them(claude: Any, provider: FakeProvider) -> None:
    assert claude.messages.count_tokens(model="claude", messages=user("one two")).input_tokens == 6
    listed = claude.models.list()
    assert (listed.data[0].type, listed.has_more) == ("model", False)
    assert claude.models.retrieve("claude-x").display_name == "claude-x"
    ask = {"model": "claude", "max_tokens": 5, "messages": user("Hi")}
    raw = claude.messages.with_raw_response.create(**ask)
    assert raw.headers["request-id"].startswith("req_")
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "10000"
    assert raw.headers["x-fake-instance"] == "one"
    status, _, body = wire.call(provider.url, "/v1/messages", ask)
    assert (status, json.loads(body)["error"]["message"]) == (400, "anthropic-version: header is required")
    _, _, stream = wire.call(provider.url, "/v1/messages", {**ask, "stream": True}, headers={"anthropic-version": "x"})
    assert b"event: ping\ndata: " in stream


# Bedrock


def test_converse(bedrock: Any) -> None:
    answer = bedrock.converse(modelId="us.amazon.nova-lite-v1:0", messages=converse("2+2"))
    assert answer["output"]["message"]["content"] == [{"text": "4"}]
    tools = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": WEATHER}}}]}
    called = bedrock.converse(modelId="anthropic.claude-3", messages=converse("weather"), toolConfig=tools)
    assert called["stopReason"] == "tool_use"
    assert called["output"]["message"]["content"][0]["toolUse"]["input"] == {"city": "city"}


def test_converse_streamed(bedrock: Any) -> None:
    events = list(bedrock.converse_stream(modelId="anthropic.claude-3", messages=converse(COUNT))["stream"])
    texts = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    assert "".join(texts) == COUNTED
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 5


BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "anthropic.claude-3-haiku-20240307-v1:0": (
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": user("2+2")},
        '"text":"4"',
    ),
    "amazon.titan-text-express-v1": ({"inputText": "2+2"}, '"outputText":"4"'),
    "amazon.nova-lite-v1:0": ({"messages": converse("2+2")}, '"text":"4"'),
    "meta.llama3-8b-instruct-v1:0": ({"prompt": "2+2"}, '"generation":"4"'),
    "mistral.mistral-7b-instruct-v0:2": ({"prompt": "<s>[INST] 2+2 [/INST]"}, '"text":"4"'),
    "cohere.command-r-v1:0": ({"message": "2+2"}, '"text":"4"'),
    "ai21.jamba-1-5-mini-v1:0": ({"messages": user("2+2")}, '"content":"4"'),
    "openai.gpt-oss-20b-1:0": ({"messages": user("2+2")}, '"content":"4"'),
}


@pytest.mark.parametrize("model", BODIES)
def test_invoke(bedrock: Any, model: str) -> None:
    body, expected = BODIES[model]
    answer = bedrock.invoke_model(modelId=model, body=json.dumps(body))
    assert expected in answer["body"].read().decode()
    assert int(answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-output-token-count"]) == 1
    stream = bedrock.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    chunks = [event["chunk"]["bytes"].decode() for event in stream["body"]]
    assert any(expected in chunk for chunk in chunks)
    assert "amazon-bedrock-invocationMetrics" in chunks[-1]


def test_bedrock_counts_and_embeds(bedrock: Any) -> None:
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    whole = bedrock.count_tokens(modelId=model, input={"converse": {"messages": converse("one two")}})
    body = json.dumps(BODIES[model][0]).encode()
    inner = bedrock.count_tokens(modelId=model, input={"invokeModel": {"body": body}})
    assert (whole["inputTokens"], inner["inputTokens"]) == (6, 5)
    body = bedrock.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "red cat"}))
    said = json.loads(body["body"].read())
    assert (len(said["embedding"]), said["inputTextTokenCount"]) == (256, 2)


# All of them


def test_what_is_unknown_is_refused_in_the_callers_words(
    gpt: Any, claude: Any, bedrock: Any, provider: FakeProvider
) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        gpt.chat.completions.create(model="no-such-model", messages=user("Hi"))
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("no-such-model")
    with pytest.raises(anthropic.NotFoundError, match="no-such-model"):
        claude.messages.create(model="no-such-model", max_tokens=5, messages=user("Hi"))
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        bedrock.converse(modelId="no-such-model", messages=converse("Hi"))
    for method, path in (("POST", "/v1/none"), ("PUT", "/v1/chat/completions"), ("GET", "/nothing")):
        status, _, body = wire.call(provider.url, path, {}, method)
        assert (status, json.loads(body)["error"]["code"]) == (404, "unknown_url")
    status, _, body = wire.call(provider.url, "/v1/chat/completions", b"{", "POST")
    assert status == 400


def test_the_models_of_bedrock_are_listed(provider: FakeProvider) -> None:
    keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    listed = boto3.client("bedrock", endpoint_url=provider.url, **keys).list_inference_profiles()
    assert [one["inferenceProfileId"] for one in listed["inferenceProfileSummaries"]] == [
        "us.anthropic.claude-3-haiku-20240307-v1:0"
    ]


def test_a_key_is_demanded_where_there_is_one() -> None:
    with FakeProvider(api_key="sk-1") as provider:
        chat = {"model": "m", "messages": user("2+2")}
        for key, status in (("sk-1", 200), ("sk-2", 401), ("", 401)):
            got, _, _ = wire.call(
                provider.url, "/v1/chat/completions", chat, headers={"authorization": f"Bearer {key}"}
            )
            assert got == status
        version = {"anthropic-version": "2023-06-01"}
        got, _, _ = wire.call(
            provider.url, "/v1/messages", {**chat, "max_tokens": 5}, headers={"x-api-key": "sk-1", **version}
        )
        assert got == 200
        asked = {"modelId": "m", "messages": converse("2+2")}
        assert aws(provider.url, "sk-1").converse(**asked)["stopReason"] == "end_turn"
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            aws(provider.url, "sk-2").converse(**asked)
        got, headers, _ = wire.call(provider.url, "/model/m/converse", {"messages": converse("Hi")})
        assert (got, headers["x-amzn-errortype"]) == (403, "AccessDeniedException")


def test_the_log_tells_what_was_asked_and_no_secret() -> None:
    with FakeProvider(tag="two") as provider:
        body = {"model": "gpt-4o", "messages": user("Hi"), "stream": True}
        wire.call(provider.url, "/v1/chat/completions", body, headers={"authorization": "Bearer sk-secret"})
        wire.call(provider.url, "/v1/chat/completions", b"no JSON", "POST")
        _, _, said = wire.call(provider.url, "/__log")
        log = json.loads(said)
        assert b"sk-secret" not in said
        assert log["instance"] == "two"
        assert {"calls": 2, "model:gpt-4o": 1, "status:200": 1, "status:400": 1}.items() <= log["counters"].items()
        first, second = log["calls"]
        assert (first["body"], first["dialect"], first["stream"], first["status"]) == (body, "openai_chat", True, 200)
        assert (first["headers"]["authorization"], second["body"]) == ("***", "no JSON")
        wire.call(provider.url, "/__log", method="DELETE")
        assert provider.log()["calls"] == [] == provider.requests


def test_a_rule_applies_as_often_as_it_says() -> None:
    with FakeProvider([Rule(when="hello", say="Hi!", times=1)]) as provider:
        provider.when("weather", call=Call("get_weather", {"city": "Paris"}), model="gpt-*")
        provider.when(fault="503-once", model="flaky")
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)

        def ask(text: str, model: str = "gpt-4o") -> Any:
            return client.chat.completions.create(model=model, messages=user(text)).choices[0]  # type: ignore[arg-type]

        assert [ask("hello").message.content for _ in range(2)] == ["Hi!", "hello"]
        assert ask("weather?").message.tool_calls[0].function.arguments == '{"city":"Paris"}'
        assert ask("weather?", "other").message.content == "weather?"
        with pytest.raises(openai.InternalServerError):
            ask("Hi", "flaky")
        assert ask("Hi", "flaky").message.content == "Hi"
        client.close()


def test_calls_beyond_the_limit_of_a_minute_are_refused() -> None:
    with FakeProvider(requests_per_minute=2) as provider:
        body = {"model": "m", "messages": user("Hi")}
        said = [wire.call(provider.url, "/v1/chat/completions", body) for _ in range(3)]
    assert [status for status, _, _ in said] == [200, 200, 429]
    assert [headers["x-ratelimit-remaining-requests"] for _, headers, _ in said] == ["1", "0", "0"]
    assert 1 <= int(said[2][1]["retry-after"]) <= 60


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_as_slow_as_it_is_told(stream: bool) -> None:
    with FakeProvider(latency_s=0.1, tokens_per_s=50) as provider:
        body = {"model": "m", "messages": user(COUNT), "stream": stream}
        began_s = time.monotonic()
        wire.call(provider.url, "/v1/chat/completions", body)
        assert time.monotonic() - began_s >= 0.1 + 5 / 50
        headers = {"x-fake-latency": "0.4", "x-fake-tokens-per-s": "5000"}
        began_s = time.monotonic()
        wire.call(provider.url, "/v1/chat/completions", body, headers=headers)
        assert time.monotonic() - began_s >= 0.4
        status, _, said = wire.call(provider.url, "/v1/chat/completions", body, headers={"x-fake-latency": "long"})
        assert (status, json.loads(said)["error"]["param"]) == (400, "x-fake-latency")


async def test_it_starts_and_stops_within_asyncio() -> None:
    async with (
        FakeProvider() as provider,
        FakeProvider() as other,
        openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as client,
    ):
        create: Any = client.chat.completions.create
        answers = await asyncio.gather(*[create(model="m", messages=user(f"{i}")) for i in range(20)])
    assert [answer.choices[0].message.content for answer in answers] == [str(i) for i in range(20)]
    assert (provider.counters["calls"], other.counters["calls"]) == (20, 0)
    assert provider.port != other.port


def test_it_takes_the_port_that_it_is_given_and_says_when_it_cannot() -> None:
    before = set(threading.enumerate())
    with FakeProvider(port=free_port()) as first:
        with pytest.raises(OSError, match=f"cannot listen on port {first.port}"):
            FakeProvider(port=first.port).start()
        port = first.port
    again = FakeProvider(port=port)
    again.start()
    again.start()
    assert wire.call(again.url, "/health")[0] == 200
    again.stop()
    again.stop()
    assert set(threading.enumerate()) == before


def test_a_fault_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(BadRequest, match="'nonsense' is no fault; known are"):
        FakeProvider(fault="nonsense")
    with FakeProvider() as provider, pytest.raises(BadRequest):
        provider.when(fault="nonsense")
