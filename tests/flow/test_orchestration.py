"""Panels as whole requests: how they are asked for, what they tell on the way, and what becomes of failures."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests import wire
from tests.flow.panels import INPUT, OUTPUT, RULES, serve
from tests.flow.streams import Held
from wye.gateway import orchestrated
from wye.kernel.json import encode
from wye.testing.fake import json_body
from wye.testing.fake_provider import FakeProvider
from wye.testing.replies import Rule
from wye.testing.server import WyeServer

AWAY = "The server had an error while processing your request."
CHAT = "/v1/chat/completions"
PRICE = {"input_usd": 10, "output_usd": 20}
ROUTES: dict[str, Any] = {
    "panel": {"orchestration": {"mode": "debate", "models": ["quick", "deep"]}},
    "kept": {"orchestration": {"mode": "debate", "models": ["quick", "deep"]}, "cache": {"ttl_s": 60}},
    "dear": {"deployments": [{"provider": "gpt", "model": "up-quick", "api": "chat", "price": PRICE}]},
    "cheap": {"orchestration": {"mode": "pipeline", "models": ["dear", "gpt/up-quick"], "max_cost_usd": 0.0015}},
    "unpriced": {"orchestration": {"mode": "pipeline", "models": ["quick", "deep"], "max_cost_usd": 1}},
    "nested": {"orchestration": {"mode": "pipeline", "models": ["quick", "panel"]}},
}


class House:
    """A server with two providers behind it."""

    def __init__(self, server: WyeServer, gpt: FakeProvider, claude: FakeProvider) -> None:
        self.server, self.gpt, self.claude = server, gpt, claude
        self.url = server.url

    def reset(self) -> None:
        for provider in (self.gpt, self.claude):
            provider.rules[:] = RULES
            provider.forget()

    def rule(self, rule: Rule) -> None:
        """It goes before the others."""
        for provider in (self.gpt, self.claude):
            provider.rules.insert(0, rule)

    def ask(self, model: str = "panel", path: str = CHAT, **more: Any) -> tuple[int, dict[str, str], Any]:
        status, headers, body = wire.call(self.url, path, {**wire.ask(), "model": model, **more})
        return status, headers, body if more.get("stream") else json.loads(body)


@pytest.fixture(scope="module")
def houses() -> Iterator[House]:
    with ExitStack() as stack:
        yield House(*serve(stack, routes=ROUTES))


@pytest.fixture
def house(houses: House) -> House:
    houses.reset()
    return houses


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        ({"model": "panel"}, "debate"),
        ({"model": "ensemble:quick+deep"}, "ensemble"),
        ({"model": "quick+deep", "orchestration_mode": "pipeline"}, "pipeline"),
        ({"model": "critique:quick+deep", "orchestration_mode": "critique"}, "critique"),
        ({"model": "quick", "orchestration_mode": "single"}, "single"),
        ({"model": "quick", "task_type": "code"}, "single"),
    ],
    ids=["a route", "a name", "a mode beside models", "both", "single", "a task"],
)
def test_a_panel_is_asked_for(asked: dict[str, Any], mode: str, house: House) -> None:
    status, _, answer = house.ask(**asked)
    assert (status, answer["orchestration"]["mode"]) == (200, mode)
    assert all("orchestration_mode" not in r.json() and "task_type" not in r.json() for r in house.gpt.requests)


@pytest.mark.parametrize(
    ("asked", "status", "code", "reason"),
    [
        ({"model": "debate"}, 400, "too_few_models", "debate needs 2 models, and 0 are there"),
        ({"model": "critique:quick"}, 400, "too_few_models", "critique needs 2 models, and 1 is there (quick)"),
        ({"model": "D3"}, 404, "model_not_found", "Model 'phi-4' not found."),
        ({"model": "debate:quick+nobody"}, 404, "model_not_found", "Model 'nobody' not found."),
        ({"model": "nested"}, 400, "nested_orchestration", "'panel' stands for several models itself"),
        ({"model": "debate:quick+critique:quick"}, 400, "nested_orchestration", "'critique:quick' stands for"),
        ({"model": "quick", "orchestration_mode": "duel"}, 422, "unknown_orchestration_mode", "'duel' is unknown"),
        ({"model": "quick", "orchestration_mode": 3}, 400, "invalid_request", "orchestration_mode must be a string"),
        ({"task_type": []}, 400, "invalid_request", "task_type must be a string"),
        ({"n": 2}, 400, "unsupported_with_orchestration", "n must be 1 with debate"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_said_before_anybody_is_asked(
    asked: dict[str, Any], status: int, code: str, reason: str, stream: bool, house: House
) -> None:
    found, _, body = wire.call(house.url, CHAT, {**wire.ask(), "model": "panel", **asked, "stream": stream})
    error = wire_error(body)
    assert (found, error["code"]) == (status, code)
    assert reason in error["message"]
    assert not house.gpt.requests
    assert not house.claude.requests


def test_progress_comes_while_the_members_think(house: House) -> None:
    house.rule(Rule(fault="silent"))
    with closing(HTTPConnection("127.0.0.1", house.server.port, timeout=60)) as connection:
        body = {**wire.ask(stream=True), "model": "panel"}
        connection.request("POST", CHAT, json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        assert b'"role":"assistant"' in response.readline()
        while b'"state":"started"' not in (line := response.readline()):
            assert line
        response.close()


def test_members_run_side_by_side(house: House) -> None:
    """Each answers when the other has been asked."""
    for provider, body in ((house.gpt, wire.OPENAI_BODY), (house.claude, wire.ANTHROPIC_BODY)):
        answer = json_body(body)
        answer.pieces = Held([], lambda: bool(house.gpt.requests and house.claude.requests), [encode(body)])
        provider.queue.append(answer)
    status, _, told = house.ask()
    assert (status, told["orchestration"]["models_used"]) == (200, ["quick", "deep"])
    assert "failed" not in told["orchestration"]


def test_the_last_models_words_come_as_they_come(house: House) -> None:
    house.rule(Rule(model="up-quick", say="one two three", tokens_per_s=5))
    connection = HTTPConnection("127.0.0.1", house.server.port, timeout=60)
    body = {**wire.ask(stream=True), "model": "pipeline:deep+quick"}
    connection.request("POST", CHAT, json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    seen: dict[bytes, float] = {}
    while line := response.readline():
        for word in (b"one", b" three"):
            if b'"content":"%b"' % word in line:
                seen[word] = time.monotonic()
    connection.close()
    assert seen[b" three"] - seen[b"one"] > 0.1, "at once if they were held back"


def test_a_member_that_fails_is_named(house: House) -> None:
    house.rule(Rule(model="up-deep", fault="500"))
    status, _, answer = house.ask()
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "Paris it is"
    [failed] = answer["orchestration"]["failed"]
    assert failed == {"model": "deep", "step": "answer", "reason": AWAY}
    [failing] = [call for call in answer["inference_metadata"]["calls"] if "error" in call]
    assert failing["model"] == "deep"


def test_a_later_stage_that_fails_leaves_a_partial_answer(house: House) -> None:
    house.rule(Rule(model="up-deep", fault="500"))
    _, _, answer = house.ask("pipeline:quick+deep")
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["orchestration"]["partial"] is True
    assert answer["orchestration"]["reason"] == AWAY
    _, _, message = house.ask("pipeline:quick+deep", "/v1/messages")
    assert message["stop_reason"] == "max_tokens"
    assert message["orchestration"]["completed_steps"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_stage_that_fails_is_an_error(stream: bool, house: House) -> None:
    house.rule(Rule(model="up-quick", fault="500"))
    status, _, body = wire.call(house.url, CHAT, {**wire.ask(stream=stream), "model": "pipeline:quick+deep"})
    assert status == 500
    assert wire_error(body)["message"] == AWAY


def test_a_failure_after_the_stream_has_begun_ends_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrated, "_HOLD_S", 0.05)
    house.rule(Rule(model="up-quick", latency_s=0.5, fault="cut"))
    status, _, body = wire.call(house.url, CHAT, {**wire.ask(stream=True), "model": "pipeline:quick+deep"})
    assert status == 200
    assert wire.data_frames(body)[-1]["error"]["code"] == "upstream_stream_cut"
    assert wire.DONE not in body


def test_an_answer_that_breaks_off_never_looks_complete(house: House) -> None:
    house.rule(Rule(model="up-quick", say="one two", fault="cut=1"))
    status, _, body = wire.call(house.url, CHAT, {**wire.ask(stream=True), "model": "pipeline:deep+quick"})
    assert status == 200
    assert b'"content":"one"' in body
    assert "error" in wire.data_frames(body)[-1]
    assert b'"finish_reason":"stop"' not in body


def test_a_caller_that_leaves_ends_every_call(house: House) -> None:
    house.rule(Rule(fault="silent"))
    left = house.gpt.left + house.claude.left
    connection = HTTPConnection("127.0.0.1", house.server.port, timeout=60)
    body = {**wire.ask(stream=True), "model": "panel"}
    connection.request("POST", CHAT, json.dumps(body), {"content-type": "application/json"})
    connection.getresponse().readline()
    connection.close()
    deadline = time.monotonic() + 60
    while house.gpt.left + house.claude.left < left + 2:
        assert time.monotonic() < deadline, "the members go on without a caller"
        time.sleep(0.01)


def test_tools_are_refused_with_the_reason(house: House) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    status, _, body = house.ask(tools=[tool])
    assert (status, body["error"]["param"]) == (400, "tools")
    assert "tools cannot be used with debate" in body["error"]["message"]


def test_kept_answers_of_a_panel_are_told_again_in_any_dialect(house: House) -> None:
    _, first, answer = house.ask("kept")
    _, second, again = house.ask("kept", "/v1/messages")
    assert (first["x-wye-cache"], second["x-wye-cache"]) == ("miss", "hit")
    assert again["content"][0]["text"] == answer["choices"][0]["message"]["content"]
    assert again["orchestration"] == answer["orchestration"]
    _, third, _ = house.ask("kept", stream=True)
    assert third["x-wye-cache"] == "hit"
    assert len(house.gpt.requests) + len(house.claude.requests) == 3


def test_a_conversation_goes_on_from_a_panels_answer(house: House) -> None:
    _, _, first = wire_json(house, "/v1/responses", {"model": "panel", "input": "Capital of France?"})
    status, _, second = wire_json(
        house, "/v1/responses", {"model": "panel", "input": "Sure?", "previous_response_id": first["id"]}
    )
    assert status == 200
    assert second["orchestration"]["models_used"] == ["quick", "deep"]
    assert "Capital of France?" in house.claude.requests[-1].body.decode()


def test_every_call_is_accounted_for(house: House) -> None:
    before = figures(house)
    house.ask("panel")
    after = figures(house)
    assert after["gpt/up-quick"] - before["gpt/up-quick"] == 2 * (INPUT + OUTPUT)
    assert after["claude/up-deep"] - before["claude/up-deep"] == INPUT + OUTPUT


def test_a_panel_is_listed_and_counts_tokens_and_makes_no_vectors(house: House) -> None:
    _, _, listed = wire_json(house, "/v1/models", None)
    [panel] = [model for model in listed["data"] if model["id"] == "panel"]
    assert panel["owned_by"] == "wye"
    status, headers, counted = wire_json(house, "/v1/messages/count_tokens", {**wire.ask(), "model": "panel"})
    assert (status, headers["x-wye-loss"]) == (200, "input_tokens")
    assert counted["input_tokens"] > 5
    status, _, refused = wire_json(house, "/v1/embeddings", {"model": "panel", "input": "x"})
    assert (status, refused["error"]["message"]) == (400, "'panel' stands for several models: it makes no vectors")


def test_a_long_silence_is_broken(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrated, "_ALIVE_S", 0.2)
    house.rule(Rule(fault="silent"))
    with closing(HTTPConnection("127.0.0.1", house.server.port, timeout=60)) as connection:
        body = {**wire.ask(stream=True), "model": "single:deep"}
        connection.request("POST", "/v1/messages", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        while b'"state":"waiting"' not in (line := response.readline()):
            assert line
        response.close()


def figures(house: House) -> dict[str, int]:
    _, _, stats = wire_json(house, "/stats", None)
    found: dict[str, int] = {}
    for route in stats["routes"].values():
        for each in route["deployments"]:
            spent = each["input_tokens"] + each["output_tokens"]
            found[each["deployment"]] = found.get(each["deployment"], 0) + spent
    return found


def wire_json(house: House, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
    status, headers, said = wire.call(house.url, path, body)
    return status, headers, json.loads(said)


def wire_error(body: bytes) -> dict[str, Any]:
    return json.loads(body)["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "panel", "prompt": "Capital?"}),
        ("/v1/chat/completions?target_format=bedrock_claude", {**wire.ask(), "model": "panel"}),
        ("/model/panel/invoke", {"anthropic_version": "bedrock-2023-05-31", **wire.ask()}),
        ("/model/panel/invoke", {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "schemaVersion": "1"}),
        ("/model/panel/invoke", {"inputText": "Capital?"}),
        ("/model/panel/converse", {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
    ],
    ids=["completions", "another format", "claude", "nova", "titan", "converse"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_format_has_an_answer_of_a_panel(path: str, body: dict[str, Any], stream: bool, house: House) -> None:
    if path.startswith("/model/"):
        path += ("-with-response-stream" if path.endswith("invoke") else "-stream") if stream else ""
        body = {name: value for name, value in body.items() if name != "model"}
    elif stream:
        body = {**body, "stream": True}
    status, _, said = wire.call(house.url, path, body)
    if path.endswith("response-stream"):
        said = b"".join(base64.b64decode(piece) for piece in re.findall(rb'"bytes":"([^"]+)"', said))
    assert status == 200
    assert b"Paris" in said
    assert b'"models_used":["quick","deep"]' in said


def test_money_ends_a_pipeline_before_it_is_spent(house: House) -> None:
    _, _, answer = house.ask("cheap")
    assert answer["choices"][0]["message"]["content"] == "Paris it is"
    assert "$0.0015 (max_cost_usd): $0.00018 is spent" in answer["orchestration"]["reason"]
    [first, *_] = answer["inference_metadata"]["calls"]
    assert first["cost_usd"] == 0.00018


def test_money_is_not_bounded_for_models_without_a_price(house: House) -> None:
    status, _, answer = house.ask("unpriced")
    assert (status, answer["error"]["code"]) == (400, "unknown_price")
    assert not house.gpt.requests
