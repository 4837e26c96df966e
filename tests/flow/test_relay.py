"""What a caller sees and what the upstream hears, for each pair of dialects, streamed and not."""

from __future__ import annotations

import json
from typing import Any

import pytest

import wye
from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeAnswer, FakeUpstream, event_stream, json_body

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
UPSTREAM_PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
BODIES = {"openai": wire.OPENAI_BODY, "anthropic": wire.ANTHROPIC_BODY}
STREAMS = {"openai": wire.OPENAI_STREAM, "anthropic": wire.ANTHROPIC_STREAM}
PAIRS = [(a, b) for a in PATHS for b in PATHS]


def text_of(caller: str, body: bytes, stream: bool) -> str:
    if caller == "openai":
        if not stream:
            return json.loads(body)["choices"][0]["message"]["content"]
        chunks = [c for c in wire.data_frames(body) if c != "[DONE]"]
        return "".join(choice["delta"].get("content") or "" for c in chunks for choice in c["choices"])
    if not stream:
        return "".join(block["text"] for block in json.loads(body)["content"])
    return "".join(e["delta"]["text"] for e in wire.data_frames(body) if e["type"] == "content_block_delta")


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_every_pair_of_dialects_answers(
    caller: str, kind: str, stream: bool, start: Start, upstream: FakeUpstream
) -> None:
    upstream.queue.append(event_stream(STREAMS[kind]) if stream else json_body(BODIES[kind]))
    server = start((kind, upstream))
    status, headers, body = wire.call(server.url, PATHS[caller], wire.ask(stream))
    assert status == 200, body
    assert text_of(caller, body, stream) == "Hello there"
    assert headers["x-wye-deployment"] == f"{kind}0/up-{kind}"
    assert headers["x-wye-attempts"] == "1"
    assert headers["x-request-id"].startswith("req_")
    assert headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    heard = upstream.requests[0]
    assert heard.path == UPSTREAM_PATHS[kind]
    assert heard.json()["model"] == f"up-{kind}"
    key = heard.headers["authorization" if kind == "openai" else "x-api-key"]
    assert key.endswith("sk-upstream")


@pytest.mark.parametrize("caller", PATHS)
def test_within_a_dialect_the_bytes_go_through(caller: str, start: Start, upstream: FakeUpstream) -> None:
    odd = {**wire.ask(), "odd_member": {"n": 1.50, "s": "é"}, "metadata": {"user_id": "u"}}
    upstream.queue.append(json_body({**BODIES[caller], "odd_answer": [1, 2]}))
    server = start((caller, upstream))
    _, headers, body = wire.call(server.url, PATHS[caller], odd)
    assert json.loads(body) == {**BODIES[caller], "odd_answer": [1, 2]}
    assert upstream.requests[0].json() == {**odd, "model": f"up-{caller}"}
    assert "x-wye-loss" not in headers


@pytest.mark.parametrize("caller", PATHS)
def test_a_stream_within_a_dialect_is_the_upstreams_bytes(caller: str, start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(event_stream(STREAMS[caller]))
    server = start((caller, upstream))
    ask = wire.ask(stream=True)
    if caller == "openai":
        ask["stream_options"] = {"include_usage": True}
    _, _, body = wire.call(server.url, PATHS[caller], ask)
    assert body == b"".join(STREAMS[caller])


def test_usage_is_asked_for_but_not_shown_to_whom_did_not_ask(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(event_stream(wire.OPENAI_STREAM))
    server = start(("openai", upstream))
    _, _, body = wire.call(server.url, PATHS["openai"], wire.ask(stream=True))
    assert upstream.requests[0].json()["stream_options"] == {"include_usage": True}
    assert body == b"".join([wire.OPENAI_ROLE, *wire.OPENAI_TEXT, wire.OPENAI_FINISH, wire.DONE])
    assert b'wye_input_tokens_total{deployment="openai0/up-openai"} 11.0' in wire.call(server.url, "/metrics")[2]


def test_usage_crosses_dialects(start: Start, upstream: FakeUpstream) -> None:
    server = start(("anthropic", upstream))
    upstream.queue.append(json_body(wire.ANTHROPIC_BODY))
    _, _, body = wire.call(server.url, PATHS["openai"], wire.ask())
    usage = json.loads(body)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (11, 3, 14)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4
    upstream.queue.append(event_stream(wire.ANTHROPIC_STREAM))
    asked = {**wire.ask(stream=True), "stream_options": {"include_usage": True}}
    frames = wire.data_frames(wire.call(server.url, PATHS["openai"], asked)[2])
    assert frames[-1] == "[DONE]"
    assert frames[-2]["choices"] == []
    assert frames[-2]["usage"]["prompt_tokens"] == 11
    upstream.queue.append(event_stream(wire.ANTHROPIC_STREAM))
    frames = wire.data_frames(wire.call(server.url, PATHS["openai"], wire.ask(stream=True))[2])
    assert all(frame == "[DONE]" or not frame.get("usage") for frame in frames)


def test_what_cannot_be_carried_is_reported_or_refused_in_strict_mode(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(json_body(wire.ANTHROPIC_BODY))
    server = start(("anthropic", upstream))
    asked = {**wire.ask(), "seed": 7}
    status, headers, _ = wire.call(server.url, PATHS["openai"], asked)
    assert status == 200
    assert "seed" in headers["x-wye-loss"]
    status, _, body = wire.call(server.url, PATHS["openai"], asked, headers={"x-wye-strict": "true"})
    error: dict[str, Any] = json.loads(body)["error"]
    assert status == 400
    assert error["param"] == "seed"
    assert len(upstream.requests) == 1, "nothing is sent in strict mode"


def test_a_route_may_be_strict_for_all_its_callers(start: Start, upstream: FakeUpstream) -> None:
    server = start(("anthropic", upstream), route={"strict": True})
    status, _, body = wire.call(server.url, PATHS["openai"], {**wire.ask(), "seed": 7})
    assert (status, json.loads(body)["error"]["param"]) == (400, "seed")
    assert upstream.requests == []


def test_the_callers_headers_for_its_vendor_go_along_within_the_dialect(start: Start, upstream: FakeUpstream) -> None:
    upstream.script = lambda _: json_body(wire.ANTHROPIC_BODY)
    server = start(("anthropic", upstream))
    sent = {"anthropic-version": "2026-10-21", "anthropic-beta": "a,b", "cookie": "no", "x-api-key": "client"}
    wire.call(server.url, "/v1/messages?beta=true", wire.ask(), headers=sent)
    heard = upstream.requests[0].headers
    assert (heard["anthropic-version"], heard["anthropic-beta"]) == ("2026-10-21", "a,b")
    assert "cookie" not in heard
    assert heard["x-api-key"] == "sk-upstream"
    wire.call(server.url, PATHS["openai"], wire.ask())
    assert upstream.requests[1].headers["anthropic-version"] == "2023-06-01"


def test_a_callers_request_id_is_kept_when_it_is_usable(start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream))
    for sent, kept in (("trace-1", True), ("x" * 200, False), ("a b", False)):
        _, headers, _ = wire.call(server.url, PATHS["openai"], wire.ask(), headers={"x-request-id": sent})
        assert (headers["x-request-id"] == sent) is kept


def test_a_stream_can_be_asked_for_as_plain_text(start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream))
    _, headers, body = wire.call(server.url, PATHS["openai"], wire.ask(stream=True), headers={"accept": "text/plain"})
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert body.endswith(wire.DONE)
    by_default = {"accept": "application/json, text/plain, */*"}
    _, headers, _ = wire.call(server.url, PATHS["openai"], wire.ask(stream=True), headers=by_default)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"])
def test_an_answer_that_names_no_model_is_of_the_one_asked_for(
    path: str, stream: bool, start: Start, upstream: FakeUpstream
) -> None:
    if stream:
        frames = b"".join(wye.convert_stream(wire.ANTHROPIC_STREAM, to="converse", from_="claude"))
        upstream.queue.append(FakeAnswer([frames], headers={"content-type": "application/vnd.amazon.eventstream"}))
    else:
        upstream.queue.append(json_body(wye.convert_response(wire.ANTHROPIC_BODY, to="converse", from_="claude").body))
    section = {"region": "eu-central-1", "endpoint_url": upstream.url, "api_key": "bedrock-api-key-1"}
    route = {"deployments": [{"provider": "bedrock", "model": "amazon.nova-lite-v1:0"}]}
    server = start(providers={"bedrock": section}, routes={"m": route})
    said = {"input": "Hi"} if path == "/v1/responses" else {"prompt": "Hi"} if path == "/v1/completions" else wire.ask()
    _, _, body = wire.call(server.url, path, {**said, "model": "m", "stream": stream})
    assert b'"model":"m"' in body
    assert b'"model":""' not in body
    assert b"there" in body
