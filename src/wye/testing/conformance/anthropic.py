"""Anthropic's Messages. https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

from typing import Any

from wye.kernel.json import JsonObject, as_object
from wye.testing.conformance.check import Check, Skipped, demand, frames, good, leave, refused
from wye.testing.conformance.openai import NOBODY, QUESTION, WEATHER, check_arguments, user
from wye.testing.conformance.target import Answer, Target
from wye.testing.sse_parser import SseParser
from wye.testing.validators import ResponseValidator

_VALID = ResponseValidator()
_TOOL = {"name": "get_weather", "description": "The weather", "input_schema": WEATHER}
_FORCED = {"type": "tool", "name": "get_weather"}
_ASK_WEATHER = "What is the weather in Paris?"


def _body(target: Target, text: str = QUESTION, **members: Any) -> JsonObject:
    return {"model": target.model, "max_tokens": 40, "messages": user(text), **members}


def _ask(target: Target, text: str = QUESTION, **members: Any) -> Answer:
    return target.send("POST", "/v1/messages", _body(target, text, **members))


def answer(target: Target) -> None:
    _VALID.validate_message(good(_ask(target), first=True).json())


def blocks(target: Target) -> None:
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    _VALID.validate_message(good(_ask(target, system=system, messages=messages)).json())


def limit(target: Target) -> None:
    said = _VALID.validate_message(good(_ask(target, max_tokens=3)).json())
    demand(said["stop_reason"] == "max_tokens", f"stop_reason must be max_tokens, and is {said['stop_reason']}")


def usage(target: Target) -> None:
    found = _VALID.validate_message(good(_ask(target)).json())["usage"]
    demand(found["input_tokens"] > 0 < found["output_tokens"], f"figures must be above 0: {found}")


def stream(target: Target) -> None:
    data = frames(_ask(target, stream=True))
    for frame in data.split(b"\n\n")[:-1]:
        event = next((line[7:] for line in frame.split(b"\n") if line.startswith(b"event: ")), None)
        demand(event is not None or frame.startswith(b":"), f"a frame does not name its event: {frame[:80]!r}")
    demand(bool(_VALID.validate_message_events(_parsed(data))), "the stream holds no text")


def _parsed(data: bytes) -> list[Any]:
    try:
        return list(SseParser().parse_stream(data))
    except ValueError as error:
        raise AssertionError(f"a frame is no JSON: {error}") from None


def tool(target: Target) -> None:
    said = good(_ask(target, _ASK_WEATHER, tools=[_TOOL], tool_choice=_FORCED, max_tokens=200)).json()
    calls = [block for block in _VALID.validate_message(said)["content"] if block["type"] == "tool_use"]
    demand(bool(calls), "a call was demanded, and none came")
    check_arguments(calls[0]["name"], calls[0]["input"])


def tool_stream(target: Target) -> None:
    data = frames(_ask(target, _ASK_WEATHER, tools=[_TOOL], tool_choice=_FORCED, max_tokens=200, stream=True))
    events = _parsed(data)
    _VALID.validate_message_events(events)
    begun = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    calls = [block for block in begun if block["type"] == "tool_use"]
    demand(bool(calls), "a call was demanded, and none came in the stream")
    pieces = [event["delta"].get("partial_json", "") for event in events if event["type"] == "content_block_delta"]
    check_arguments(calls[0]["name"], "".join(pieces))


def tool_result(target: Target) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Sunny, 21 degrees"}
    messages = [
        *user(_ASK_WEATHER),
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    _VALID.validate_message(good(_ask(target, messages=messages, tools=[_TOOL])).json())


def count(target: Target) -> None:
    body = {"model": target.model, "messages": user(QUESTION)}
    answer = target.send("POST", "/v1/messages/count_tokens", body)
    tokens = good(answer).json().get("input_tokens")
    demand(isinstance(tokens, int) and tokens > 0, f"input_tokens must be above 0, and is {tokens}")


def _check_error(said: Answer) -> None:
    body = as_object(said.json()) or {}
    error = as_object(body.get("error")) or {}
    right = body.get("type") == "error" and bool(error.get("type")) and bool(error.get("message"))
    demand(right, f"an error must be {{type: error, error: {{type, message}}}}: {said.body[:120]!r}")


def unknown_model(target: Target) -> None:
    _check_error(refused(_ask(target, model=NOBODY), 400, 404))


def no_max_tokens(target: Target) -> None:
    _check_error(refused(_ask(target, max_tokens=None, messages=[]), 400, 422))


def wrong_key(target: Target) -> None:
    if target.api_key is None:
        raise Skipped("no key was given")
    other = Target(target.url, "wrong-key-7f3a", model=target.model, timeout_s=target.timeout_s)
    _check_error(refused(_ask(other), 401, 403))


def cancel(target: Target) -> None:
    leave(target, "/v1/messages", _body(target, stream=True), lambda: _ask(target, max_tokens=3))


MESSAGES = tuple(
    Check("Anthropic messages", topic, name, run)
    for topic, name, run in (
        ("answer", "a whole answer has the right form", answer),
        ("answer", "system and content as blocks", blocks),
        ("answer", "max_tokens ends it", limit),
        ("usage", "figures are there", usage),
        ("usage", "count_tokens counts", count),
        ("stream", "events are framed, named, and in order", stream),
        ("tools", "a call that is demanded comes", tool),
        ("tools", "a call comes in pieces that join", tool_stream),
        ("tools", "the result of a call is taken", tool_result),
        ("errors", "an unknown model", unknown_model),
        ("errors", "no messages", no_max_tokens),
        ("errors", "a wrong key", wrong_key),
        ("cancellation", "who leaves a stream is no harm", cancel),
    )
)
