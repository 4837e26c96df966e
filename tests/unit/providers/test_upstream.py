"""A provider that is a row: its address, its headers, its key."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.unit.providers.test_local import Reply
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message
from wye.canon.tools import FunctionTool
from wye.dialects.dialect import Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import ConfigError, NoDeployment, UpstreamRefused
from wye.kernel.secret import Secret
from wye.ports.provider import Call
from wye.ports.transport import Clocks, Origin, Sent
from wye.providers.rows import ROWS, Row
from wye.providers.upstream import UpstreamProvider

KEY = Secret("sk-test-123")


class Line:
    """A transport that keeps what it was given and answers what it was told."""

    def __init__(self, answer: Reply | None = None) -> None:
        self.answer = answer or Reply({})
        self.sent: list[tuple[Origin, bytes, bytes, bytes, bytes]] = []

    async def send(
        self,
        origin: Origin,
        method: bytes,
        target: bytes,
        headers: bytes,
        body: bytes,
        clocks: Clocks,
        sent: Sent | None = None,
    ) -> Reply:
        self.sent.append((origin, method, target, headers, body))
        return self.answer

    def lines(self) -> list[str]:
        return sorted(self.sent[-1][3].decode("latin-1").removesuffix("\r\n").split("\r\n"))


def provider(row: str = "openai", line: Line | None = None, **members: Any) -> UpstreamProvider:
    found = ROWS[row]
    given: dict[str, Any] = {"base_url": found.base_url, "api_key": KEY, "headers": {}, "quirks": Quirks(), **members}
    return UpstreamProvider("mine", found, DIALECTS, line or Line(), **given)  # type: ignore[arg-type]


ADDRESSES = {
    "https://api.openai.com/v1": (Origin("https", "api.openai.com", 443), b"/v1/chat/completions"),
    "http://127.0.0.1:8001/v1/": (Origin("http", "127.0.0.1", 8001), b"/v1/chat/completions"),
    "http://[::1]:9/": (Origin("http", "::1", 9), b"/chat/completions"),
    "http://Example.org": (Origin("http", "example.org", 80), b"/chat/completions"),
    "https://h/a/b%20c/openai": (Origin("https", "h", 443), b"/a/b%20c/openai/chat/completions"),
}


@pytest.mark.parametrize("address", ADDRESSES)
async def test_an_address_is_taken_as_the_vendors_sdk_takes_it(address: str) -> None:
    line = Line()
    origin, target = ADDRESSES[address]
    await provider(line=line, base_url=address).call(Call("openai_chat", "m", b"{}"))
    assert line.sent[0][:3] == (origin, b"POST", target)
    assert line.sent[0][4] == b"{}"


@pytest.mark.parametrize("base_url", ["https://api.anthropic.com", "https://api.anthropic.com/v1", "https://h/p/v1/"])
async def test_the_version_is_never_said_twice(base_url: str) -> None:
    line = Line()
    await provider("anthropic", line, base_url=base_url).call(Call("anthropic_messages", "m", b"{}"))
    assert line.sent[0][2].endswith(b"/v1/messages")
    assert line.sent[0][2].count(b"/v1") == 1


@pytest.mark.parametrize(
    "address",
    [
        "api.openai.com/v1",
        "ftp://h/v1",
        "https://",
        "https:///v1",
        "https://h:port/",
        "https://h:0/",
        "https://h:65536/",
        "http://[::1",
        "https://h/v1?key=1",
        "https://h/v1#x",
        "https://h/a b",
        "https://h/\r\nx-evil: 1",
        "https://hö.example/v1",
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"providers\.mine\.base_url: .* must look like https://host"):
        provider(base_url=address)


def test_an_address_that_is_missing_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"providers\.mine: base_url is required"):
        provider("vllm")


@pytest.mark.parametrize("address", ["https://me:secret@h/v1", "https://secret@h:bad/", "secret@h"])
def test_credentials_in_an_address_are_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError, match="must hold no credentials") as refused:
        provider(base_url=address)
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "1\r\nx-evil: 1"},
        {"x-a": "1\nx-evil: 1"},
        {"x-a": "nul\0"},
        {"x-a": "del\x7f"},
        {"x-a": "“quoted”"},
        {"x-a\r\nx-evil": "1"},
        {"x-a: 1": "2"},
        {"x a": "1"},
        {"": "1"},
        {"ä": "1"},
        {"Host": "evil"},
        {"content-length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"connection": "close"},
    ],
)
def test_a_header_that_would_break_the_request_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="cannot be sent as an HTTP header"):
        provider(headers=headers)


def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="'authorization' cannot be sent") as refused:
        provider(api_key=Secret("sk-123\n"))
    assert "123" not in refused.value.message


async def test_every_call_carries_the_key_and_the_operators_headers() -> None:
    line = Line()
    await provider(line=line, headers={"X-Team": "blue é"}).call(Call("openai_chat", "m", b"{}"))
    assert line.lines() == [
        "accept-encoding: identity",
        "authorization: Bearer sk-test-123",
        "content-type: application/json",
        "x-team: blue é",
    ]


async def test_without_a_key_no_call_is_made() -> None:
    line = Line()
    made = provider(line=line, api_key=None)
    assert made.missing_key
    with pytest.raises(NoDeployment, match=r"'mine' has no API key: set OPENAI_API_KEY, or providers\.mine\.api_key"):
        await made.call(Call("openai_chat", "m", b"{}"))
    assert line.sent == []


async def test_a_header_of_the_operators_stands_for_the_key() -> None:
    line = Line()
    made = provider(line=line, api_key=None, headers={"Authorization": "Basic x"})
    assert not made.missing_key
    await made.call(Call("openai_chat", "m", b"{}"))
    assert "authorization: Basic x" in line.lines()


async def test_a_provider_that_needs_no_key_sends_none() -> None:
    line = Line()
    made = provider("ollama", line, api_key=None)
    assert not made.missing_key
    await made.call(Call("openai_chat", "m", b"{}"))
    assert line.lines() == ["accept-encoding: identity", "content-type: application/json"]


CALLER = {b"anthropic-beta": b"b-1", b"anthropic-version": b"2099-01-01", b"cookie": b"c", b"x-api-key": b"theirs"}


async def test_headers_that_concern_the_upstream_go_on_over_the_defaults() -> None:
    line = Line()
    made = provider("anthropic", line)
    await made.call(Call("openai_chat", "m", b"{}"))
    assert [h for h in line.lines() if h.startswith("anthropic")] == ["anthropic-version: 2023-06-01"]
    await made.call(Call("openai_chat", "m", b"{}", caller=CALLER))
    assert line.lines() == [
        "accept-encoding: identity",
        "anthropic-beta: b-1",
        "anthropic-version: 2099-01-01",
        "content-type: application/json",
        "x-api-key: sk-test-123",
    ]
    await made.call(Call("openai_chat", "m", b"{}", caller={b"cookie": b"c"}))
    assert [h for h in line.lines() if h.startswith("anthropic")] == ["anthropic-version: 2023-06-01"]


async def test_what_the_operator_wrote_down_stands_and_is_said_once() -> None:
    line = Line()
    made = provider("anthropic", line, headers={"Anthropic-Version": "2024-01-01"})
    for caller in ({}, CALLER):
        await made.call(Call("openai_chat", "m", b"{}", caller=caller))
        assert [h for h in line.lines() if h.startswith("anthropic-version")] == ["anthropic-version: 2024-01-01"]


async def test_a_request_needs_no_change() -> None:
    asked = ChatRequest(model="m", messages=[])
    adapted = await provider().adapt(asked, Losses())
    assert adapted.request is asked
    assert adapted.rewrite is None


COUNTED = ChatRequest(
    model="alias",
    messages=[Message("system", [Text("Be brief")]), Message("user", [Text("Hi")])],
    max_tokens=50,
    temperature=0.5,
    stream=True,
    tools=[FunctionTool("f", schema={"type": "object"})],
)


async def test_counting_asks_about_the_input_only() -> None:
    line = Line(Reply({"input_tokens": 9}))
    assert await provider("anthropic", line).count_tokens("claude-x", COUNTED) == 9
    assert line.sent[0][2] == b"/v1/messages/count_tokens"
    body = json.loads(line.sent[0][4])
    assert body["model"] == "claude-x"
    assert set(body) == {"model", "messages", "system", "tools"}
    assert line.answer.closed


async def test_previews_bear_on_a_count() -> None:
    line = Line(Reply({"input_tokens": 9}))
    asked = msgspec.structs.replace(COUNTED, betas=["context-1m-2025-08-07"])
    assert await provider("anthropic", line).count_tokens("claude-x", asked) == 9
    assert b"anthropic-beta: context-1m-2025-08-07\r\n" in line.sent[0][3]


async def test_openai_counts_in_the_words_of_responses() -> None:
    line = Line(Reply({"object": "response.input_tokens", "input_tokens": 9}))
    thread = {"openai_responses": {"previous_response_id": "resp_1", "background": True}}
    asked = msgspec.structs.replace(COUNTED, extras=thread)
    assert await provider("openai", line).count_tokens("gpt-x", asked) == 9
    assert line.sent[0][2] == b"/v1/responses/input_tokens"
    body = json.loads(line.sent[0][4])
    assert body["model"] == "gpt-x"
    assert set(body) == {"model", "input", "tools", "previous_response_id"}


@pytest.mark.parametrize(("row", "model"), [("groq", "m"), ("openai", "gpt-3.5-turbo-instruct")])
async def test_where_there_is_no_such_call_nothing_is_counted(row: str, model: str) -> None:
    line = Line()
    assert await provider(row, line).count_tokens(model, COUNTED) is None
    assert line.sent == []


@pytest.mark.parametrize("status", [404, 405])
async def test_a_server_that_does_not_count_says_no_figure(status: int) -> None:
    line = Line(Reply({"error": {"message": "Not Found"}}, status))
    assert await provider("openai", line).count_tokens("m", COUNTED) is None
    assert line.answer.closed


@pytest.mark.parametrize("answer", [{}, [], {"input_tokens": None}, {"input_tokens": "9"}, b"<html>"])
async def test_a_count_that_cannot_be_understood_is_none(answer: Any) -> None:
    line = Line(Reply(answer))
    assert await provider("anthropic", line).count_tokens("m", COUNTED) is None
    assert line.answer.closed


async def test_a_refusal_to_count_is_the_upstreams() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    line = Line(Reply(error, 529))
    with pytest.raises(UpstreamRefused, match="busy") as refused:
        await provider("anthropic", line).count_tokens("m", COUNTED)
    assert (refused.value.status, refused.value.kind) == (529, "overloaded_error")
    assert line.answer.closed


PLAIN = {name: row for name, row in ROWS.items() if name != "bedrock"}


@pytest.mark.parametrize("row", PLAIN.values(), ids=PLAIN)
def test_every_row_makes_a_provider(row: Row) -> None:
    assert row.title
    assert row.dialects
    assert {*row.dialects, *row.models.values()} <= {*DIALECTS}
    assert bool(row.key_env) == row.needs_key
    assert "{key}" in row.auth
    made = provider(row.name, base_url=row.base_url or "http://127.0.0.1:1/v1", quirks=row.quirks)
    assert not made.missing_key
    assert made.origin.scheme == "https" or row.name in ("ollama", "vllm", "azure", "wye")
    for header in (*row.headers, *row.forward_headers, row.auth.partition(":")[0]):
        assert header == header.lower()


def test_a_row_with_an_unknown_member_is_a_mistake() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        msgspec.convert({"name": "x", "title": "X", "base_url": "", "dialects": ["d"], "colour": "red"}, Row)


TAKES_PREFILL = {
    "anthropic": {
        "claude-3-haiku-20240307": True,
        "claude-3-7-sonnet-latest": True,
        "claude-sonnet-4-0": True,
        "claude-opus-4-20250514": True,
        "claude-opus-4-1-20250805": True,
        "claude-haiku-4-5": True,
        "claude-sonnet-4-5-20250929": True,
        "claude-opus-4-6": False,
        "claude-sonnet-4-6": False,
        "claude-opus-4-10": False,
        "claude-opus-5": False,
    },
    "bedrock": {
        "anthropic.claude-3-haiku-20240307-v1:0": True,
        "anthropic.claude-opus-4-1-20250805-v1:0": True,
        "anthropic.claude-sonnet-4-20250514-v1:0": True,
        "anthropic.claude-opus-4-6-v1": False,
        "amazon.nova-lite-v1:0": False,
    },
    "openai": {"gpt-4o": False, "o3": False},
    "vllm": {"qwen2.5": False},
}


@pytest.mark.parametrize(("row", "model"), [(row, model) for row, models in TAKES_PREFILL.items() for model in models])
def test_who_goes_on_from_a_beginning_is_known(row: str, model: str) -> None:
    assert ROWS[row].takes_prefill(model) is TAKES_PREFILL[row][model]
