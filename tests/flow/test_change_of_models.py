"""A conversation that goes on with another vendor's model: what only the first can read never reaches the second, and
is back when the first answers again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeUpstream, json_body

SIGNATURE = "EqQBCkgIBxABGAIiQ"
ENCRYPTED = "gAAAAABo-encrypted"
CLAUDE = {
    **wire.ANTHROPIC_BODY,
    "content": [
        {"type": "thinking", "thinking": "A greeting.", "signature": SIGNATURE},
        {"type": "text", "text": "Hello there"},
    ],
}
GPT: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1790000000,
    "status": "completed",
    "model": "gpt-x",
    "output": [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "A greeting."}],
            "encrypted_content": ENCRYPTED,
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello there", "annotations": [], "logprobs": []}],
        },
    ],
}
MODELS = {"claude": "claude-x", "gpt": "gpt-x-codex"}
HI, AND = {"role": "user", "content": "Hi"}, {"role": "user", "content": "And?"}


@pytest.fixture
def url(start: Start, upstream: FakeUpstream, second: FakeUpstream) -> str:
    names = zip(MODELS.items(), ("anthropic0", "openai1"), strict=True)
    routes = {name: {"deployments": [{"provider": kind, "model": model}]} for (name, model), kind in names}
    return start(("anthropic", upstream), ("openai", second), routes=routes).url


def respond(url: str, model: str, items: list[Any], **members: Any) -> tuple[Any, dict[str, str]]:
    asked = {"model": model, "input": items, "include": ["reasoning.encrypted_content"], **members}
    status, headers, body = wire.call(url, "/v1/responses", asked)
    assert status == 200, body
    return json.loads(body), headers


def converse(url: str, model: str, turns: list[Any]) -> tuple[Any, dict[str, str]]:
    asked = {"model": model, "max_tokens": 90, "messages": turns}
    status, headers, body = wire.call(url, "/v1/messages", asked)
    assert status == 200, body
    return json.loads(body), headers


def test_a_client_of_responses_goes_from_claude_to_gpt_and_back(
    url: str, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.queue.extend([json_body(CLAUDE)] * 2)
    second.queue.append(json_body(GPT))
    first, _ = respond(url, "claude", [HI], store=False)
    items = [HI, *first["output"], AND]
    answer, headers = respond(url, "gpt", items, store=False)
    assert answer["output"] == GPT["output"]
    assert [item.get("type", "message") for item in second.requests[0].json()["input"]] == ["message"] * 3
    assert "wye1." not in second.requests[0].body.decode()
    assert headers["x-wye-loss"].startswith("messages[1]")
    respond(url, "claude", [*items, *answer["output"], AND], store=False)
    said = upstream.requests[-1].json()["messages"][1]["content"]
    assert said == CLAUDE["content"]
    assert ENCRYPTED not in upstream.requests[-1].body.decode()


def test_a_kept_conversation_goes_from_claude_to_gpt(url: str, upstream: FakeUpstream, second: FakeUpstream) -> None:
    upstream.queue.append(json_body(CLAUDE))
    second.queue.append(json_body(GPT))
    first, _ = respond(url, "claude", [HI])
    answer, _ = respond(url, "gpt", [AND], previous_response_id=first["id"])
    assert answer["previous_response_id"] == first["id"]
    heard = second.requests[0].json()["input"]
    assert [item["role"] for item in heard] == ["user", "assistant", "user"]


def test_a_client_of_messages_goes_from_gpt_to_claude_and_back(
    url: str, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    second.queue.extend([json_body(GPT)] * 2)
    upstream.queue.append(json_body(CLAUDE))
    first, _ = converse(url, "gpt", [HI])
    turns = [HI, {"role": "assistant", "content": first["content"]}, AND]
    answer, headers = converse(url, "claude", turns)
    assert answer["content"] == CLAUDE["content"]
    assert upstream.requests[0].json()["messages"][1]["content"] == "Hello there"
    assert headers["x-wye-loss"].startswith("messages[1]")
    converse(url, "gpt", [*turns, {"role": "assistant", "content": answer["content"]}, AND])
    heard = second.requests[-1].json()["input"]
    assert [item for item in heard if item.get("type") == "reasoning"] == GPT["output"][:1]
    assert SIGNATURE not in second.requests[-1].body.decode()


def test_what_its_own_vendor_wrote_goes_through_as_it_is(url: str, second: FakeUpstream) -> None:
    second.queue.append(json_body(GPT))
    items = [HI, *GPT["output"], {"role": "user", "content": "What does wye1.abc mean?", "x": [1.0, None]}]
    _, headers = respond(url, "gpt", items)
    assert second.requests[0].json()["input"] == items
    assert "x-wye-loss" not in headers
