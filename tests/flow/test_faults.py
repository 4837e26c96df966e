"""What an upstream does wrong with whole answers, keys and addresses; streams are in test_faults_everywhere."""

from __future__ import annotations

import json

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body
from wye.testing.fake_provider import FakeProvider

CALLERS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("caller", CALLERS)
def test_what_is_wrong_with_one_deployment_may_be_right_with_another(
    caller: str, status: int, start: Start, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    """A wrong key or a model that is gone: never asked again, others are; with nobody else, its reason is told."""
    refusal = {"error": {"message": "the reason", "type": "invalid_request_error", "param": "x", "code": "why"}}
    upstream.queue += [json_body(refusal, status)] * 2
    got, headers, _ = wire.call(start(("openai", upstream), ("openai", second)).url, CALLERS[caller], wire.ask())
    assert (got, headers["x-wye-deployment"]) == (200, "openai1/up-openai")
    got, _, body = wire.call(start(("openai", upstream)).url, CALLERS[caller], wire.ask())
    assert got == status
    assert "the reason" in json.loads(body)["error"]["message"]
    assert len(upstream.requests) == 2


def test_who_is_told_to_come_back_later_than_a_caller_waits_tells_it(start: Start, upstream: FakeProvider) -> None:
    upstream.fault = "429=17"
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
        FakeAnswer([b'{"id": "\xff"}'], 200, {"content-type": "application/json"}),
    ],
    ids=["error in a 200", "HTML in a 200", "no object", "cut body", "no UTF-8"],
)
def test_a_200_that_is_no_answer_is_the_failure_that_it_is(
    kind: str, answer: FakeAnswer, start: Start, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.queue.append(answer)
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
