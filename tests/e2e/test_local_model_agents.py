"""A coding agent's loop against the model in the box: a call of a tool, its result, an answer. Shapes are asserted, not
content."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from anthropic import beta_tool

from tests import wire
from tests.e2e.conftest import MODEL, Served
from tests.flow.agents import Agent, MessagesAgent, ResponsesAgent

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

TOOLS: list[Any] = [{"name": name, "description": f"Can {name}."} for name in ("read_file", "run")]
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string", "maxLength": 12}},
    "required": ["path"],
    "additionalProperties": False,
}


def messages_agent() -> MessagesAgent:
    """With little to read: the model's context is small."""
    agent = MessagesAgent()
    system = [{**block, "text": block["text"][:30]} for block in agent.body["system"]]
    tools = [{**tool, "input_schema": SCHEMA, "cache_control": agent.mark} for tool in TOOLS]
    agent.body |= {"model": MODEL, "max_tokens": 60, "system": system, "tools": tools}
    return agent


def responses_agent() -> ResponsesAgent:
    agent = ResponsesAgent()
    tools = [{**tool, "type": "function", "parameters": SCHEMA, "strict": True} for tool in TOOLS]
    agent.body |= {"model": MODEL, "max_output_tokens": 60, "tools": tools}
    agent.items[0]["content"][0]["text"] = "You write code."
    return agent


def turn(served: Served, agent: Agent, choice: Any, stream: bool) -> str:
    body = {**agent.ask(stream), "tool_choice": choice}
    status, _, answer = wire.call(served.url, agent.path(stream), body, headers=agent.headers)
    assert status == 200, answer
    return agent.hear(answer, stream)


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
def test_an_agent_on_messages(stream: bool, served: Served) -> None:
    agent = messages_agent()
    turn(served, agent, {"type": "any"}, stream)
    (call,) = [block for block in agent.messages[1]["content"] if block["type"] == "tool_use"]
    assert call["name"] in ("read_file", "run")
    assert call["input"].keys() == {"path"}
    assert agent.messages[2]["content"][0]["tool_use_id"] == call["id"]
    assert turn(served, agent, {"type": "none"}, stream)
    assert [message["role"] for message in agent.messages] == ["user", "assistant", "user", "assistant"]


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
def test_an_agent_on_responses(stream: bool, served: Served) -> None:
    agent = responses_agent()
    turn(served, agent, "required", stream)
    call, result = agent.items[-2:]
    assert (call["type"], call["name"] in ("read_file", "run")) == ("function_call", True)
    assert json.loads(call["arguments"]).keys() == {"path"}
    assert (result["type"], result["call_id"]) == ("function_call_output", call["call_id"])
    assert turn(served, agent, "none", stream)


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
def test_a_tool_of_free_text_is_called(stream: bool, served: Served) -> None:
    agent = responses_agent()
    agent.body["tools"] = [{"type": "custom", "name": "apply_patch", "description": "Edits files."}]
    turn(served, agent, {"type": "custom", "name": "apply_patch"}, stream)
    call, result = agent.items[-2:]
    assert (call["type"], call["name"]) == ("custom_tool_call", "apply_patch")
    assert isinstance(call["input"], str)
    assert not call["input"].startswith('{"input"')
    assert (result["type"], result["call_id"]) == ("custom_tool_call_output", call["call_id"])
    turn(served, agent, "none", stream)


def test_the_tool_runner_of_anthropics_client(served: Served) -> None:
    called: list[str] = []

    @beta_tool
    def read_file(path: str) -> str:
        """Reads a file."""
        called.append(path)
        return "It is empty."

    client = anthropic.Anthropic(base_url=served.url, api_key="unused", max_retries=0, timeout=60)
    task: Any = {"role": "user", "content": "Read src/b.py."}
    runner = client.beta.messages.tool_runner(
        model=MODEL, max_tokens=60, tools=[read_file], messages=[task], tool_choice={"type": "any"}, max_iterations=2
    )
    answers = list(runner)
    assert len(answers) == 2
    assert called
