"""The vendors' own clients as oracles: each of them, with its helpers, against an upstream of every dialect.

The clients check what they get against their types. A conversation is a turn in which the model thinks and calls two
tools, and one in which it has their results.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import anthropic
import boto3
import msgspec
import openai
import pytest
from anthropic import beta_tool
from anthropic.lib.bedrock import AnthropicBedrock
from botocore.config import Config
from pydantic import BaseModel

from tests import vendors
from tests.vendors import VENDORS
from wye.testing.fake import FakeUpstream
from wye.testing.server import WyeServer

TASK = "Fix the test."


class ReadFile(BaseModel):
    """Reads a file."""

    path: str
    limit: int


class Run(BaseModel):
    """Runs a command."""

    command: str


class Person(BaseModel):
    name: str
    age: int


SCHEMAS: dict[str, dict[str, Any]] = {
    "read_file": {**ReadFile.model_json_schema(), "additionalProperties": False},
    "run": {**Run.model_json_schema(), "additionalProperties": False},
}
CALLS = [("read_file", {"path": "src/b.py", "limit": 20}), ("run", {"command": "make test"})]


class Heard(msgspec.Struct):
    """A conversation as a client has it."""

    thought: str
    """Empty where the client's types have no place for it."""
    calls: list[tuple[str, Any]]
    answer: str
    input_tokens: int
    output_tokens: int


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ExitStack() as stack:
        served = {
            name: (vendor, stack.enter_context(FakeUpstream(vendors.script_of(vendor))).url)
            for name, vendor in VENDORS.items()
        }
        yield stack.enter_context(WyeServer(vendors.config(served))).url


@cache
def gpt(url: str) -> Any:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, _strict_response_validation=True)


@cache
def claude(url: str) -> Any:
    return anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, _strict_response_validation=True)


@cache
def claude_on_bedrock(url: str) -> Any:
    return AnthropicBedrock(
        base_url=url, api_key="k", aws_region="us-east-1", max_retries=0, _strict_response_validation=True
    )


@cache
def bedrock(url: str) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="wye",
        aws_secret_access_key="unused",
        config=Config(retries={"max_attempts": 0}),
    )


# Chat

CHAT_TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in SCHEMAS.items()
]


def chat(turn: Callable[[list[Any]], Any]) -> Heard:
    messages: list[Any] = [{"role": "user", "content": TASK}]
    first = turn(messages)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.content == vendors.WORD
    messages.append(message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in message.tool_calls]
    second = turn(messages)
    assert second.choices[0].finish_reason == "stop"
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls]
    thought = (message.model_extra or {}).get("reasoning_content", "")
    answer = second.choices[0].message.content
    return Heard(thought, calls, answer, second.usage.prompt_tokens, second.usage.completion_tokens)


def chat_whole(url: str, model: str) -> Heard:
    return chat(lambda m: gpt(url).chat.completions.create(model=model, messages=m, tools=CHAT_TOOLS))


def chat_streamed(url: str, model: str) -> Heard:
    def turn(messages: list[Any]) -> Any:
        with gpt(url).chat.completions.stream(
            model=model, messages=messages, tools=CHAT_TOOLS, stream_options={"include_usage": True}
        ) as stream:
            events = [event.type for event in stream]
            assert events.count("chunk") > 3
            return stream.get_final_completion()

    return chat(turn)


def chat_with_pydantic_tools(url: str, model: str) -> Heard:
    tools = [openai.pydantic_function_tool(ReadFile, name="read_file"), openai.pydantic_function_tool(Run, name="run")]

    def turn(messages: list[Any]) -> Any:
        completion = gpt(url).chat.completions.parse(model=model, messages=messages, tools=tools)
        for call in completion.choices[0].message.tool_calls or ():
            assert isinstance(call.function.parsed_arguments, ReadFile | Run)
        return completion

    return chat(turn)


# Responses

RESPONSE_TOOLS: list[Any] = [
    {"type": "function", "name": name, "parameters": schema, "strict": False} for name, schema in SCHEMAS.items()
]


def responses(turn: Callable[[list[Any]], Any]) -> Heard:
    items: list[Any] = [{"role": "user", "content": TASK}]
    first = turn(items)
    assert first.output_text == vendors.WORD
    items += first.output
    called = [item for item in first.output if item.type == "function_call"]
    items += [{"type": "function_call_output", "call_id": call.call_id, "output": "ok"} for call in called]
    second = turn(items)
    assert (first.status, second.status) == ("completed", "completed")
    thoughts = [part.text for item in first.output if item.type == "reasoning" for part in item.summary]
    calls = [(call.name, json.loads(call.arguments)) for call in called]
    usage = second.usage
    return Heard("".join(thoughts), calls, second.output_text, usage.input_tokens, usage.output_tokens)


def responses_whole(url: str, model: str) -> Heard:
    return responses(
        lambda items: gpt(url).responses.create(model=model, input=items, tools=RESPONSE_TOOLS, store=False)
    )


def responses_streamed(url: str, model: str) -> Heard:
    def turn(items: list[Any]) -> Any:
        with gpt(url).responses.stream(model=model, input=items, tools=RESPONSE_TOOLS, store=False) as stream:
            events = list(stream)
            assert [event.sequence_number for event in events] == list(range(len(events)))
            return stream.get_final_response()

    return responses(turn)


def responses_by_id(url: str, model: str) -> Heard:
    """The second turn names the first by its id."""
    client = gpt(url)
    kept: list[Any] = []

    def turn(items: list[Any]) -> Any:
        known = {"previous_response_id": kept[0].id, "input": items[-2:]} if kept else {"input": items}
        kept.append(client.responses.create(model=model, tools=RESPONSE_TOOLS, **known))
        return kept[-1]

    return responses(turn)


def responses_with_pydantic_tools(url: str, model: str) -> Heard:
    tools = [openai.pydantic_function_tool(ReadFile, name="read_file"), openai.pydantic_function_tool(Run, name="run")]
    flat: list[Any] = [{"type": "function", **tool["function"]} for tool in tools]

    def turn(items: list[Any]) -> Any:
        given = [item if isinstance(item, dict) else item.to_dict() for item in items]
        return gpt(url).responses.parse(model=model, input=given, tools=flat, store=False)

    return responses(turn)


# Messages

CLAUDE_TOOLS: list[Any] = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]


def messages(turn: Callable[[list[Any]], Any]) -> Heard:
    said: list[Any] = [{"role": "user", "content": TASK}]
    first = turn(said)
    assert first.stop_reason == "tool_use"
    assert [block.text for block in first.content if block.type == "text"] == [vendors.WORD]
    said.append({"role": "assistant", "content": first.content})
    called = [block for block in first.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "ok"} for call in called]
    said.append({"role": "user", "content": results})
    second = turn(said)
    assert second.stop_reason == "end_turn"
    thoughts = [block.thinking for block in first.content if block.type == "thinking"]
    calls = [(call.name, call.input) for call in called]
    usage = second.usage
    read = usage.input_tokens + (usage.cache_read_input_tokens or 0)
    return Heard("".join(thoughts), calls, second.content[0].text, read, usage.output_tokens)


def messages_whole(url: str, model: str) -> Heard:
    return messages(
        lambda said: claude(url).messages.create(model=model, max_tokens=99, messages=said, tools=CLAUDE_TOOLS)
    )


def messages_streamed(url: str, model: str) -> Heard:
    def turn(said: list[Any]) -> Any:
        with claude(url).messages.stream(model=model, max_tokens=99, messages=said, tools=CLAUDE_TOOLS) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert text == "".join(block.text for block in final.content if block.type == "text")
        return final

    return messages(turn)


def messages_on_bedrock(url: str, model: str) -> Heard:
    client = claude_on_bedrock(url)
    return messages(lambda said: client.messages.create(model=model, max_tokens=99, messages=said, tools=CLAUDE_TOOLS))


def messages_on_bedrock_streamed(url: str, model: str) -> Heard:
    client = claude_on_bedrock(url)

    def turn(said: list[Any]) -> Any:
        with client.messages.stream(model=model, max_tokens=99, messages=said, tools=CLAUDE_TOOLS) as stream:
            return stream.get_final_message()

    return messages(turn)


def messages_by_the_tool_runner(url: str, model: str) -> Heard:
    calls: list[tuple[str, Any]] = []

    @beta_tool
    def read_file(path: str, limit: int) -> str:
        """Reads a file."""
        calls.append(("read_file", {"path": path, "limit": limit}))
        return "ok"

    @beta_tool
    def run(command: str) -> str:
        """Runs a command."""
        calls.append(("run", {"command": command}))
        return "ok"

    runner = claude(url).beta.messages.tool_runner(
        model=model, max_tokens=99, tools=[read_file, run], messages=[{"role": "user", "content": TASK}]
    )
    first, second = list(runner)
    thoughts = [block.thinking for block in first.content if block.type == "thinking"]
    texts = [block.text for block in second.content if block.type == "text"]
    read = second.usage.input_tokens + (second.usage.cache_read_input_tokens or 0)
    return Heard("".join(thoughts), sorted(calls), "".join(texts), read, second.usage.output_tokens)


# Bedrock

CONVERSE_TOOLS: dict[str, Any] = {
    "tools": [{"toolSpec": {"name": name, "inputSchema": {"json": schema}}} for name, schema in SCHEMAS.items()]
}


def converse(turn: Callable[[list[Any]], tuple[list[Any], str, Any]]) -> Heard:
    said: list[Any] = [{"role": "user", "content": [{"text": TASK}]}]
    content, reason, _ = turn(said)
    assert reason == "tool_use"
    assert [block["text"] for block in content if "text" in block] == [vendors.WORD]
    called = [block["toolUse"] for block in content if "toolUse" in block]
    results = [{"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "ok"}]}} for use in called]
    said += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    thoughts = [
        b["reasoningContent"].get("reasoningText", {}).get("text", "")
        for b in content
        if len(b) == 1 and "reasoningContent" in b
    ]
    answer, reason, usage = turn(said)
    assert reason == "end_turn"
    read = usage["inputTokens"] + usage.get("cacheReadInputTokens", 0)
    calls = [(use["name"], use["input"]) for use in called]
    return Heard("".join(thoughts), calls, answer[0]["text"], read, usage["outputTokens"])


def converse_whole(url: str, model: str) -> Heard:
    def turn(said: list[Any]) -> tuple[list[Any], str, Any]:
        answer = bedrock(url).converse(modelId=model, messages=said, toolConfig=CONVERSE_TOOLS)
        return answer["output"]["message"]["content"], answer["stopReason"], answer["usage"]

    return converse(turn)


def converse_streamed(url: str, model: str) -> Heard:
    def turn(said: list[Any]) -> tuple[list[Any], str, Any]:
        events = list(bedrock(url).converse_stream(modelId=model, messages=said, toolConfig=CONVERSE_TOOLS)["stream"])
        reason = next(event["messageStop"]["stopReason"] for event in events if "messageStop" in event)
        usage = next(event["metadata"]["usage"] for event in events if "metadata" in event)
        return put_together(events), reason, usage

    return converse(turn)


def put_together(events: Iterable[Any]) -> list[Any]:
    """The content of a stream, as users of boto3 do it: it has no helper."""
    blocks: dict[int, Any] = {}
    given: dict[int, str] = {}
    for event in events:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"]}}
        elif "contentBlockDelta" in event:
            at, delta = event["contentBlockDelta"]["contentBlockIndex"], event["contentBlockDelta"]["delta"]
            match delta:
                case {"text": text}:
                    blocks.setdefault(at, {"text": ""})["text"] += text
                case {"toolUse": use}:
                    given[at] = given.get(at, "") + use["input"]
                    blocks[at]["toolUse"]["input"] = given[at]
                case {"reasoningContent": {"redactedContent": data}}:
                    blocks[at] = {"reasoningContent": {"redactedContent": data}}
                case {"reasoningContent": said}:
                    block = blocks.setdefault(at, {"reasoningContent": {"reasoningText": {"text": ""}}})
                    text = block["reasoningContent"]["reasoningText"]
                    text["text"] += said.get("text", "")
                    text.update({"signature": said["signature"]} if "signature" in said else {})
                case _:
                    raise AssertionError(delta)
    for at, text in given.items():
        blocks[at]["toolUse"]["input"] = json.loads(text or "{}")
    return [blocks[at] for at in sorted(blocks)]


def invoke_claude(url: str, model: str) -> Heard:
    body: dict[str, Any] = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "tools": CLAUDE_TOOLS}

    def turn(said: list[Any]) -> Any:
        plain = [{**m, "content": [b if isinstance(b, dict) else b.to_dict() for b in m["content"]]}
                 if isinstance(m["content"], list) else m for m in said]  # fmt: skip
        answer = bedrock(url).invoke_model(modelId=model, body=json.dumps({**body, "messages": plain}))
        return anthropic.types.Message.model_validate_json(answer["body"].read())

    return messages(turn)


CLIENTS: list[Callable[[str, str], Heard]] = [
    chat_whole,
    chat_streamed,
    chat_with_pydantic_tools,
    responses_whole,
    responses_streamed,
    responses_by_id,
    responses_with_pydantic_tools,
    messages_whole,
    messages_streamed,
    messages_on_bedrock,
    messages_on_bedrock_streamed,
    messages_by_the_tool_runner,
    converse_whole,
    converse_streamed,
    invoke_claude,
]


@pytest.mark.parametrize("model", VENDORS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_every_client_has_a_conversation_with_every_vendor(
    client: Callable[[str, str], Heard], model: str, url: str
) -> None:
    heard = client(url, model)
    assert heard == Heard(vendors.THOUGHT, CALLS, vendors.ANSWER, heard.input_tokens, 3)
    assert heard.input_tokens == 11


# Structured outputs

FORM: dict[str, Any] = {**Person.model_json_schema(), "additionalProperties": False}


def chat_parsed(url: str, model: str) -> Any:
    asked: list[Any] = [{"role": "user", "content": "Who?"}]
    answer = gpt(url).chat.completions.parse(model=model, messages=asked, response_format=Person)
    return answer.choices[0].message.parsed


def chat_parsed_in_a_stream(url: str, model: str) -> Any:
    asked: list[Any] = [{"role": "user", "content": "Who?"}]
    with gpt(url).chat.completions.stream(model=model, messages=asked, response_format=Person) as stream:
        return stream.get_final_completion().choices[0].message.parsed


def responses_parsed(url: str, model: str) -> Any:
    return gpt(url).responses.parse(model=model, input="Who?", text_format=Person).output_parsed


def responses_parsed_in_a_stream(url: str, model: str) -> Any:
    with gpt(url).responses.stream(model=model, input="Who?", text_format=Person) as stream:
        return stream.get_final_response().output_parsed


def messages_parsed(url: str, model: str) -> Any:
    asked: list[Any] = [{"role": "user", "content": "Who?"}]
    return claude(url).messages.parse(model=model, max_tokens=99, messages=asked, output_format=Person).parsed_output


def messages_parsed_in_a_stream(url: str, model: str) -> Any:
    asked: list[Any] = [{"role": "user", "content": "Who?"}]
    with claude(url).messages.stream(model=model, max_tokens=99, messages=asked, output_format=Person) as stream:
        return stream.get_final_message().parsed_output


def converse_parsed(url: str, model: str) -> Any:
    schema = {"jsonSchema": {"name": "person", "schema": json.dumps(FORM)}}
    answer = bedrock(url).converse(
        modelId=model,
        messages=[{"role": "user", "content": [{"text": "Who?"}]}],
        outputConfig={"textFormat": {"type": "json_schema", "structure": schema}},
    )
    return Person.model_validate_json(answer["output"]["message"]["content"][0]["text"])


PARSERS: list[Callable[[str, str], Any]] = [
    chat_parsed,
    chat_parsed_in_a_stream,
    responses_parsed,
    responses_parsed_in_a_stream,
    messages_parsed,
    messages_parsed_in_a_stream,
    converse_parsed,
]


@pytest.mark.parametrize("model", VENDORS)
@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
def test_every_client_reads_structured_outputs(parse: Callable[[str, str], Any], model: str, url: str) -> None:
    assert parse(url, model) == Person(name="Ada", age=36)
