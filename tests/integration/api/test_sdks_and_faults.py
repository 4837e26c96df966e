"""The vendors' own clients when an upstream breaks off: they raise or have a whole answer, never half of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import EventStreamError

from tests import wire
from tests.flow import streams
from tests.flow.streams import BEGUN, PRELUDE, TEXT, WHOLE, stream
from wye.testing.fake import FakeUpstream
from wye.testing.server import WyeServer

TURNS: list[Any] = [{"role": "user", "content": "Hi"}]
REST = [
    *PRELUDE["messages"],
    wire.anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": " there"}),
    *wire.ANTHROPIC_END,
]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, FakeUpstream, FakeUpstream]]:
    """Models `m` and `continued`: first a model of OpenAI's format, then a Claude."""
    with ExitStack() as stack:
        first, claude = stack.enter_context(FakeUpstream()), stack.enter_context(FakeUpstream())
        deployments = [
            {"provider": "first", "model": "gpt", "api": "chat"},
            {"provider": "claude", "model": "claude-sonnet-4-5", "weight": 0},
        ]
        route = {"deployments": deployments, "retries": 0, "allowed_fails": 10**6}
        config = {
            "local": {"enabled": False},
            "providers": {
                "first": streams.provider("chat", first),
                "claude": streams.provider("messages", claude),
            },
            "routes": {"m": route, "continued": {**route, "continue_after_cut": True}},
        }
        yield stack.enter_context(WyeServer(config)).url, first, claude


def chat(url: str, model: str) -> str:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, _strict_response_validation=True)
    with client.chat.completions.stream(model=model, messages=TURNS) as told:
        return told.get_final_completion().choices[0].message.content or ""


def responses(url: str, model: str) -> str:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, _strict_response_validation=True)
    with client.responses.stream(model=model, input="Hi") as told:
        return told.get_final_response().output_text


def messages(url: str, model: str) -> str:
    client = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, _strict_response_validation=True)
    with client.messages.stream(model=model, max_tokens=50, messages=TURNS) as told:
        blocks = told.get_final_message().content
    assert len(blocks) == 1
    return blocks[0].text if blocks[0].type == "text" else ""


def converse(url: str, model: str) -> str:
    client: Any = boto3.client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id="wye",
        aws_secret_access_key="k",
        config=Config(retries={"max_attempts": 0}),
    )
    told = client.converse_stream(modelId=model, messages=[{"role": "user", "content": [{"text": "Hi"}]}])
    return "".join(event.get("contentBlockDelta", {}).get("delta", {}).get("text", "") for event in told["stream"])


CLIENTS: dict[str, tuple[Callable[[str, str], str], type[Exception]]] = {
    "chat": (chat, openai.APIError),
    "responses": (responses, openai.APIError),
    "messages": (messages, anthropic.APIError),
    "converse": (converse, EventStreamError),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_failure_before_the_first_word_is_not_seen(
    client: str, served: tuple[str, FakeUpstream, FakeUpstream]
) -> None:
    url, first, claude = served
    first.queue.append(stream("chat", [*PRELUDE["chat"]], end="cut"))
    claude.queue.append(stream("messages", [*WHOLE["messages"]]))
    assert CLIENTS[client][0](url, "m") == TEXT


@pytest.mark.parametrize("client", CLIENTS)
def test_half_an_answer_raises(client: str, served: tuple[str, FakeUpstream, FakeUpstream]) -> None:
    url, first, _ = served
    first.queue.append(stream("chat", [*BEGUN["chat"]], end="cut"))
    ask, error = CLIENTS[client]
    with pytest.raises(error, match=r"closed the connection|ended the stream"):
        ask(url, "m")


@pytest.mark.parametrize("client", CLIENTS)
def test_two_halves_are_one_answer(client: str, served: tuple[str, FakeUpstream, FakeUpstream]) -> None:
    url, first, claude = served
    first.queue.append(stream("chat", [*BEGUN["chat"]], end="cut"))
    claude.queue.append(stream("messages", [*REST]))
    assert CLIENTS[client][0](url, "continued") == TEXT
