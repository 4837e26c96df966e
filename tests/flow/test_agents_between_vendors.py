"""A coding agent whose next turn is answered by another vendor: because its model was changed, or did not answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests import vendors, wire
from tests.flow.agents import FAILED, OUTPUT, BedrockAgent, MessagesAgent, ResponsesAgent
from tests.vendors import VENDORS
from wye.testing.fake import FakeUpstream
from wye.testing.server import WyeServer

SECRETS = {
    "anthropic_messages": (vendors.SIGNATURE, vendors.REDACTED),
    "bedrock_converse": (vendors.SIGNATURE, vendors.in_base64(vendors.REDACTED)),
    "openai_responses": (vendors.ENCRYPTED, vendors.REDACTED),
    "openai_chat": (),
}
"""What only the vendor of each dialect can read of its model's turn."""
CLAUDE = ("anthropic_messages", "bedrock_converse")
SWITCHES = [(one, other) for one in VENDORS for other in VENDORS if one != other]


@pytest.fixture(scope="module")
def fakes() -> Iterator[dict[str, FakeUpstream]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(FakeUpstream(vendors.script_of(v))) for name, v in VENDORS.items()}


@pytest.fixture(scope="module")
def url(fakes: dict[str, FakeUpstream]) -> Iterator[str]:
    with WyeServer(vendors.config({name: (VENDORS[name], fake.url) for name, fake in fakes.items()})) as server:
        yield server.url


def turn(url: str, agent: MessagesAgent | ResponsesAgent, model: str, stream: bool) -> str:
    agent.body["model"] = model
    status, _, answer = wire.call(url, agent.path(stream), agent.ask(stream), headers=agent.headers)
    assert status == 200, answer
    return agent.hear(answer, stream)


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@pytest.mark.parametrize(("one", "other"), SWITCHES)
@pytest.mark.parametrize("kind", [MessagesAgent, ResponsesAgent], ids=["messages", "responses"])
def test_another_vendor_goes_on_without_what_it_cannot_read(
    kind: type[MessagesAgent] | type[ResponsesAgent],
    one: str,
    other: str,
    stream: bool,
    url: str,
    fakes: dict[str, FakeUpstream],
) -> None:
    agent = kind()
    turn(url, agent, one, stream)
    assert turn(url, agent, other, stream) == vendors.ANSWER
    heard = fakes[other].requests[-1].body.decode()
    for said in (FAILED, OUTPUT, vendors.WORD, "src/b.py", "make test"):
        assert said in heard or json.dumps(said)[1:-1] in heard
    assert "wye1." not in heard
    if {one, other} == set(CLAUDE):
        assert all(secret in heard for secret in SECRETS[other])
    elif other != "openai_chat":  # a server of that dialect may serve any vendor's models
        assert not any(secret in heard for secret in SECRETS[one])
    # Back at its vendor, the conversation is whole again.
    assert turn(url, agent, one, stream) == vendors.ANSWER
    again = fakes[one].requests[-1].body.decode()
    assert all(secret in again for secret in SECRETS[one])
    assert "wye1." not in again


def said_to(url: str, fakes: dict[str, FakeUpstream], agent: MessagesAgent, model: str) -> tuple[Any, dict[str, str]]:
    agent.body["model"] = model
    path = f"/model/{model}/invoke" if isinstance(agent, BedrockAgent) else agent.path(False)
    assert wire.call(url, path, agent.ask(False), headers=agent.headers)[0] == 200
    heard = fakes[model].requests[-1]
    return heard.json(), heard.headers


def test_previews_are_asked_for_where_claude_is_served(url: str, fakes: dict[str, FakeUpstream]) -> None:
    flags = MessagesAgent.headers["anthropic-beta"].split(",")
    for agent in (MessagesAgent(), BedrockAgent()):
        body, headers = said_to(url, fakes, agent, "anthropic_messages")
        assert headers["anthropic-beta"].replace(" ", "").split(",") == flags
        assert "anthropic_beta" not in body
    body, _ = said_to(url, fakes, BedrockAgent(), "bedrock_converse")
    assert body["anthropic_beta"] == flags
    # Through Converse only those that Bedrock has: it refuses any other.
    body, _ = said_to(url, fakes, MessagesAgent(), "bedrock_converse")
    assert body["additionalModelRequestFields"]["anthropic_beta"] == ["interleaved-thinking-2025-05-14"]


@pytest.mark.parametrize(
    ("provider", "member"),
    [
        ("groq", None),
        ("mistral", None),
        ("gemini", None),
        ("openai", None),
        ("cerebras", "reasoning"),
        ("deepseek", "reasoning_content"),
        ("openrouter", "reasoning_content"),
    ],
)
@pytest.mark.parametrize("kind", [MessagesAgent, ResponsesAgent], ids=["messages", "responses"])
def test_a_vendor_is_shown_earlier_reasoning_only_where_it_takes_it(
    provider: str, member: str | None, kind: type[MessagesAgent] | type[ResponsesAgent]
) -> None:
    # Some refuse every member of a message that they do not know.
    vendor = VENDORS["openai_chat"]
    with FakeUpstream(vendor.script) as upstream:
        config = vendors.config({"m": (vendor, upstream.url)})
        config["providers"]["up-m"] |= {"kind": provider, "api_key": "sk-up"}
        config["routes"]["m"]["deployments"][0]["api"] = "openai"
        with WyeServer(config) as server:
            agent = kind()
            turn(server.url, agent, "m", stream=False)
            assert turn(server.url, agent, "m", stream=False) == vendors.ANSWER
        (said,) = [message for message in upstream.requests[-1].json()["messages"] if message["role"] == "assistant"]
    known = {"role", "content", "tool_calls"}
    assert said.keys() - known == ({member} if member else set())
    if member:
        assert said[member] == vendors.THOUGHT
