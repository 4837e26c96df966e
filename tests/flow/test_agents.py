"""The traffic of coding agents: what their clients send over several turns, and what upstreams of each dialect get."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic import beta_tool

from tests import vendors, wire
from tests.flow.agents import FAILED, GRAMMAR, OUTPUT, Agent, BedrockAgent, MessagesAgent, ResponsesAgent, Said
from tests.flow.conftest import Start
from tests.vendors import VENDORS
from wye.testing.fake import FakeAnswer, FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer

THREAD: dict[str, Any] = {"type": "create"}


@beta_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


def weather_call() -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Basel"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {**wire.OPENAI_BODY, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}


def test_the_tool_runner_goes_on_without_threads_where_the_upstream_has_none(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.queue.extend([json_body(weather_call()), json_body(wire.OPENAI_BODY)])
    client = anthropic.Anthropic(base_url=start(("vllm", upstream)).url, api_key="k", max_retries=0)
    runner = client.beta.messages.tool_runner(
        model="m", max_tokens=90, tools=[get_weather], messages=[{"role": "user", "content": "Weather in Basel?"}]
    )
    assert [block.text for block in runner.until_done().content if block.type == "text"] == ["Hello there"]
    heard = upstream.requests[-1].json()["messages"]
    assert [message["role"] for message in heard] == ["user", "assistant", "tool"]
    assert heard[2]["content"] == "Sunny in Basel"


@pytest.mark.parametrize("stream", [False, True])
def test_a_thread_is_refused_in_the_words_that_clients_understand(
    stream: bool, start: Start, upstream: FakeUpstream
) -> None:
    url = start(("vllm", upstream)).url
    status, _, body = wire.call(url, "/v1/messages", {**wire.ask(stream), "thread": THREAD})
    error = json.loads(body)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["details"] == {"error_code": "thread_unsupported_request", "param": "thread"}
    assert upstream.requests == []


def test_a_thread_is_its_vendors_matter(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(json_body(wire.ANTHROPIC_BODY))
    assert wire.call(start(("anthropic", upstream)).url, "/v1/messages", {**wire.ask(), "thread": THREAD})[0] == 200
    assert upstream.requests[0].json()["thread"] == THREAD


@pytest.mark.parametrize(
    ("member", "value"), [("conversation", "conv_1"), ("prompt", {"id": "pmpt_1", "version": "2"})]
)
def test_what_openai_keeps_is_refused_where_another_upstream_answers(
    member: str, value: Any, start: Start, upstream: FakeUpstream
) -> None:
    url = start(("vllm", upstream)).url
    status, _, body = wire.call(url, "/v1/responses", {"model": "m", "input": "Hi", member: value})
    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "unsupported_content", member)
    assert wire.call(url, "/v1/responses", {"model": "m", "input": "Hi", member: None})[0] == 200


AGENTS: dict[str, type[Agent]] = {"messages": MessagesAgent, "bedrock": BedrockAgent, "responses": ResponsesAgent}
UPSTREAMS = {**VENDORS, "bedrock_claude": vendors.BEDROCK_CLAUDE}
SAME = [("messages", "anthropic_messages"), ("bedrock", "bedrock_claude"), ("responses", "openai_responses")]
PAIRS = [(a, u) for a in AGENTS for u in VENDORS if (a, u) != ("bedrock", "bedrock_converse")]
PAIRS.append(("bedrock", "bedrock_claude"))
pair_by_pair = pytest.mark.parametrize(("agent", "upstream_dialect"), PAIRS)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])


class Turn(msgspec.Struct):
    """One call of an agent."""

    headers: dict[str, str]
    answer: bytes
    sent: Said
    heard: Any
    """What the upstream got."""
    beside: dict[str, str]
    """In headers."""
    text: str


@cache
def converse(agent: str, upstream_dialect: str, stream: bool) -> tuple[Turn, Turn]:
    """A turn in which the model thinks and calls two tools, and the one with their results."""
    vendor = UPSTREAMS[upstream_dialect]
    one = AGENTS[agent]()
    turns: list[Turn] = []
    with FakeUpstream(vendor.script) as upstream, WyeServer(vendors.config({"m": (vendor, upstream.url)})) as server:
        for _ in range(2):
            sent = json.loads(json.dumps(one.ask(stream)))
            status, headers, answer = wire.call(server.url, one.path(stream), sent, headers=one.headers)
            assert status == 200, answer
            text = one.hear(answer, stream)
            heard = upstream.requests[-1]
            turns.append(Turn(headers, answer, sent, heard.json(), heard.headers, text))
    return turns[0], turns[1]


def again(dialect: str, heard: Any) -> Any:
    """What the upstream got as its own words of the turn before."""
    if dialect == "openai_responses":
        return [
            item for item in heard["input"] if item.get("role", "assistant") == "assistant" and "output" not in item
        ]
    (message,) = [message for message in heard["messages"] if message["role"] == "assistant"]
    return message if dialect == "openai_chat" else message["content"]


def without(items: list[Said], *names: str) -> list[Said]:
    return [{name: value for name, value in item.items() if name not in names} for item in items]


def expected(dialect: str, agent: str) -> Any:
    """What it said. Clients of Messages keep arguments as an object, whose spaces are lost with them."""
    match dialect:
        case "openai_chat" if agent == "responses":
            return vendors.CHAT_MESSAGE
        case "openai_chat":
            calls = [{**call, "function": spaceless(call["function"])} for call in vendors.CHAT_CALLS]
            return {**vendors.CHAT_MESSAGE, "tool_calls": calls}
        case "openai_responses" if agent == "responses":
            thoughts = [{**item, "content": None} for item in vendors.RESPONSES_OUTPUT[:2]]
            return thoughts + without(vendors.RESPONSES_OUTPUT[2:], "status")
        case "openai_responses":
            # Messages have no ids for a text and a call; encrypted reasoning comes with its own.
            text = {"type": "output_text", "text": vendors.WORD}
            calls = without(vendors.RESPONSES_OUTPUT[3:], "id", "status")
            message = {"type": "message", "role": "assistant", "content": [text]}
            return [*vendors.RESPONSES_OUTPUT[:2], message, *map(spaceless, calls)]
        case "bedrock_converse":
            return vendors.CONVERSE_CONTENT
        case _ if agent == "responses":
            return without(vendors.CLAUDE_CONTENT, "caller")
        case _:
            return vendors.CLAUDE_CONTENT


def spaceless(call: Said) -> Said:
    return {**call, "arguments": json.dumps(json.loads(call["arguments"]), separators=(",", ":"))}


def results(dialect: str, heard: Any) -> list[tuple[str, str]]:
    """The results of tools in a request: the call's id, and the text."""

    def text(content: Any) -> str:
        return content if isinstance(content, str) else "".join(block["text"] for block in content)

    match dialect:
        case "openai_chat":
            return [(m["tool_call_id"], text(m["content"])) for m in heard["messages"] if m["role"] == "tool"]
        case "openai_responses":
            return [(item["call_id"], text(item["output"])) for item in heard["input"] if "output" in item]
        case "bedrock_converse":
            blocks = [block["toolResult"] for block in heard["messages"][-1]["content"] if "toolResult" in block]
            return [(block["toolUseId"], text(block["content"])) for block in blocks]
        case _:
            return [(block["tool_use_id"], text(block["content"])) for block in heard["messages"][-1]["content"]]


@both_ways
@pair_by_pair
def test_a_models_words_and_the_results_of_its_tools_come_back_to_it(
    agent: str, upstream_dialect: str, stream: bool
) -> None:
    first, second = converse(agent, upstream_dialect, stream)
    assert first.text == vendors.WORD
    assert again(upstream_dialect, second.heard) == expected(upstream_dialect, agent)
    assert [text for _, text in results(upstream_dialect, second.heard)] == [FAILED, OUTPUT]
    ids = {"openai_chat": "call", "openai_responses": "call", "bedrock_converse": "tooluse"}.get(
        upstream_dialect, "toolu"
    )
    assert [call for call, _ in results(upstream_dialect, second.heard)] == [f"{ids}_1", f"{ids}_2"]
    assert second.text == vendors.ANSWER
    assert vendors.THOUGHT not in first.text + second.text


@both_ways
@pytest.mark.parametrize(("agent", "upstream_dialect"), SAME)
def test_within_a_dialect_every_byte_goes_through(agent: str, upstream_dialect: str, stream: bool) -> None:
    vendor = UPSTREAMS[upstream_dialect]
    for turn, said in zip(converse(agent, upstream_dialect, stream), (vendor.calls, vendor.answers), strict=True):
        model = {} if agent == "bedrock" else {"model": vendor.model}
        assert turn.heard == turn.sent | model
        whole = b"".join(piece for piece in said(stream).pieces if isinstance(piece, bytes))
        # OpenAI's own streams of responses end without the terminator that many clients wait for.
        assert turn.answer == whole + (wire.DONE if stream and agent == "responses" else b"")
        assert "x-wye-loss" not in turn.headers


def tools_of(heard: Any) -> dict[str, Any]:
    """The tools that a model may call and the schemas of their arguments, whatever its dialect; None for free text."""
    tools = heard["toolConfig"]["tools"] if "toolConfig" in heard else heard["tools"]
    found = [tool.get("function") or tool.get("toolSpec") or tool for tool in tools]
    named = [inner for tool in found for inner in tool.get("tools", [tool]) if "name" in inner]
    schemas = [tool.get("parameters") or tool.get("input_schema") or tool.get("inputSchema") for tool in named]
    return {tool["name"]: schema and schema.get("json", schema) for tool, schema in zip(named, schemas, strict=True)}


@pair_by_pair
def test_every_tool_is_shown_to_the_model(agent: str, upstream_dialect: str) -> None:
    first, second = converse(agent, upstream_dialect, stream=False)
    sent, heard = tools_of(first.sent), tools_of(first.heard)
    assert list(heard) == list(sent)
    assert {name: heard[name] for name in sent if sent[name]} == {name: sent[name] for name in sent if sent[name]}
    assert tools_of(second.heard) == heard


@pytest.mark.parametrize("upstream_dialect", VENDORS)
def test_tools_that_only_openai_runs_are_named_where_another_answers(upstream_dialect: str) -> None:
    first, _ = converse("responses", upstream_dialect, stream=False)
    if upstream_dialect == "openai_responses":
        assert [tool["type"] for tool in first.heard["tools"]][-2:] == ["web_search", "tool_search"]
    else:
        lost = first.headers["x-wye-loss"].split(", ")
        assert {"tools[7]", "tools[8]"} <= set(lost)
        assert "web_search" not in json.dumps(first.heard)


@pytest.mark.parametrize("agent", ["messages", "bedrock"])
def test_cache_marks_reach_claude_wherever_it_is_served(agent: str) -> None:
    mark, hour = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    for upstream_dialect in ("anthropic_messages", "bedrock_claude"):
        if (agent, upstream_dialect) in PAIRS:
            _, second = converse(agent, upstream_dialect, stream=False)
            blocks = [*second.heard["system"], *second.heard["tools"]]
            blocks += [block for message in second.heard["messages"] for block in message["content"]]
            assert [block["cache_control"] for block in blocks if "cache_control" in block] == [hour, hour] + [mark] * 3


def test_cache_marks_reach_claude_through_converse() -> None:
    _, second = converse("messages", "bedrock_converse", stream=False)
    blocks = [*second.heard["system"], *second.heard["toolConfig"]["tools"]]
    blocks += [block for message in second.heard["messages"] for block in message["content"]]
    points = [(i, block["cachePoint"]) for i, block in enumerate(blocks) if "cachePoint" in block]
    assert [point.get("ttl") for _, point in points] == ["1h", "1h", None, None, None]
    assert all("cachePoint" not in blocks[i - 1] for i, _ in points)


@pair_by_pair
def test_what_an_agent_asks_for_is_said_or_named(agent: str, upstream_dialect: str) -> None:
    """Every member of a request is in what the upstream hears, or in the header that names losses."""
    first, _ = converse(agent, upstream_dialect, stream=False)
    named = first.headers.get("x-wye-loss", "")
    said = json.dumps([first.heard, first.beside])
    for member, value, other in (
        ("context_management", "clear_thinking_20251015", "context_management"),
        ("thinking", "31999", "budget_tokens"),
        ("output_config", '"high"', "effort"),
        ("metadata", "device_id", "user"),
        ("prompt_cache_key", "0197c3f0-0000-7000-8000-000000000001", "prompt_cache_key"),
        ("client_metadata", "installation_id", "client_metadata"),
        ("include", "reasoning.encrypted_content", "include"),
        ("text", "verbosity", "verbosity"),
        ("reasoning", '"medium"', "effort"),
        ("anthropic_beta", "interleaved-thinking-2025-05-14", "anthropic_beta"),
    ):
        if member in first.sent:
            assert value in said or other in named, member


PATCH = '*** Begin Patch\n+ü = "\\u2028"\n*** End Patch'


def patches(upstream_dialect: str, stream: bool) -> FakeAnswer:
    """A model calls the tool whose input is free text: as a function, where its vendor has no such tools."""
    arguments = json.dumps({"input": PATCH})
    match upstream_dialect:
        case "openai_chat":
            call = {"id": "call_1", "type": "function", "function": {"name": "apply_patch", "arguments": arguments}}
            delta = {"index": 0, **call, "function": {"name": "apply_patch", "arguments": arguments[:25]}}
            rest = {"index": 0, "function": {"arguments": arguments[25:]}}
            frames = [wire.OPENAI_ROLE, *(wire.openai_chunk({"tool_calls": [one]}) for one in (delta, rest))]
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
            frames += [wire.openai_chunk({}, "tool_calls"), wire.DONE]
            return event_stream(frames) if stream else json_body(vendors.chat_body(message, "tool_calls"))
        case "anthropic_messages":
            block = {"type": "tool_use", "id": "call_1", "name": "apply_patch", "input": {"input": PATCH}}
            frames, body = vendors.claude_stream([block], "tool_use"), vendors.claude_body([block], "tool_use")
            return event_stream(frames) if stream else json_body(body)
        case "bedrock_converse":
            use = {"toolUse": {"toolUseId": "call_1", "name": "apply_patch", "input": {"input": PATCH}}}
            body = vendors.converse_body([use], "tool_use")
            return vendors.aws_stream(vendors.converse_stream([use], "tool_use")) if stream else json_body(body)
        case _:
            item = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "apply_patch"}
            done = {**item, "input": PATCH, "status": "completed"}
            at = {"output_index": 0, "item_id": "ctc_1"}
            events: list[Said] = [
                {"type": "response.created", "response": vendors.response_body([], "in_progress")},
                {"type": "response.output_item.added", "output_index": 0, "item": {**item, "input": ""}},
                {"type": "response.custom_tool_call_input.delta", **at, "delta": PATCH},
                {"type": "response.custom_tool_call_input.done", **at, "input": PATCH},
                {"type": "response.output_item.done", "output_index": 0, "item": done},
                {"type": "response.completed", "response": vendors.response_body([done])},
            ]
            frames = [b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events]
            return event_stream(frames) if stream else json_body(vendors.response_body([done]))


@both_ways
@pytest.mark.parametrize("upstream_dialect", VENDORS)
def test_a_tool_of_free_text_works_with_models_that_know_functions_only(
    upstream_dialect: str, stream: bool, upstream: FakeUpstream
) -> None:
    vendor, agent = VENDORS[upstream_dialect], ResponsesAgent()
    upstream.queue.extend([patches(upstream_dialect, stream), vendor.answers(stream)])
    with WyeServer(vendors.config({"m": (vendor, upstream.url)})) as server:
        _, headers, answer = wire.call(server.url, agent.path(stream), agent.ask(stream))
        agent.hear(answer, stream)
        call, result = agent.items[-2:]
        assert {k: call[k] for k in ("type", "call_id", "name", "input")} == {
            "type": "custom_tool_call", "call_id": "call_1", "name": "apply_patch", "input": PATCH,
        }  # fmt: skip
        assert result["type"] == "custom_tool_call_output"
        if stream and upstream_dialect != "openai_responses":
            events = [event for event in wire.data_frames(answer) if event != "[DONE]"]
            deltas = [e["delta"] for e in events if e["type"] == "response.custom_tool_call_input.delta"]
            assert (len(deltas) > 1, "".join(deltas)) == (True, PATCH)
        status, _, second = wire.call(server.url, agent.path(stream), agent.ask(stream))
        assert status == 200, second
        assert agent.hear(second, stream) == vendors.ANSWER
    first, last = (heard.json() for heard in upstream.requests)
    assert GRAMMAR["definition"] in json.dumps(first).replace('\\"', '"')
    if upstream_dialect == "openai_responses":
        assert "x-wye-loss" not in headers
        assert again(upstream_dialect, last)[0]["input"] == PATCH
        return
    assert "tools[4].format" in headers["x-wye-loss"]
    said = again(upstream_dialect, last)
    match upstream_dialect:
        case "openai_chat":
            assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {"input": PATCH}
        case "anthropic_messages":
            assert said == [{"type": "tool_use", "id": "call_1", "name": "apply_patch", "input": {"input": PATCH}}]
        case _:
            assert said[0]["toolUse"]["input"] == {"input": PATCH}
    assert [call for call, _ in results(upstream_dialect, last)] == ["call_1"]
