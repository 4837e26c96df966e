"""The four formats as a caller speaks them, for checks that are the same in each: how to ask, and what was heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from wye.kernel import eventstream
from wye.kernel.errors import WyeError
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, encode_text
from wye.testing.conformance.openai import PERSON, WEATHER
from wye.testing.conformance.target import Answer, Target
from wye.testing.sse_parser import SseParser

NO_TOKENS = (0, 0)


class Heard(msgspec.Struct):
    """What a caller makes of an answer."""

    text: str = ""
    calls: list[tuple[str, Any]] = msgspec.field(default_factory=list[tuple[str, Any]])
    """Names and decoded arguments."""
    reason: str = ""
    tokens: tuple[int, int] = NO_TOKENS
    complete: bool = False
    """Whether it would be taken for a whole answer."""
    errors: list[str] = msgspec.field(default_factory=list[str])


class Question(msgspec.Struct, frozen=True, kw_only=True):
    text: str = "Count from 1 to 5"
    system: str | None = None
    limit: int = 400
    tool: bool = False
    """Offers get_weather and demands that it is called."""
    result: str | None = None
    """Continues after a call of get_weather whose result was this."""
    schema: bool = False
    stream: bool = False


class Caller(msgspec.Struct, frozen=True):
    name: str
    ask: Callable[[Target, str, Question], Answer]
    whole: Callable[[JsonObject], Heard]
    event: Callable[[JsonObject, Heard], None]
    """One decoded event of a stream, added to what was heard."""
    length: str
    """The reason that a limit of tokens has here."""

    def hear(self, answer: Answer, stream: bool) -> Heard:
        """Never raises: what cannot be understood is an error that was heard."""
        if answer.status != 200:
            return Heard(errors=[answer.body[:200].decode("utf-8", "replace")])
        heard = Heard()
        try:
            if not stream:
                return self.whole(as_object(answer.json()) or {})
            for event in _events(answer):
                self.event(event, heard)
            heard.calls = [(name, _decoded(arguments)) for name, arguments in heard.calls]
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError, WyeError) as error:
            heard.errors.append(f"{type(error).__name__}: {error}")
            heard.complete = False
        return heard


def _events(answer: Answer) -> list[JsonObject]:
    if answer.content_type == "application/vnd.amazon.eventstream":
        decoder = eventstream.EventStreamDecoder()
        found: list[JsonObject] = []
        for message in decoder.feed(answer.body):
            kind = message.text(":event-type") or f"error:{message.text(':exception-type')}"
            found.append({kind: decode(message.payload)})
        decoder.close()
        return found
    return [event for event in map(as_object, SseParser().parse_stream(answer.body)) if event is not None]


def _decoded(arguments: Any) -> Any:
    try:
        return decode(arguments or "{}") if isinstance(arguments, str) else arguments
    except JsonError:
        return arguments


def _add(heard: Heard, name: str | None, arguments: str) -> None:
    if name:
        heard.calls.append((name, arguments))
    elif heard.calls:
        last, before = heard.calls[-1]
        heard.calls[-1] = last, before + arguments


# OpenAI chat

_FUNCTION: JsonObject = {"name": "get_weather", "description": "The weather", "parameters": WEATHER}


def _ask_chat(target: Target, model: str, q: Question) -> Answer:
    messages: list[JsonObject] = [{"role": "system", "content": q.system}] if q.system else []
    messages.append({"role": "user", "content": q.text})
    body: JsonObject = {"model": model, "messages": messages, "max_tokens": q.limit, "stream": q.stream}
    if q.stream:
        body["stream_options"] = {"include_usage": True}
    if q.tool or q.result is not None:
        body["tools"] = [{"type": "function", "function": _FUNCTION}]
    if q.tool:
        body["tool_choice"] = {"type": "function", "function": {"name": "get_weather"}}
    if q.result is not None:
        function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
        call = {"id": "call_1", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": "call_1", "content": q.result})
    if q.schema:
        schema = {"name": "person", "schema": PERSON, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return target.send("POST", "/v1/chat/completions", body)


def _whole_chat(body: JsonObject) -> Heard:
    choice = body["choices"][0]
    calls = [call["function"] for call in choice["message"].get("tool_calls") or ()]
    heard = Heard(choice["message"].get("content") or "", reason=choice["finish_reason"] or "", complete=True)
    heard.calls = [(call["name"], _decoded(call["arguments"])) for call in calls]
    heard.tokens = _chat_tokens(body)
    return heard


def _chat_tokens(body: JsonObject) -> tuple[int, int]:
    usage: JsonObject = body.get("usage") or {}
    return usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)


def _event_chat(event: JsonObject, heard: Heard) -> None:
    if event.get("error"):
        heard.errors.append(str(event["error"]))
    for choice in as_list(event.get("choices")) or ():
        delta: JsonObject = choice.get("delta") or {}
        heard.text += delta.get("content") or ""
        calls: list[JsonObject] = delta.get("tool_calls") or []
        for call in calls:
            function: JsonObject = call.get("function") or {}
            _add(heard, function.get("name"), function.get("arguments") or "")
        if choice.get("finish_reason"):
            heard.reason, heard.complete = choice["finish_reason"], choice["finish_reason"] != "error"
    if event.get("usage"):
        heard.tokens = _chat_tokens(event)


# OpenAI responses


def _ask_responses(target: Target, model: str, q: Question) -> Answer:
    items: list[JsonObject] = [{"role": "user", "content": q.text}]
    body: JsonObject = {"model": model, "input": items, "max_output_tokens": q.limit, "stream": q.stream}
    if q.system:
        body["instructions"] = q.system
    if q.tool or q.result is not None:
        body["tools"] = [{"type": "function", **_FUNCTION}]
    if q.tool:
        body["tool_choice"] = {"type": "function", "name": "get_weather"}
    if q.result is not None:
        call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Paris"}'}
        items += [call, {"type": "function_call_output", "call_id": "call_1", "output": q.result}]
    if q.schema:
        body["text"] = {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}
    return target.send("POST", "/v1/responses", body)


def _whole_responses(body: JsonObject) -> Heard:
    heard = Heard(complete=body.get("status") in ("completed", "incomplete"), reason=body["status"])
    for item in body["output"]:
        if item["type"] == "message":
            heard.text += "".join(part.get("text", "") for part in item["content"])
        elif item["type"] == "function_call":
            heard.calls.append((item["name"], _decoded(item["arguments"])))
    usage: JsonObject = body.get("usage") or {}
    heard.tokens = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    if body.get("error"):
        heard.errors.append(str(body["error"]))
    return heard


def _event_responses(event: JsonObject, heard: Heard) -> None:
    match event.get("type"):
        case "response.output_text.delta":
            heard.text += event["delta"]
        case "response.completed" | "response.incomplete":
            whole = _whole_responses(event["response"])
            heard.reason, heard.tokens, heard.complete = whole.reason, whole.tokens, True
            heard.calls = whole.calls
        case "error" | "response.failed":
            heard.errors.append(encode_text(event))
        case _ if event.get("error"):
            heard.errors.append(str(event["error"]))
        case _:
            pass


# Anthropic messages


def _ask_messages(target: Target, model: str, q: Question) -> Answer:
    messages: list[JsonObject] = [{"role": "user", "content": q.text}]
    body: JsonObject = {"model": model, "messages": messages, "max_tokens": q.limit, "stream": q.stream}
    if q.system:
        body["system"] = q.system
    if q.tool or q.result is not None:
        body["tools"] = [{"name": "get_weather", "description": "The weather", "input_schema": WEATHER}]
    if q.tool:
        body["tool_choice"] = {"type": "tool", "name": "get_weather"}
    if q.result is not None:
        call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": q.result}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    if q.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": PERSON}}
    return target.send("POST", "/v1/messages", body)


def _whole_messages(body: JsonObject) -> Heard:
    blocks = body["content"]
    heard = Heard("".join(block["text"] for block in blocks if block["type"] == "text"), complete=True)
    heard.calls = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    heard.reason = body["stop_reason"] or ""
    heard.tokens = body["usage"]["input_tokens"], body["usage"]["output_tokens"]
    return heard


def _event_messages(event: JsonObject, heard: Heard) -> None:
    match event.get("type"):
        case "message_start":
            heard.tokens = event["message"]["usage"].get("input_tokens", 0), 0
        case "content_block_start" if event["content_block"]["type"] == "tool_use":
            _add(heard, event["content_block"]["name"], "")
        case "content_block_delta":
            heard.text += event["delta"].get("text", "")
            _add(heard, None, event["delta"].get("partial_json", ""))
        case "message_delta":
            heard.reason = event["delta"].get("stop_reason") or ""
            asked = event["usage"].get("input_tokens") or heard.tokens[0]
            heard.tokens = asked, event["usage"]["output_tokens"]
        case "message_stop":
            heard.complete = True
        case "error":
            heard.errors.append(encode_text(event))
        case _:
            pass


# Bedrock converse


def _ask_converse(target: Target, model: str, q: Question) -> Answer:
    messages: list[JsonObject] = [{"role": "user", "content": [{"text": q.text}]}]
    body: JsonObject = {"messages": messages, "inferenceConfig": {"maxTokens": q.limit}}
    if q.system:
        body["system"] = [{"text": q.system}]
    if q.tool or q.result is not None:
        spec = {"name": "get_weather", "description": "The weather", "inputSchema": {"json": WEATHER}}
        choice: JsonObject = {"toolChoice": {"tool": {"name": "get_weather"}}} if q.tool else {}
        body["toolConfig"] = {"tools": [{"toolSpec": spec}], **choice}
    if q.result is not None:
        call = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Paris"}}}
        result = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": q.result}]}}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    if q.schema:
        form = {"name": "person", "schema": encode_text(PERSON)}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": form}}}
    return target.send("POST", target.bedrock_path("converse-stream" if q.stream else "converse", model), body)


def _whole_converse(body: JsonObject) -> Heard:
    blocks = body["output"]["message"]["content"]
    heard = Heard("".join(block["text"] for block in blocks if "text" in block), complete=True)
    heard.calls = [(block["toolUse"]["name"], block["toolUse"]["input"]) for block in blocks if "toolUse" in block]
    heard.reason = body["stopReason"]
    heard.tokens = body["usage"]["inputTokens"], body["usage"]["outputTokens"]
    return heard


def _event_converse(event: JsonObject, heard: Heard) -> None:
    ((kind, members),) = event.items()
    match kind:
        case "contentBlockStart" if "toolUse" in members.get("start", {}):
            _add(heard, members["start"]["toolUse"]["name"], "")
        case "contentBlockDelta":
            heard.text += members["delta"].get("text", "")
            _add(heard, None, members["delta"].get("toolUse", {}).get("input", ""))
        case "messageStop":
            heard.reason, heard.complete = members["stopReason"], True
        case "metadata":
            heard.tokens = members["usage"]["inputTokens"], members["usage"]["outputTokens"]
        case _ if kind.startswith("error:"):
            heard.errors.append(encode_text(members))
        case _:
            pass


CALLERS = (
    Caller("chat", _ask_chat, _whole_chat, _event_chat, "length"),
    Caller("responses", _ask_responses, _whole_responses, _event_responses, "incomplete"),
    Caller("messages", _ask_messages, _whole_messages, _event_messages, "max_tokens"),
    Caller("converse", _ask_converse, _whole_converse, _event_converse, "max_tokens"),
)
