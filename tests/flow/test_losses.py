"""How a caller learns what could not be carried: the header, the answer's own list, a stream's last comment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeUpstream, event_stream, json_body

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
IN_BODY = {"x-wye-loss": "body"}


def second_choice(text: str) -> bytes:
    """Anthropic's streams have no place for it: a loss that nobody can know before."""
    return wire.openai_chunk(None, choices=[{"index": 1, "delta": {"content": text}, "finish_reason": None}])


LATER_S = 0.4
"""By then the header of an answer is sent, which waits only for the first content."""

LOSSY_STREAM = [wire.OPENAI_ROLE, *wire.OPENAI_TEXT, LATER_S, second_choice("Ivy"), wire.OPENAI_FINISH, wire.DONE]


def test_a_whole_answer_lists_its_losses_when_asked_to(start: Start, upstream: FakeUpstream) -> None:
    upstream.script = lambda _: json_body(wire.ANTHROPIC_BODY)
    server = start(("anthropic", upstream))
    asked = {**wire.ask(), "seed": 7}
    _, headers, plain = wire.call(server.url, CHAT, asked)
    assert "wye" not in json.loads(plain)
    _, headers, body = wire.call(server.url, CHAT, asked, headers={"x-wye-loss": "Body"})
    told: list[dict[str, Any]] = json.loads(body)["wye"]["losses"]
    assert told[0] == {
        "field": "seed",
        "reason": "anthropic_messages has no such setting",
        "severity": "warning",
    }
    assert [loss["field"] for loss in told] == headers["x-wye-loss"].split(", ")
    assert {loss["severity"] for loss in told} <= {"warning", "info"}
    unlike = ("wye", "created")
    assert {k: v for k, v in json.loads(body).items() if k not in unlike} == {
        k: v for k, v in json.loads(plain).items() if k not in unlike
    }


@pytest.mark.parametrize(("kind", "path"), [("openai", CHAT), ("anthropic", MESSAGES)])
def test_within_a_dialect_the_list_is_empty(kind: str, path: str, start: Start, upstream: FakeUpstream) -> None:
    answer = wire.OPENAI_BODY if kind == "openai" else wire.ANTHROPIC_BODY
    upstream.queue.append(json_body(answer))
    server = start((kind, upstream))
    _, headers, body = wire.call(server.url, path, wire.ask(), headers=IN_BODY)
    assert json.loads(body) == {**answer, "wye": {"losses": []}}
    assert "x-wye-loss" not in headers
    assert "x-wye-loss" not in upstream.requests[0].headers


def test_an_estimated_count_says_so_itself(start: Start, upstream: FakeUpstream) -> None:
    server = start(("vllm", upstream))
    _, _, body = wire.call(server.url, f"{MESSAGES}/count_tokens", wire.ask(), headers=IN_BODY)
    assert [loss["field"] for loss in json.loads(body)["wye"]["losses"]] == ["input_tokens"]


def test_an_error_has_no_list(start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream))
    status, _, body = wire.call(server.url, CHAT, b"{", headers=IN_BODY)
    assert status == 400
    assert "wye" not in json.loads(body)


@pytest.mark.parametrize("asks", [{}, IN_BODY], ids=["header", "body"])
def test_what_a_stream_loses_on_its_way_is_its_last_comment(
    asks: dict[str, str], start: Start, upstream: FakeUpstream
) -> None:
    upstream.queue.append(event_stream(LOSSY_STREAM))
    server = start(("openai", upstream))
    _, headers, body = wire.call(server.url, MESSAGES, {**wire.ask(stream=True), "top_k": 3}, headers=asks)
    assert headers["x-wye-loss"] == "top_k"
    frames = body.split(b"\n\n")
    assert frames[-1] == b""
    assert frames[-2] == b": wye-loss choices[1]"
    assert frames[-3].startswith(b"event: message_stop\n")
    assert body.count(b"wye-loss") == 1


def test_bookkeeping_that_a_stream_loses_is_told_when_asked_for(start: Start, upstream: FakeUpstream) -> None:
    content = [wire.ANTHROPIC_START, wire.ANTHROPIC_BLOCK, *wire.ANTHROPIC_TEXT]
    upstream.script = lambda _: event_stream([*content, LATER_S, *wire.ANTHROPIC_END])
    server = start(("anthropic", upstream))
    asked = {**wire.ask(stream=True), "stream_options": {"include_usage": True}}
    assert wire.call(server.url, CHAT, asked)[2].endswith(wire.DONE)
    body = wire.call(server.url, CHAT, asked, headers=IN_BODY)[2]
    assert body.endswith(wire.DONE + b": wye-loss usage.service_tier\n\n")


def test_aws_frames_have_no_comments(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(event_stream(LOSSY_STREAM))
    server = start(("openai", upstream))
    asked = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    status, headers, body = wire.call(server.url, "/model/m/converse-stream", asked, headers=IN_BODY)
    assert status == 200
    assert headers["content-type"] == "application/vnd.amazon.eventstream"
    assert b"wye-loss" not in body


def test_a_name_cannot_break_out_of_the_header(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(json_body(wire.ANTHROPIC_BODY))
    server = start(("anthropic", upstream))
    asked = {**wire.ask(), "a\r\nx-evil: 1\r\n": 1}
    status, headers, _ = wire.call(server.url, CHAT, asked)
    assert status == 200
    assert "x-evil" not in headers
    assert "a  x-evil: 1" in headers["x-wye-loss"]
