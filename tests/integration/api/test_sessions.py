"""/v1/sessions and /v1/tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import wire
from wye.testing.server import WyeServer


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = str(tmp_path_factory.mktemp("home"))
    with WyeServer({"local": {"enabled": False}, "home": home}) as server:
        yield server.url


def call(url: str, path: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
    status, _, said = wire.call(url, path, body, method)
    return status, json.loads(said)


def test_a_session_keeps_what_is_said_in_it(url: str) -> None:
    _, made = call(url, "/v1/sessions", {"ttl_s": 600, "metadata": {"who": "me"}})
    assert made["expires_at"] - made["created_at"] in (599, 600, 601)
    assert made["metadata"] == {"who": "me"}
    path = f"/v1/sessions/{made['id']}"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    call(url, f"{path}/messages", {"messages": turns[:1]})
    _, said = call(url, f"{path}/messages", {"messages": turns[1:]})
    assert [{"role": m["role"], "content": m["content"]} for m in said["messages"]] == turns
    assert said["expires_at"] >= made["expires_at"]
    assert call(url, path) == (200, said)
    assert made["id"] in [session["id"] for session in call(url, "/v1/sessions")[1]["data"]]
    assert call(url, path, None, "DELETE") == (200, {"id": made["id"], "object": "session", "deleted": True})
    for method, gone in (("GET", path), ("DELETE", path)):
        status, error = call(url, gone, None, method)
        assert (status, error["error"]["code"]) == (404, "session_not_found")


def test_a_session_whose_time_is_over_is_gone(url: str) -> None:
    path = f"/v1/sessions/{call(url, '/v1/sessions', {'ttl_s': 0.05})[1]['id']}"
    wire.until(lambda: call(url, path)[0] == 404)


@pytest.mark.parametrize(
    ("body", "status", "member"),
    [
        ({"ttl_s": 0}, 400, "ttl_s"),
        ({"ttl_s": True}, 400, "ttl_s"),
        ({"ttl_s": 1e9}, 400, "ttl_s"),
        ({"metadata": [1]}, 400, "metadata"),
        ({"metadata": {"a": 1}}, 400, "metadata"),
        ({"metadata": {str(i): "" for i in range(17)}}, 400, "metadata"),
        (b"[]", 400, "object"),
        (b"x" * (1024 * 1024 + 1), 413, "1048576"),
    ],
)
def test_a_session_that_cannot_be_made_is_refused(url: str, body: Any, status: int, member: str) -> None:
    found, said = call(url, "/v1/sessions", body)
    assert (found, member in said["error"]["message"]) == (status, True), said


def test_a_session_lives_as_long_again_as_it_was_made_for_and_no_longer(url: str) -> None:
    made = call(url, "/v1/sessions", {"ttl_s": 600})[1]
    path = f"/v1/sessions/{made['id']}/messages"
    for _ in range(3):
        said = call(url, path, {"messages": [{"role": "user", "content": "Hi"}]})[1]
    assert said["expires_at"] - made["expires_at"] < 60


def test_a_message_has_a_largest_size(url: str) -> None:
    path = f"/v1/sessions/{call(url, '/v1/sessions', {})[1]['id']}/messages"
    status, said = call(url, path, {"messages": [{"role": "user", "content": "x" * 100_001}]})
    assert (status, said["error"]["param"]) == (413, "messages[0].content")


def test_tools_are_told_and_run(url: str) -> None:
    tools = call(url, "/v1/tools")[1]["data"]
    assert [tool["function"]["name"] for tool in tools] == ["echo", "calculator"]
    assert all(tool["function"]["parameters"]["required"] for tool in tools)
    ask = {"name": "calculator", "arguments": {"expression": "6 * 7"}}
    assert call(url, "/v1/tools/execute", ask)[1]["result"] == 42
    assert call(url, "/v1/tools/execute", {"name": "echo", "arguments": {"text": "é"}})[1]["result"] == "é"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"name": "shell", "arguments": {}}, 404, "echo, calculator"),
        ({"name": "calculator"}, 422, "arguments.expression"),
        ({"name": "calculator", "arguments": {"expression": 1}}, 422, "arguments.expression"),
        ({"name": "calculator", "arguments": {"expression": "1/0"}}, 400, "Division by zero"),
        ({}, 422, "name is required"),
    ],
)
def test_a_tool_that_cannot_be_run_says_why(url: str, body: Any, status: int, said: str) -> None:
    found, answer = call(url, "/v1/tools/execute", body)
    assert (found, said in answer["error"]["message"]) == (status, True), answer
