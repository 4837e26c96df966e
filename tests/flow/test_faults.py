"""What an upstream does wrong, and what the caller sees of it. A truncated answer never looks complete."""

from __future__ import annotations

import http.client
import json
import time

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeAnswer, FakeUpstream, event_stream, json_body

CALLERS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
BEGUN = {
    "openai": [wire.OPENAI_ROLE, *wire.OPENAI_TEXT[:2]],
    "anthropic": [wire.ANTHROPIC_START, wire.ANTHROPIC_BLOCK, *wire.ANTHROPIC_TEXT[:2]],
}
PRELUDE = {"openai": [wire.OPENAI_ROLE], "anthropic": [wire.ANTHROPIC_START, wire.ANTHROPIC_BLOCK]}
WHOLE = {"openai": wire.OPENAI_STREAM, "anthropic": wire.ANTHROPIC_STREAM}
PAIRS = [(caller, kind) for caller in CALLERS for kind in CALLERS]
ERROR_EVENTS = {
    "openai": b'data: {"error":{"message":"The server is on fire","type":"server_error","code":null}}\n\n',
    "anthropic": wire.anthropic_event("error", error={"type": "overloaded_error", "message": "The server is on fire"}),
}

BEFORE_CONTENT = {
    "500": lambda kind: json_body({"error": {"message": "boom", "type": "server_error"}}, 500),
    "429": lambda kind: json_body({"error": {"message": "slow down", "type": "rate_limit"}}, 429),
    "reset before headers": lambda kind: FakeAnswer([], head=False, end="reset"),
    "never answers": lambda kind: FakeAnswer([], head=False, end="hang"),
    "no first token": lambda kind: event_stream([*PRELUDE[kind], 30.0]),
    "cut in the prelude": lambda kind: event_stream(PRELUDE[kind], end="cut"),
    "ends in the prelude": lambda kind: event_stream(PRELUDE[kind]),
    "error event first": lambda kind: event_stream([ERROR_EVENTS[kind]]),
    "broken JSON first": lambda kind: event_stream([b'data: {"choices": [{\n\n']),
    "empty": lambda kind: event_stream([]),
    "HTML": lambda kind: FakeAnswer([b"<html>Bad gateway</html>"], 502, {"content-type": "text/html"}),
}
AFTER_CONTENT = {
    "cut": lambda kind: event_stream(BEGUN[kind], end="cut"),
    "reset": lambda kind: event_stream([*BEGUN[kind], 0.2], end="reset"),
    "ends early": lambda kind: event_stream(BEGUN[kind]),
    "goes silent": lambda kind: event_stream([*BEGUN[kind], 30.0]),
    "error event": lambda kind: event_stream([*BEGUN[kind], ERROR_EVENTS[kind]]),
    "broken JSON": lambda kind: event_stream([*BEGUN[kind], b'data: {"choices": [{"del\n\n', *WHOLE[kind][-3:]]),
    "half a frame": lambda kind: event_stream([*BEGUN[kind], WHOLE[kind][-2][:20]], end="cut"),
}


@pytest.mark.parametrize("fault", BEFORE_CONTENT)
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_before_content_the_next_deployment_takes_over_unseen(
    fault: str, caller: str, kind: str, start: Start, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.queue.append(BEFORE_CONTENT[fault](kind))
    second.queue.append(event_stream(WHOLE["openai"]))
    server = start((kind, upstream), ("openai", second))
    status, headers, body = wire.call(server.url, CALLERS[caller], wire.ask(stream=True))
    assert status == 200, body
    assert headers["x-wye-attempts"] == "2"
    assert headers["x-wye-deployment"] == "openai1/up-openai"
    assert b"error" not in body
    assert body.rstrip().endswith(b"[DONE]" if caller == "openai" else b'{"type":"message_stop"}')


@pytest.mark.parametrize("fault", BEFORE_CONTENT)
@pytest.mark.parametrize("caller", CALLERS)
def test_without_a_fallback_it_is_a_status_in_the_callers_dialect(
    fault: str, caller: str, start: Start, upstream: FakeUpstream
) -> None:
    upstream.queue.append(BEFORE_CONTENT[fault]("openai"))
    server = start(("openai", upstream))
    status, headers, body = wire.call(server.url, CALLERS[caller], wire.ask(stream=True))
    assert status in (429, 500, 502, 503, 504), body
    error = json.loads(body)
    assert error["error"]["message"]
    assert headers["x-request-id"] == error["request_id"]
    assert (error.get("type") == "error") is (caller == "anthropic")
    if fault in ("never answers", "no first token"):
        assert status == 504
        assert ("headers_s" if fault == "never answers" else "first_token_s") in error["error"]["message"]


@pytest.mark.parametrize("fault", AFTER_CONTENT)
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_after_content_the_stream_ends_in_an_error_and_never_looks_complete(
    fault: str, caller: str, kind: str, start: Start, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.queue.append(AFTER_CONTENT[fault](kind))
    server = start((kind, upstream), ("openai", second))
    status, _, body = wire.call(server.url, CALLERS[caller], wire.ask(stream=True))
    assert status == 200
    frames = wire.data_frames(body)
    assert "Hel" in body.decode()
    assert "lo" in body.decode()
    errors = [f for f in frames if f != "[DONE]" and f.get("error")]
    assert len(errors) == 1, body.decode()
    assert errors[0]["error"]["message"]
    assert b"message_stop" not in body
    assert b'"finish_reason":"stop"' not in body
    assert b"end_turn" not in body
    assert second.requests == []


@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_a_complete_stream_without_its_terminator_is_completed(
    caller: str, kind: str, start: Start, upstream: FakeUpstream
) -> None:
    upstream.queue.append(event_stream(WHOLE[kind][:-1]))
    server = start((kind, upstream))
    _, _, body = wire.call(server.url, CALLERS[caller], wire.ask(stream=True))
    assert b"error" not in body
    assert body.rstrip().endswith(b"[DONE]" if caller == "openai" else b'{"type":"message_stop"}')


@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_a_byte_at_a_time_is_as_good_as_a_whole(caller: str, kind: str, start: Start, upstream: FakeUpstream) -> None:
    whole = b"".join(WHOLE[kind])
    upstream.queue.append(event_stream([bytes([b]) for b in whole]))
    upstream.queue.append(event_stream([whole]))
    server = start((kind, upstream), clocks={"gap_s": 20, "first_token_s": 20})
    dripped, at_once = (wire.call(server.url, CALLERS[caller], wire.ask(stream=True))[2] for _ in range(2))
    if caller == kind:
        assert dripped == at_once
    else:
        assert len(wire.data_frames(dripped)) == len(wire.data_frames(at_once))


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("caller", CALLERS)
def test_an_upstreams_refusal_passes_with_its_reason_and_is_not_tried_elsewhere(
    caller: str, status: int, start: Start, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    refusal = {"error": {"message": "the reason", "type": "invalid_request_error", "param": "x", "code": "why"}}
    upstream.queue.append(json_body(refusal, status))
    server = start(("openai", upstream), ("openai", second))
    got, _, body = wire.call(server.url, CALLERS[caller], wire.ask())
    assert got == status
    assert "the reason" in json.loads(body)["error"]["message"]
    assert second.requests == []


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("caller", CALLERS)
def test_what_is_wrong_with_one_deployment_may_be_right_with_another(
    caller: str, status: int, start: Start, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    """A wrong key or a model that is gone: never asked again, others are; with nobody else, its reason is told."""
    refusal = {"error": {"message": "the reason", "type": "invalid_request_error", "param": "x", "code": "why"}}
    upstream.queue += [json_body(refusal, status)] * 2
    second.queue.append(json_body(wire.OPENAI_BODY))
    got, headers, _ = wire.call(start(("openai", upstream), ("openai", second)).url, CALLERS[caller], wire.ask())
    assert (got, headers["x-wye-deployment"]) == (200, "openai1/up-openai")
    got, _, body = wire.call(start(("openai", upstream)).url, CALLERS[caller], wire.ask())
    assert got == status
    assert "the reason" in json.loads(body)["error"]["message"]
    assert len(upstream.requests) == 2


def test_who_is_told_to_come_back_later_than_a_caller_waits_tells_it(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(json_body({"error": {"message": "slow down"}}, 429, **{"retry-after": "17"}))
    status, headers, _ = wire.call(start(("openai", upstream)).url, CALLERS["openai"], wire.ask())
    assert (status, headers["retry-after"]) == (429, "17")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("kind", CALLERS)
@pytest.mark.parametrize(
    "answer",
    [
        json_body({"error": {"message": "quota", "type": "insufficient_quota"}}),
        FakeAnswer([b"<html>"], 200, {"content-type": "text/html"}),
        FakeAnswer([b"[]"], 200, {"content-type": "application/json"}),
        FakeAnswer([b'{"id": "x", "choi'], 200, {"content-type": "application/json"}, end="cut"),
    ],
    ids=["error in a 200", "HTML in a 200", "no object", "cut body"],
)
def test_a_200_that_is_no_answer_is_the_failure_that_it_is(
    kind: str, answer: FakeAnswer, start: Start, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.queue.append(answer)
    second.queue.append(json_body(wire.OPENAI_BODY))
    server = start((kind, upstream), ("openai", second))
    status, headers, body = wire.call(server.url, CALLERS["openai"], wire.ask())
    assert status == 200, body
    assert headers["x-wye-deployment"] == "openai1/up-openai"


def test_nobody_listens(start: Start, upstream: FakeUpstream) -> None:
    server = start(("openai", upstream))
    upstream.stop()
    status, _, body = wire.call(server.url, CALLERS["openai"], wire.ask())
    assert status == 502
    assert str(upstream.port) in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("begun", [False, True], ids=["before headers", "mid-stream"])
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_when_the_caller_leaves_the_upstream_call_ends_within_a_second(
    begun: bool, caller: str, kind: str, start: Start, upstream: FakeUpstream
) -> None:
    upstream.queue.append(event_stream([*BEGUN[kind], 30.0]) if begun else FakeAnswer([], head=False, end="hang"))
    server = start((kind, upstream), clocks={"headers_s": 30, "gap_s": 30})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", CALLERS[caller], json.dumps(wire.ask(stream=True)), {"content-type": "application/json"})
    if begun:
        response = connection.getresponse()
        assert response.read(10)
        response.close()
    else:
        deadline = time.monotonic() + 5
        while not upstream.requests and time.monotonic() < deadline:
            time.sleep(0.01)
    left_at = time.monotonic()
    connection.close()
    while not upstream.left and time.monotonic() < left_at + 5:
        time.sleep(0.01)
    assert upstream.left == 1
    assert time.monotonic() - left_at < 1
    deadline = time.monotonic() + 5
    while server.app.pipeline.settlement.running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.app.pipeline.settlement.running == 0
