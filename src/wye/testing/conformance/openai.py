"""OpenAI's Chat Completions, Responses, Completions and Embeddings. https://platform.openai.com/docs/api-reference"""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode
from wye.testing.conformance.check import Check, Skipped, demand, frames, good, leave, refused
from wye.testing.conformance.target import Answer, Target
from wye.testing.sse_parser import SseParser
from wye.testing.validators import ResponseValidator

_VALID = ResponseValidator()
_PARSER = SseParser()
WEATHER: JsonObject = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "The city"}},
    "required": ["city"],
    "additionalProperties": False,
}
PERSON: JsonObject = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
NOBODY = "no-such-model-7f3a"
QUESTION = "Count from 1 to 20."
_TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather", "parameters": WEATHER}}
_FORCED = {"type": "function", "function": {"name": "get_weather"}}
_ASK_WEATHER = "What is the weather in Paris?"


def user(text: str) -> list[JsonObject]:
    return [{"role": "user", "content": text}]


def body(target: Target, text: str = QUESTION, **members: Any) -> JsonObject:
    return {"model": target.model, "messages": user(text), "max_tokens": 40, "temperature": 0, **members}


def answer(target: Target) -> None:
    _VALID.validate_completion(good(target.chat(body(target)), first=True).json())


def conversation(target: Target) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        *user("Hi"),
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "text", "text": "How are you?"}]},
    ]
    _VALID.validate_completion(good(target.chat(body(target, messages=messages))).json())


def limit(target: Target) -> None:
    said = _VALID.validate_completion(good(target.chat(body(target, max_tokens=3))).json())
    reason = said["choices"][0]["finish_reason"]
    demand(reason == "length", f"finish_reason must be length after max_tokens, and is {reason}")
    spent = (as_object(said.get("usage")) or {}).get("completion_tokens", 0)
    demand(spent <= 4, f"max_tokens was 3, and usage tells {spent}")


def usage(target: Target) -> None:
    said = good(target.chat(body(target))).json()
    demand(as_object(said.get("usage")) is not None, "usage is missing")
    found = _VALID.validate_usage(said["usage"])
    demand(found["prompt_tokens"] > 0 < found["completion_tokens"], f"figures must be above 0: {found}")


def schema(target: Target) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    said = good(target.chat(body(target, "Invent a person.", response_format=form, max_tokens=200))).json()
    check_person(_VALID.validate_completion(said)["choices"][0]["message"].get("content") or "")


def check_person(text: str) -> None:
    try:
        person = as_object(decode(text))
    except JsonError:
        raise AssertionError(f"the answer must be JSON, and is {text[:80]!r}") from None
    demand(person is not None and person.keys() == {"name", "age"}, f"the answer is not of the schema: {text[:80]!r}")


def framing(target: Target) -> None:
    data = frames(target.chat(body(target, stream=True)))
    demand(data.endswith(b"data: [DONE]\n\n"), f"the stream must end with data: [DONE], and ends with {data[-60:]!r}")


def _events(target: Target, text: str = QUESTION, **members: Any) -> list[Any]:
    said = good(target.chat(body(target, text, stream=True, **members)))
    return [event for event in _parsed(said) if event != "[DONE]"]


def _parsed(said: Answer) -> list[Any]:
    try:
        return list(_PARSER.parse_stream(said.body))
    except ValueError as error:
        raise AssertionError(f"a frame is no JSON: {error}") from None


def chunks(target: Target) -> None:
    demand(bool(_VALID.validate_stream(_events(target))), "the stream holds no text")


def stream_usage(target: Target) -> None:
    events = _events(target, stream_options={"include_usage": True})
    told = [event for event in events if event.get("usage")]
    demand(len(told) == 1, f"usage was asked for, and {len(told)} chunks tell it")
    _VALID.validate_usage(told[0]["usage"])
    demand(told[0] is events[-1], "usage must be in the last chunk")


def stream_no_usage(target: Target) -> None:
    events = _events(target)
    _VALID.validate_stream(events)
    bare = [event for event in events if event.get("usage") or not event.get("choices")]
    demand(not bare, "usage was not asked for, and a chunk tells it")


def stream_as_whole(target: Target) -> None:
    text = _VALID.validate_stream(_events(target))
    said = good(target.chat(body(target))).json()["choices"][0]["message"].get("content")
    demand(text == said, f"the stream says {text[:60]!r}, the whole answer {str(said)[:60]!r}")


def tool(target: Target) -> None:
    said = good(target.chat(body(target, _ASK_WEATHER, tools=[_TOOL], tool_choice=_FORCED, max_tokens=200))).json()
    message = _VALID.validate_completion(said)["choices"][0]["message"]
    calls: list[JsonObject] = message.get("tool_calls") or []
    demand(bool(calls), f"a call was demanded, and none came: {str(message.get('content'))[:80]!r}")
    check_arguments(calls[0]["function"]["name"], calls[0]["function"]["arguments"])


def check_arguments(name: str, arguments: Any) -> None:
    demand(name == "get_weather", f"the tool must be get_weather, and is {name}")
    try:
        found = as_object(decode(arguments) if isinstance(arguments, str) else arguments)
    except JsonError:
        found = None
    demand(found is not None and "city" in found, f"the arguments are not of the tool's schema: {str(arguments)[:80]}")


def tool_stream(target: Target) -> None:
    events = _events(target, _ASK_WEATHER, tools=[_TOOL], tool_choice=_FORCED, max_tokens=200)
    _VALID.validate_stream(events)
    deltas = [call for e in events for c in e["choices"] for call in as_list(c["delta"].get("tool_calls")) or ()]
    demand(bool(deltas), "a call was demanded, and none came in the stream")
    names = [delta["function"].get("name") for delta in deltas if delta["function"].get("name")]
    check_arguments("".join(names), "".join(delta["function"].get("arguments") or "" for delta in deltas))


def tool_result(target: Target) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    messages = [
        *user(_ASK_WEATHER),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny, 21 degrees"},
    ]
    _VALID.validate_completion(good(target.chat(body(target, messages=messages, tools=[_TOOL]))).json())


def check_error(said: Answer) -> None:
    error = as_object((as_object(said.json()) or {}).get("error")) or {}
    demand(bool(error.get("message")), f"an error must be {{error: {{message, type, ...}}}}: {said.body[:120]!r}")
    demand("type" in error, "error.type is missing")


def unknown_model(target: Target) -> None:
    check_error(refused(target.chat(body(target, model=NOBODY)), 400, 404))


def broken_json(target: Target) -> None:
    check_error(refused(target.chat(b'{"model": '), 400, 422))


def no_messages(target: Target) -> None:
    check_error(refused(target.chat({"model": target.model}), 400, 422))


def refused_before_stream(target: Target) -> None:
    check_error(refused(target.chat({"model": target.model, "messages": "Hi", "stream": True}), 400, 422))


def wrong_key(target: Target) -> None:
    if target.api_key is None:
        raise Skipped("no key was given")
    other = Target(target.url, "wrong-key-7f3a", model=target.model, timeout_s=target.timeout_s)
    check_error(refused(other.chat(body(target)), 401, 403))


def cancel(target: Target) -> None:
    leave(target, "/v1/chat/completions", body(target, stream=True), lambda: target.chat(body(target, max_tokens=3)))


CHAT = tuple(
    Check("OpenAI chat", topic, name, run)
    for topic, name, run in (
        ("answer", "a whole answer has the right form", answer),
        ("answer", "a conversation with a system message and text parts", conversation),
        ("answer", "max_tokens ends it with finish_reason length", limit),
        ("answer", "json_schema is kept", schema),
        ("usage", "figures are there and add up", usage),
        ("usage", "a stream tells them when asked", stream_usage),
        ("usage", "a stream does not tell them unasked", stream_no_usage),
        ("stream", "events are framed, the last is [DONE]", framing),
        ("stream", "chunks have the right form and one id", chunks),
        ("stream", "says the same as a whole answer", stream_as_whole),
        ("tools", "a call that is demanded comes", tool),
        ("tools", "a call comes in pieces that join", tool_stream),
        ("tools", "the result of a call is taken", tool_result),
        ("errors", "an unknown model", unknown_model),
        ("errors", "a body that is no JSON", broken_json),
        ("errors", "no messages", no_messages),
        ("errors", "a stream is refused by its status", refused_before_stream),
        ("errors", "a wrong key", wrong_key),
        ("cancellation", "who leaves a stream is no harm", cancel),
    )
)

# Responses


def _respond(target: Target, text: Any = QUESTION, **members: Any) -> Answer:
    return target.send("POST", "/v1/responses", {"model": target.model, "input": text, **members})


def response(target: Target) -> None:
    said = _VALID.validate_response(good(_respond(target, max_output_tokens=60), first=True).json())
    demand(any(item["type"] == "message" for item in said["output"]), "output holds no message")


def response_input(target: Target) -> None:
    parts = [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]
    _VALID.validate_response(good(_respond(target, parts, instructions="Be brief.", max_output_tokens=60)).json())


def response_limit(target: Target) -> None:
    said = _VALID.validate_response(good(_respond(target, max_output_tokens=16, input="Count from 1 to 200.")).json())
    if said["status"] == "completed" and said["usage"]["output_tokens"] < 16:
        raise Skipped("the model ended by itself before the limit")
    demand(
        said["status"] == "incomplete", f"status must be incomplete after max_output_tokens, and is {said['status']}"
    )
    reason = (as_object(said.get("incomplete_details")) or {}).get("reason")
    demand(reason == "max_output_tokens", f"incomplete_details.reason must be max_output_tokens, and is {reason}")


def response_stream(target: Target) -> None:
    said = _respond(target, stream=True, max_output_tokens=60)
    frames(said)
    demand(bool(_VALID.validate_response_events(_parsed(said))), "the stream holds no text")


_RESPONSE_TOOL = {"type": "function", "name": "get_weather", "description": "The weather", "parameters": WEATHER}


def response_tool(target: Target) -> None:
    choice = {"type": "function", "name": "get_weather"}
    said = good(_respond(target, _ASK_WEATHER, tools=[_RESPONSE_TOOL], tool_choice=choice)).json()
    calls = [item for item in _VALID.validate_response(said)["output"] if item["type"] == "function_call"]
    demand(bool(calls), "a call was demanded, and none came")
    check_arguments(calls[0]["name"], calls[0]["arguments"])


def response_unknown(target: Target) -> None:
    check_error(refused(_respond(target, model=NOBODY), 400, 404))


RESPONSES = tuple(
    Check("OpenAI responses", topic, name, run)
    for topic, name, run in (
        ("answer", "a whole answer has the right form", response),
        ("answer", "instructions and text parts", response_input),
        ("answer", "max_output_tokens ends it as incomplete", response_limit),
        ("stream", "the sequence of events is whole", response_stream),
        ("tools", "a call that is demanded comes", response_tool),
        ("errors", "an unknown model", response_unknown),
    )
)

# Embeddings


def _embed(target: Target, **members: Any) -> Answer:
    return target.send("POST", "/v1/embeddings", {"model": target.model, "input": ["red cat", "blue sky"], **members})


def embeddings(target: Target) -> None:
    said = _VALID.validate_embeddings(good(_embed(target), first=True).json())
    demand(len(said["data"]) == 2, f"two inputs must give two vectors, and give {len(said['data'])}")


def embeddings_base64(target: Target) -> None:
    said = good(_embed(target, encoding_format="base64")).json()["data"][0]["embedding"]
    demand(isinstance(said, str), "encoding_format was base64, and a list of numbers came")
    plain = good(_embed(target, encoding_format="float")).json()["data"][0]["embedding"]
    packed = b64decode(said)
    numbers = struct.unpack(f"<{len(packed) // 4}f", packed)
    same = len(numbers) == len(plain) and all(abs(a - b) < 1e-3 for a, b in zip(numbers, plain, strict=True))
    demand(same, "the vectors are others in base64 than as numbers")


def embeddings_unknown(target: Target) -> None:
    check_error(refused(_embed(target, model=NOBODY), 400, 404))


EMBEDDINGS = tuple(
    Check("OpenAI embeddings", topic, name, run)
    for topic, name, run in (
        ("answer", "a vector for each input, in order", embeddings),
        ("answer", "base64 holds the same numbers", embeddings_base64),
        ("errors", "an unknown model", embeddings_unknown),
    )
)
