"""What is wrong with an answer is named: good answers, each with one thing broken."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import wire
from tests.flow.streams import question
from wye.kernel.json import decode, encode
from wye.testing.fake_provider import FakeProvider
from wye.testing.shapes import faults_of
from wye.testing.sse_parser import SseParser
from wye.testing.validators import ResponseValidator

VALIDATOR = ResponseValidator()
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


def ask(provider: FakeProvider, path: str, body: dict[str, Any]) -> bytes:
    status, _, answer = wire.call(provider.url, path, body, headers={"anthropic-version": "2023-06-01"})
    assert status == 200, answer
    return answer


def chat(provider: FakeProvider, text: str = "2+2", **more: Any) -> Any:
    return decode(ask(provider, "/v1/chat/completions", {"model": "m", "messages": user(text), **more}))


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def streamed(provider: FakeProvider, caller: str, text: str, **more: Any) -> list[Any]:
    path, body = question(caller, stream=True)
    body = {**body, "stream": True, **({"input": text} if caller == "responses" else {"messages": user(text)}), **more}
    return list(SseParser().parse_stream(ask(provider, path, body)))


def test_good_answers_are_good(provider: FakeProvider) -> None:
    v = VALIDATOR
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}}]
    assert v.validate_completion(chat(provider))["usage"]["total_tokens"] == 6
    v.validate_completion(encode(chat(provider, "weather", tools=tools)))
    assert v.validate_usage(chat(provider)) == v.validate_usage(chat(provider)["usage"])
    think = {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "weather", "input_schema": TOOL}],
    }
    message = {"model": "m", "max_tokens": 2000, "messages": user("weather"), **think}
    v.validate_message(ask(provider, "/v1/messages", message))
    tools = [{"type": "function", "name": "weather", "parameters": TOOL}]
    reason = {"reasoning": {"effort": "low"}, "tools": tools}
    v.validate_response(ask(provider, "/v1/responses", {"model": "m", "input": "weather", **reason}))
    v.validate_titan(ask(provider, "/model/amazon.titan-text-lite-v1/invoke", {"inputText": "2+2"}))
    v.validate_converse(
        ask(provider, "/model/m/converse", {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]})
    )
    v.validate_embeddings(ask(provider, "/v1/embeddings", {"model": "m", "input": ["a", "b"]}))


def test_good_streams_are_good_and_give_their_text(provider: FakeProvider) -> None:
    chunks = streamed(provider, "chat", "Count from 1 to 3")
    assert VALIDATOR.validate_stream(chunks) == "1, 2, 3"
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}}]
    assert VALIDATOR.validate_stream(streamed(provider, "chat", "weather", tools=tools)) == ""
    assert VALIDATOR.validate_message_events(streamed(provider, "messages", "2+2")) == "4"
    own = [{"name": "get_weather", "input_schema": TOOL}]
    assert VALIDATOR.validate_message_events(streamed(provider, "messages", "weather", tools=own)) == ""
    assert VALIDATOR.validate_response_events(streamed(provider, "responses", "2+2")) == "4"


Break = Callable[[Any], Any]


def put(path: str, value: Any) -> Break:
    def put(body: Any) -> None:
        *way, last = (int(step) if step.lstrip("-").isdigit() else step for step in path.split("."))
        for step in way:
            body = body[step]
        body[last] = value

    return put


def drop(path: str) -> Break:
    def drop(body: Any) -> None:
        *way, last = (int(step) if step.lstrip("-").isdigit() else step for step in path.split("."))
        for step in way:
            body = body[step]
        del body[last]

    return drop


BROKEN: dict[str, tuple[str, Break, str]] = {
    "no id": ("chat", drop("id"), "id is missing"),
    "wrong object": ("chat", put("object", "completion"), "object must be one of chat.completion"),
    "no choice": ("chat", put("choices", []), "choices is empty"),
    "no content": ("chat", put("choices.0.message", {"role": "assistant"}), "neither content nor tool_calls"),
    "wrong role": (
        "chat",
        put("choices.0.message.role", "user"),
        r"choices\[0\].message.role must be one of assistant",
    ),
    "a number as text": ("chat", put("choices.0.message.content", 4), r"content must be a string, and is 4"),
    "wrong index": ("chat", put("choices.0.index", 3), "index must be 0"),
    "no reason": ("chat", put("choices.0.finish_reason", None), "finish_reason must be one of"),
    "calls that are none": ("chat", put("choices.0.finish_reason", "tool_calls"), "and there are none"),
    "wrong sum": ("chat", put("usage.total_tokens", 99), "total_tokens must be 5"),
    "below 0": ("chat", put("usage.prompt_tokens", -6), "below 0"),
    "usage as text": ("chat", put("usage.prompt_tokens", "5"), "usage.prompt_tokens must be an integer"),
    "calls and stop": ("calls", put("choices.0.finish_reason", "stop"), "is stop, and there are tool_calls"),
    "broken arguments": ("calls", put("choices.0.message.tool_calls.0.function.arguments", "{"), "must be JSON"),
    "arguments as object": ("calls", put("choices.0.message.tool_calls.0.function.arguments", {}), "must be a string"),
    "message type": ("message", put("type", "completion"), "type must be one of message"),
    "message stop": ("message", put("stop_reason", "stop"), "stop_reason must be one of"),
    "message usage": ("message", drop("usage"), "usage is missing"),
    "message calls": ("message", put("stop_reason", "tool_use"), "there is no such block"),
    "message block": ("message", put("content.0", {"type": "text"}), r"content\[0\].text is missing"),
    "response status": ("response", put("status", "done"), "status must be one of"),
    "response item": ("response", drop("output.0.content"), r"output\[0\].content is missing"),
    "response usage": ("response", put("usage", None), "usage is missing"),
    "response call": (
        "response",
        put("output.0", {"type": "function_call", "id": "f", "call_id": "c", "name": "n", "arguments": "["}),
        "must be JSON",
    ),
    "titan reason": ("titan", put("results.0.completionReason", "stop"), "completionReason must be one of"),
    "titan results": ("titan", put("results", []), "results is empty"),
    "converse sum": ("converse", put("usage.totalTokens", 1), "usage.totalTokens must be"),
    "converse stop": ("converse", put("stopReason", "stop"), "stopReason must be one of"),
    "embeddings order": ("embeddings", put("data.0.index", 7), "in the order of their index"),
    "embeddings text": ("embeddings", put("data.0.embedding", ["a"]), r"embedding\[0\] must be a number"),
    "mode": ("orchestration", put("orchestration.mode", "chorus"), "mode must be one of"),
    "mode's own": ("orchestration", drop("orchestration.agreement_score"), "agreement_score is missing"),
    "score": ("orchestration", put("orchestration.agreement_score", 7), "must be within 0 and 1"),
    "models": ("orchestration", put("orchestration.models_used", []), "models_used is empty"),
}


@pytest.fixture(scope="module")
def good(provider: FakeProvider) -> dict[str, tuple[Callable[[Any], Any], Any]]:
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}}]
    v = VALIDATOR
    hello = [{"role": "user", "content": [{"text": "Hi"}]}]
    debate = {"mode": "debate", "models_used": ["a", "b"], "total_inference_time_ms": 5.5, "agreement_score": 0.5}
    return {
        "chat": (v.validate_completion, chat(provider)),
        "calls": (v.validate_completion, chat(provider, "weather", tools=tools)),
        "message": (
            v.validate_message,
            decode(ask(provider, "/v1/messages", {"model": "m", "max_tokens": 9, "messages": user("2+2")})),
        ),
        "response": (v.validate_response, decode(ask(provider, "/v1/responses", {"model": "m", "input": "2+2"}))),
        "titan": (
            v.validate_titan,
            decode(ask(provider, "/model/amazon.titan-text-lite-v1/invoke", {"inputText": "Hi"})),
        ),
        "converse": (v.validate_converse, decode(ask(provider, "/model/m/converse", {"messages": hello}))),
        "embeddings": (
            v.validate_embeddings,
            decode(ask(provider, "/v1/embeddings", {"model": "m", "input": ["a", "b"]})),
        ),
        "orchestration": (v.validate_orchestration, {"orchestration": debate}),
    }


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_named(name: str, good: dict[str, tuple[Callable[[Any], Any], Any]]) -> None:
    kind, broken, words = BROKEN[name]
    validate, body = good[kind]
    validate(body)
    body = copy.deepcopy(body)
    broken(body)
    with pytest.raises(AssertionError, match=words):
        validate(body)


@pytest.mark.parametrize(("body", "words"), [("{", "not JSON"), ([], "must be an object"), (None, "must be an object")])
def test_what_is_no_body_at_all(body: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        VALIDATOR.validate_completion(body)


STREAMS: dict[str, tuple[str, Break, str]] = {
    "empty": ("chat", lambda events: events.clear(), "empty"),
    "two ids": ("chat", put("1.id", "other"), "one id"),
    "no role": ("chat", drop("0.choices.0.delta.role"), "the role"),
    "no reason": ("chat", put("-2.choices.0.finish_reason", None), "one finish_reason"),
    "no object": ("chat", drop("1.object"), "object is missing"),
    "no start": ("messages", drop("0"), "first event must be message_start"),
    "no end": ("messages", drop("-1"), "last event must be message_stop"),
    "no figures": ("messages", drop("-2.usage"), "usage is missing"),
    "no delta of the message": ("messages", drop("-2"), "message_delta is missing"),
    "not stopped": ("messages", drop("-3"), "never stopped"),
    "not open": ("messages", drop("1"), "not open"),
    "wrong block": ("messages", put("1.index", 4), "must be 0"),
    "not created": ("responses", drop("0"), "first event must be response.created"),
    "not completed": ("responses", drop("-2"), "last event is"),
    "wrong number": ("responses", put("3.sequence_number", 9), "must count"),
    "not done": ("responses", put("-3.type", "response.x"), "output_item.added and 0"),
    "other text": ("responses", put("4.delta", "5"), "not the text of the last"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_what_is_wrong_with_a_stream_is_named(name: str, provider: FakeProvider) -> None:
    caller, broken, words = STREAMS[name]
    validate = {
        "chat": VALIDATOR.validate_stream,
        "messages": VALIDATOR.validate_message_events,
        "responses": VALIDATOR.validate_response_events,
    }[caller]
    events = [event for event in streamed(provider, caller, "2+2") if event != {"type": "ping"}]
    validate(copy.deepcopy(events))
    broken(events)
    with pytest.raises(AssertionError, match=words):
        validate(events)


def test_a_stream_of_converse_as_boto3_gives_it() -> None:
    events: list[dict[str, Any]] = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}},
    ]
    assert VALIDATOR.validate_converse_events(events) == "Hi"
    for left_out, words in ((0, "messageStart"), (3, "messageStop is missing"), (4, "must be metadata")):
        with pytest.raises(AssertionError, match=words):
            VALIDATOR.validate_converse_events(events[:left_out] + events[left_out + 1 :])


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        (None, None, []),
        (1, None, ["it must be null, and is 1"]),
        (True, int, ["it must be an integer, and is a boolean"]),
        (1, float, []),
        ([1, "a"], [int], ['[1] must be an integer, and is "a"']),
        ({}, list, ["it must be an array, and is an object"]),
        ({"a": None}, {"a?": str, "b?": str}, []),
        ({"a": {"b": [{}]}}, {"a": {"b": [{"c": str}]}}, ["a.b[0].c is missing"]),
        ({"t": "b"}, ({"t": {"a"}}, {"t": {"b"}}), []),
        ({"t": "b", "x": {}}, ({"t": {"a"}}, {"t": {"b"}, "x": {"y": str}}), ["x.y is missing"]),
    ],
)
def test_shapes(value: Any, shape: Any, expected: list[str]) -> None:
    assert faults_of(value, shape) == expected
