"""Bedrock's runtime: Converse and InvokeModel, with a bearer token.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

from typing import Any

from wye.kernel import eventstream
from wye.kernel.errors import WyeError
from wye.kernel.json import JsonObject, as_object, decode
from wye.testing.conformance.check import Check, demand, good, leave, refused
from wye.testing.conformance.openai import NOBODY, QUESTION, WEATHER, check_arguments
from wye.testing.conformance.target import Answer, Target
from wye.testing.validators import ResponseValidator

_VALID = ResponseValidator()
_TOOLS = {
    "tools": [{"toolSpec": {"name": "get_weather", "description": "Weather", "inputSchema": {"json": WEATHER}}}],
    "toolChoice": {"tool": {"name": "get_weather"}},
}


def _body(text: str = QUESTION, tokens: int = 40, **members: Any) -> JsonObject:
    messages = [{"role": "user", "content": [{"text": text}]}]
    return {"messages": messages, "inferenceConfig": {"maxTokens": tokens}, **members}


def _converse(target: Target, body: JsonObject, verb: str = "converse", model: str | None = None) -> Answer:
    return target.send("POST", target.bedrock_path(verb, model), body)


def answer(target: Target) -> None:
    _VALID.validate_converse(good(_converse(target, _body()), first=True).json())


def limit(target: Target) -> None:
    said = _VALID.validate_converse(good(_converse(target, _body(tokens=3))).json())
    demand(said["stopReason"] == "max_tokens", f"stopReason must be max_tokens, and is {said['stopReason']}")


def _events(said: Answer) -> list[JsonObject]:
    good(said)
    expected = "application/vnd.amazon.eventstream"
    demand(said.content_type == expected, f"content-type must be {expected}, and is {said.content_type!r}")
    try:
        decoder = eventstream.EventStreamDecoder()
        messages = list(decoder.feed(said.body))
        decoder.close()
        return [{message.text(":event-type"): decode(message.payload)} for message in messages]
    except (WyeError, ValueError) as error:
        raise AssertionError(f"the event stream cannot be read: {error}") from None


def stream(target: Target) -> None:
    events = _events(_converse(target, _body(), "converse-stream"))
    demand(bool(_VALID.validate_converse_events(events)), "the stream holds no text")


def tool(target: Target) -> None:
    body = _body("What is the weather in Paris?", 200, toolConfig=_TOOLS)
    said = _VALID.validate_converse(good(_converse(target, body)).json())
    uses = [block["toolUse"] for block in said["output"]["message"]["content"] if "toolUse" in block]
    demand(bool(uses), "a call was demanded, and none came")
    check_arguments(uses[0]["name"], uses[0]["input"])


def tool_stream(target: Target) -> None:
    events = _events(_converse(target, _body("Weather?", 200, toolConfig=_TOOLS), "converse-stream"))
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    begun = [event["contentBlockStart"]["start"] for event in events if "contentBlockStart" in event]
    names = [start["toolUse"]["name"] for start in begun if "toolUse" in start]
    demand(bool(names), "a call was demanded, and none came in the stream")
    check_arguments(names[0], "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta))


def unknown_model(target: Target) -> None:
    said = refused(_converse(target, _body(), model=NOBODY), 400, 404)
    demand(bool((as_object(said.json()) or {}).get("message")), f"an error must be {{message}}: {said.body[:120]!r}")
    demand("x-amzn-errortype" in said.headers, "the header x-amzn-ErrorType is missing")


def cancel(target: Target) -> None:
    leave(target, target.bedrock_path("converse-stream"), _body(), lambda: _converse(target, _body(tokens=3)))


CONVERSE = tuple(
    Check("Bedrock converse", topic, name, run)
    for topic, name, run in (
        ("answer", "a whole answer has the right form, its usage adds up", answer),
        ("answer", "maxTokens ends it", limit),
        ("stream", "the event stream is whole and undamaged", stream),
        ("tools", "a call that is demanded comes", tool),
        ("tools", "a call comes in pieces that join", tool_stream),
        ("errors", "an unknown model", unknown_model),
        ("cancellation", "who leaves a stream is no harm", cancel),
    )
)
