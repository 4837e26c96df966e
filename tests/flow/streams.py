"""One short answer as each vendor streams it, and what a caller of each makes of what it hears: by hand or by botocore,
never by a codec of Wye."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.eventstream import EventStreamBuffer

from tests import wire
from wye.kernel.eventstream import exception, message
from wye.testing.fake import End, FakeAnswer, FakeUpstream, event_stream, json_body

CALLERS = ("chat", "responses", "messages", "converse")
"""Which are the kinds of upstreams as well."""
TEXT = "Hello there"


def response_event(kind: str, number: int, **members: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": number, **members}, separators=(",", ":")).encode()
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def aws_event(kind: str, **members: Any) -> bytes:
    return message(kind, json.dumps({**members, "p": "abc"}).encode())


_RESPONSE: dict[str, Any] = {
    "id": "resp_9",
    "object": "response",
    "created_at": 1790000000,
    "status": "in_progress",
    "model": "upstream-model-1",
    "output": [],
    "usage": None,
}
_ITEM = {"id": "msg_9", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
_PART = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
_AT = {"item_id": "msg_9", "output_index": 0, "content_index": 0}
_SAID = {**_ITEM, "status": "completed", "content": [{**_PART, "text": TEXT}]}
_RESPONSE_USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 14,
}
PIECES = ("Hel", "lo", " there")

PRELUDE: dict[str, list[bytes]] = {
    "chat": [wire.OPENAI_ROLE],
    "responses": [
        response_event("response.created", 0, response=_RESPONSE),
        response_event("response.in_progress", 1, response=_RESPONSE),
        response_event("response.output_item.added", 2, output_index=0, item=_ITEM),
        response_event("response.content_part.added", 3, **_AT, part=_PART),
    ],
    "messages": [wire.ANTHROPIC_START, wire.ANTHROPIC_BLOCK],
    "converse": [aws_event("messageStart", role="assistant")],
}
CONTENT: dict[str, list[bytes]] = {
    "chat": wire.OPENAI_TEXT,
    "responses": [
        response_event("response.output_text.delta", 4 + i, **_AT, delta=piece, logprobs=[])
        for i, piece in enumerate(PIECES)
    ],
    "messages": wire.ANTHROPIC_TEXT,
    "converse": [aws_event("contentBlockDelta", contentBlockIndex=0, delta={"text": piece}) for piece in PIECES],
}
ENDING: dict[str, list[bytes]] = {
    "chat": [wire.OPENAI_FINISH, wire.OPENAI_USAGE_CHUNK, wire.DONE],
    "responses": [
        response_event("response.output_text.done", 7, **_AT, text=TEXT, logprobs=[]),
        response_event("response.content_part.done", 8, **_AT, part={**_PART, "text": TEXT}),
        response_event("response.output_item.done", 9, output_index=0, item=_SAID),
        response_event(
            "response.completed",
            10,
            response={**_RESPONSE, "status": "completed", "output": [_SAID], "usage": _RESPONSE_USAGE},
        ),
    ],
    "messages": wire.ANTHROPIC_END,
    "converse": [
        aws_event("contentBlockStop", contentBlockIndex=0),
        aws_event("messageStop", stopReason="end_turn"),
        aws_event(
            "metadata", usage={"inputTokens": 11, "outputTokens": 3, "totalTokens": 14}, metrics={"latencyMs": 5}
        ),
    ],
}
WHOLE = {kind: [*PRELUDE[kind], *CONTENT[kind], *ENDING[kind]] for kind in CALLERS}
BEGUN = {kind: [*PRELUDE[kind], *CONTENT[kind][:2]] for kind in CALLERS}
ERROR: dict[str, bytes] = {
    "chat": b'data: {"error":{"message":"The server is on fire","type":"server_error","code":null}}\n\n',
    "responses": response_event(
        "response.failed",
        4,
        response={
            **_RESPONSE,
            "status": "failed",
            "error": {"code": "server_error", "message": "The server is on fire"},
        },
    ),
    "messages": wire.anthropic_event("error", error={"type": "overloaded_error", "message": "The server is on fire"}),
    "converse": exception("internalServerException", b'{"message":"The server is on fire"}'),
}
BROKEN: dict[str, bytes] = {
    "chat": b'data: {"choices": [{"del\n\n',
    "responses": b'event: response.output_text.delta\ndata: {"type": "resp\n\n',
    "messages": b'event: content_block_delta\ndata: {"type": \n\n',
    "converse": message("contentBlockDelta", b'{"contentBlockIndex": 0, "del'),
}
NO_TEXT: dict[str, bytes] = {
    **{kind: CONTENT[kind][2].replace(b" there", b" th\xffre") for kind in CALLERS},
    "converse": message("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":" th\xffre"},"p":"abc"}'),
}
"""A piece of text that is no UTF-8."""
TOO_LONG = {
    "chat": "This model's maximum context length is 128000 tokens. Please shorten the messages.",
    "responses": "Your input exceeds the context window of this model.",
    "messages": "prompt is too long: 210034 tokens > 200000 maximum",
    "converse": "Input is too long for requested model.",
}


def too_long(kind: str, *, streamed: bool) -> FakeAnswer:
    """The refusal of a context, in each vendor's words; OpenAI's Responses say it within a stream."""
    words = TOO_LONG[kind]
    if kind == "converse":
        return json_body({"message": words}, 400, **{"x-amzn-errortype": "ValidationException"})
    error = {"type": "invalid_request_error", "message": words}
    if kind == "messages":
        return json_body({"type": "error", "error": error}, 400)
    error |= {"code": "context_length_exceeded", "param": "messages" if kind == "chat" else "input"}
    if kind == "responses" and streamed:
        return event_stream([response_event("error", 0, error=error)])
    return json_body({"error": error}, 400)


OWED = {"chat": 1, "responses": 0, "messages": 1, "converse": 1}
"""How many of the last frames a complete answer may lack: a terminator, or figures that come after the end."""


def stream(kind: str, pieces: list[bytes | float], end: Any = "clean") -> FakeAnswer:
    content_type = "application/vnd.amazon.eventstream" if kind == "converse" else "text/event-stream"
    return FakeAnswer(list(pieces), headers={"content-type": content_type}, end=end)


def provider(kind: str, upstream: FakeUpstream) -> dict[str, Any]:
    match kind:
        case "messages":
            return {"kind": "anthropic", "base_url": upstream.url, "api_key": "sk-up"}
        case "converse":
            return {"kind": "bedrock", "region": "eu-central-1", "endpoint_url": upstream.url, "api_key": "bedrock-1"}
        case _:
            return {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-up"}


def deployment(kind: str, name: str) -> dict[str, Any]:
    """With the format to ask in where a provider knows several."""
    api = {"api": kind} if kind in ("chat", "responses") else {}
    return {"provider": name, "model": f"up-{kind}", **api}


def question(caller: str, *, stream: bool = True, **more: Any) -> tuple[str, dict[str, Any]]:
    """The same question in each format: path and body."""
    said = [{"role": "user", "content": "Hi"}]
    match caller:
        case "chat":
            return "/v1/chat/completions", {"model": "m", "max_tokens": 50, "messages": said, "stream": stream, **more}
        case "messages":
            return "/v1/messages", {"model": "m", "max_tokens": 50, "messages": said, "stream": stream, **more}
        case "responses":
            return "/v1/responses", {"model": "m", "max_output_tokens": 50, "input": "Hi", "stream": stream, **more}
        case _:
            verb = "converse-stream" if stream else "converse"
            messages = [{"role": "user", "content": [{"text": "Hi"}]}]
            return f"/model/m/{verb}", {"messages": messages, "inferenceConfig": {"maxTokens": 50}, **more}


@dataclass
class Heard:
    """What a caller makes of a stream. `complete` says that it would take it for a whole answer."""

    text: str = ""
    complete: bool = False
    errors: list[str] = field(default_factory=list[str])
    tokens: int | None = None


def hear(caller: str, answer: bytes) -> Heard:
    heard = Heard()
    if caller == "converse":
        _hear_converse(answer, heard)
        return heard
    for frame in wire.data_frames(answer):
        _HEAR[caller](frame, heard)
    return heard


def _hear_chat(frame: Any, heard: Heard) -> None:
    if frame == "[DONE]":
        return
    if error := frame.get("error"):
        heard.errors.append(error["message"])
    for choice in frame.get("choices", []):
        heard.text += choice["delta"].get("content") or ""
        heard.complete = heard.complete or choice["finish_reason"] is not None
    if frame.get("usage"):
        heard.tokens = frame["usage"]["total_tokens"]


def _hear_responses(frame: Any, heard: Heard) -> None:
    if frame == "[DONE]":
        return
    match frame["type"]:
        case "response.output_text.delta":
            heard.text += frame["delta"]
        case "response.completed":
            heard.complete = True
            heard.tokens = (frame["response"]["usage"] or {}).get("total_tokens")
        case "error":
            heard.errors.append(frame.get("message") or frame["error"]["message"])
        case _:
            pass


def _hear_messages(frame: Any, heard: Heard) -> None:
    match frame["type"]:
        case "content_block_delta":
            heard.text += frame["delta"].get("text", "")
        case "message_delta":
            heard.complete = heard.complete or frame["delta"].get("stop_reason") is not None
            heard.tokens = frame["usage"]["output_tokens"]
        case "message_stop":
            heard.complete = True
        case "error":
            heard.errors.append(frame["error"]["message"])
        case _:
            pass


def _hear_converse(answer: bytes, heard: Heard) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(answer)
    for event in buffer:
        headers, payload = event.headers, json.loads(event.payload)
        if headers[":message-type"] == "exception":
            heard.errors.append(payload["message"])
            continue
        match headers[":event-type"]:
            case "contentBlockDelta":
                heard.text += payload["delta"].get("text", "")
            case "messageStop":
                heard.complete = True
            case "metadata":
                heard.tokens = payload["usage"]["totalTokens"]
            case _:
                pass


_HEAR = {"chat": _hear_chat, "responses": _hear_responses, "messages": _hear_messages}


class Held(list[Any]):
    """An upstream's pieces, of which it says no more than the first few before `come` is true."""

    def __init__(self, first: Iterable[Any], come: Callable[[], bool], rest: Iterable[Any] = ()) -> None:
        super().__init__(first)
        self.come = come
        self.rest = rest

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        until_s = time.monotonic() + 60
        while not self.come():
            assert time.monotonic() < until_s, "it has not come"
            yield 0.01
        for piece in self.rest:
            yield from (0.01, piece)


def held(pieces: Sequence[bytes], come: Callable[[], bool], end: End = "clean") -> FakeAnswer:
    return FakeAnswer(Held(pieces[:5], come, pieces[5:]), headers={"content-type": "text/event-stream"}, end=end)
