"""What the models of four vendors say in a turn with tools, and in the turn after it: wire format written down by hand.

Every model thinks, says a word and calls two tools at once; given their results, it answers. What only the vendor can
read (`SIGNATURE`, `REDACTED`, `ENCRYPTED`) is text that no codec could make up again.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

import msgspec

from tests import wire
from wye.testing.fake import FakeAnswer, FakeRequest, event_stream, json_body

SIGNATURE = "EqQBCkYIBxgCKkDx+/4Zb==.wye"
REDACTED = "EmwKAhgBEgy3va3pzix/LafPsn4="
ENCRYPTED = "gAAAAABo_x-Z9+/=="
THOUGHT = "The tests, then \u201cb.py\u201d: \u2028 ü."
WORD = "I look at both."
READ = '{"path": "src/b.py", "limit": 20}'
"""Arguments as the model wrote them, spaces and all."""
RUN = '{"command":"make test"}'
ANSWER = "All is well."
ADA = '{"name": "Ada", "age": 36}'
"""What a model says that is asked for a person."""

Said = dict[str, Any]


def halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    return text[:middle], text[middle:]


# OpenAI Chat, as vLLM and its like serve it: reasoning in the open.

CHAT_CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": READ}},
    {"id": "call_2", "type": "function", "function": {"name": "run", "arguments": RUN}},
]
CHAT_MESSAGE: Said = {"role": "assistant", "content": WORD, "reasoning_content": THOUGHT, "tool_calls": CHAT_CALLS}


def chat_body(message: Said, reason: str) -> Said:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**wire.OPENAI_BODY, "choices": [choice]}


def chat_calls() -> list[bytes]:
    frames = [wire.OPENAI_ROLE]
    frames += [wire.openai_chunk({"reasoning_content": piece}) for piece in halves(THOUGHT)]
    frames += [wire.openai_chunk({"content": piece}) for piece in halves(WORD)]
    for i, call in enumerate(CHAT_CALLS):
        text = call["function"]["arguments"]
        begun = {"index": i, **call, "function": {**call["function"], "arguments": ""}}
        frames.append(wire.openai_chunk({"tool_calls": [begun]}))
        for piece in halves(text):
            frames.append(wire.openai_chunk({"tool_calls": [{"index": i, "function": {"arguments": piece}}]}))
    return [*frames, wire.openai_chunk({}, "tool_calls"), wire.OPENAI_USAGE_CHUNK, wire.DONE]


def chat_text(text: str) -> list[bytes]:
    frames = [wire.openai_chunk({"content": piece}) for piece in halves(text)]
    return [wire.OPENAI_ROLE, *frames, wire.OPENAI_FINISH, wire.OPENAI_USAGE_CHUNK, wire.DONE]


# Anthropic Messages

CLAUDE_CONTENT: list[Said] = [
    {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE},
    {"type": "redacted_thinking", "data": REDACTED},
    {"type": "text", "text": WORD},
    {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": json.loads(READ), "caller": {"type": "direct"}},
    {"type": "tool_use", "id": "toolu_2", "name": "run", "input": json.loads(RUN), "caller": {"type": "direct"}},
]


def claude_body(content: list[Said], reason: str) -> Said:
    return {**wire.ANTHROPIC_BODY, "content": content, "stop_reason": reason}


def claude_events(content: list[Said], reason: str) -> list[Said]:
    start = {**claude_body([], reason), "stop_reason": None}
    events: list[Said] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for i, block in enumerate(content):
        deltas: list[Said] = []
        begun = dict(block)
        match block["type"]:
            case "thinking":
                begun |= {"thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])]
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            case "text":
                begun["text"] = ""
                deltas = [{"type": "text_delta", "text": piece} for piece in halves(block["text"])]
            case "tool_use":
                begun["input"] = {}
                pieces = halves(json.dumps(block["input"]))
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            case _:
                pass
        events.append({"type": "content_block_start", "index": i, "content_block": begun})
        events += [{"type": "content_block_delta", "index": i, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": i})
    delta = {"stop_reason": reason, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3}})
    return [*events, {"type": "message_stop"}]


def claude_stream(content: list[Said], reason: str) -> list[bytes]:
    return [wire.anthropic_event(event.pop("type"), **event) for event in claude_events(content, reason)]


# OpenAI Responses

RESPONSES_OUTPUT: list[Said] = [
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": THOUGHT}],
        "encrypted_content": ENCRYPTED,
    },
    {"id": "rs_2", "type": "reasoning", "summary": [], "encrypted_content": REDACTED},
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": WORD, "annotations": [], "logprobs": []}],
    },
    {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "read_file",
        "arguments": READ,
    },
    {
        "id": "fc_2",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_2",
        "name": "run",
        "arguments": RUN,
    },
]
RESPONSES_USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 14,
}


def response_body(output: list[Said], status: str = "completed") -> Said:
    return {
        "id": "resp_up1",
        "object": "response",
        "created_at": 1790000000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": "upstream-model-1",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": RESPONSES_USAGE if status == "completed" else None,
        "user": None,
        "metadata": {},
    }


def response_stream(output: list[Said]) -> list[bytes]:
    events: list[Said] = [
        {"type": f"response.{kind}", "response": response_body([], "in_progress")}
        for kind in ("created", "in_progress")
    ]
    for i, item in enumerate(output):
        at = {"output_index": i, "item_id": item["id"]}
        inner: list[Said] = []
        begun = {**item, **({"status": "in_progress"} if "status" in item else {})}
        match item["type"]:
            case "reasoning":
                begun |= {"summary": [], "encrypted_content": ""}
                for j, part in enumerate(item["summary"]):
                    where = {**at, "summary_index": j}
                    empty = {**part, "text": ""}
                    inner.append({"type": "response.reasoning_summary_part.added", **where, "part": empty})
                    told = "response.reasoning_summary_text.delta"
                    inner += [{"type": told, **where, "delta": piece} for piece in halves(part["text"])]
                    inner.append({"type": "response.reasoning_summary_text.done", **where, "text": part["text"]})
                    inner.append({"type": "response.reasoning_summary_part.done", **where, "part": part})
            case "message":
                begun["content"] = []
                where = {**at, "content_index": 0}
                (part,) = item["content"]
                inner.append({"type": "response.content_part.added", **where, "part": {**part, "text": ""}})
                told = {"type": "response.output_text.delta", **where, "logprobs": []}
                inner += [{**told, "delta": piece} for piece in halves(part["text"])]
                inner.append({"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []})
                inner.append({"type": "response.content_part.done", **where, "part": part})
            case _:
                begun["arguments"] = ""
                told = "response.function_call_arguments.delta"
                inner += [{"type": told, **at, "delta": piece} for piece in halves(item["arguments"])]
                done = {"name": item["name"], "arguments": item["arguments"]}
                inner.append({"type": "response.function_call_arguments.done", **at, **done})
        events.append({"type": "response.output_item.added", "output_index": i, "item": begun})
        events += [*inner, {"type": "response.output_item.done", "output_index": i, "item": item}]
    events.append({"type": "response.completed", "response": response_body(output)})
    numbered = ({"type": e["type"], "sequence_number": n, **e} for n, e in enumerate(events))
    return [b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in numbered]


# Bedrock Converse, and Claude's own format on Bedrock


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CONVERSE_CONTENT: list[Said] = [
    {"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": SIGNATURE}}},
    {"reasoningContent": {"redactedContent": in_base64(REDACTED)}},
    {"text": WORD},
    {"toolUse": {"toolUseId": "tooluse_1", "name": "read_file", "input": json.loads(READ)}},
    {"toolUse": {"toolUseId": "tooluse_2", "name": "run", "input": json.loads(RUN)}},
]
CONVERSE_USAGE = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 14, "cacheReadInputTokens": 4}


def converse_body(content: list[Said], reason: str) -> Said:
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": CONVERSE_USAGE,
        "metrics": {"latencyMs": 1},
    }


def aws_frame(kind: str, payload: bytes) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html"""
    names = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in names.items()
    )
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    said = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return said + struct.pack(">I", crc32(said))


def converse_stream(content: list[Said], reason: str) -> list[bytes]:
    events: list[tuple[str, Said]] = [("messageStart", {"role": "assistant"})]
    for i, block in enumerate(content):
        deltas: list[Said] = []
        match block:
            case {"toolUse": use}:
                start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
                events.append(("contentBlockStart", {"contentBlockIndex": i, "start": start}))
                deltas = [{"toolUse": {"input": piece}} for piece in halves(json.dumps(use["input"]))]
            case {"reasoningContent": {"reasoningText": said}}:
                deltas = [{"reasoningContent": {"text": piece}} for piece in halves(said["text"])]
                deltas.append({"reasoningContent": {"signature": said["signature"]}})
            case {"text": text}:
                deltas = [{"text": piece} for piece in halves(text)]
            case _:
                deltas = [block]
        events += [("contentBlockDelta", {"contentBlockIndex": i, "delta": delta}) for delta in deltas]
        events.append(("contentBlockStop", {"contentBlockIndex": i}))
    events.append(("messageStop", {"stopReason": reason}))
    events.append(("metadata", {"usage": CONVERSE_USAGE, "metrics": {"latencyMs": 1}}))
    return [aws_frame(kind, json.dumps({**event, "p": "abc"}).encode()) for kind, event in events]


def invoke_stream(events: Iterable[Said]) -> list[bytes]:
    """Each event of a model's own format, in base64."""
    payloads = ({"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "ab"} for event in events)
    return [aws_frame("chunk", json.dumps(payload).encode()) for payload in payloads]


def aws_stream(frames: list[bytes]) -> FakeAnswer:
    return FakeAnswer(list(frames), headers={"content-type": "application/vnd.amazon.eventstream"})


class Vendor(msgspec.Struct, frozen=True):
    """An upstream that speaks one dialect."""

    model: str
    provider: Callable[[str], Said]
    """Its section of the configuration, for the address of the fake."""
    calls: Callable[[bool], FakeAnswer]
    """Thinks, says a word and calls two tools; streamed or whole."""
    says: Callable[[str, bool], FakeAnswer]
    """Says this text and no more."""
    results: Callable[[Said], int]
    """How many results of tools a request holds."""

    def script(self, request: FakeRequest) -> FakeAnswer:
        """A model that answers as soon as it has results, with ADA where a schema is given."""
        body = request.json()
        stream = body.get("stream") is True or request.path.endswith("stream")
        if b"json_schema" in request.body:
            return self.says(ADA, stream)
        return self.answers(stream) if self.results(body) else self.calls(stream)

    def answers(self, stream: bool) -> FakeAnswer:
        return self.says(ANSWER, stream)


def config(vendors: dict[str, tuple[Vendor, str]], **more: Any) -> Said:
    """A configuration of Wye in which each vendor, at the address of its fake, serves the model of this name."""
    deployments = {name: {"provider": f"up-{name}", "model": vendor.model} for name, (vendor, _) in vendors.items()}
    return {
        "local": {"enabled": False},
        "providers": {f"up-{name}": vendor.provider(url) for name, (vendor, url) in vendors.items()},
        "routes": {name: {"deployments": [one], "retries": 0} for name, one in deployments.items()},
        **more,
    }


def _sse(stream: bool, frames: list[bytes], body: Said) -> FakeAnswer:
    return event_stream(frames) if stream else json_body(body)


def _aws(stream: bool, frames: list[bytes], body: Said) -> FakeAnswer:
    return aws_stream(frames) if stream else json_body(body)


def _claude_results(body: Said) -> int:
    blocks = [block for message in body["messages"] for block in message["content"] if isinstance(block, dict)]
    return sum(block.get("type") == "tool_result" for block in blocks)


def _converse_results(body: Said) -> int:
    return sum("toolResult" in block for message in body["messages"] for block in message["content"])


def _responses_results(body: Said) -> int:
    items = [item for item in body["input"] if isinstance(item, dict)]
    return sum(item.get("type", "").endswith("call_output") for item in items)


def _bedrock(url: str) -> Said:
    return {"kind": "bedrock", "endpoint_url": url, "region": "us-east-1", "api_key": "bedrock-api-key-1"}


def _text(text: str) -> Said:
    return {"type": "text", "text": text}


def _message(text: str) -> Said:
    return {**RESPONSES_OUTPUT[2], "content": [{**RESPONSES_OUTPUT[2]["content"][0], "text": text}]}


def _in_chat(text: str, stream: bool) -> FakeAnswer:
    return _sse(stream, chat_text(text), chat_body({"role": "assistant", "content": text}, "stop"))


def _in_messages(text: str, stream: bool) -> FakeAnswer:
    said = [_text(text)]
    return _sse(stream, claude_stream(said, "end_turn"), claude_body(said, "end_turn"))


def _in_responses(text: str, stream: bool) -> FakeAnswer:
    return _sse(stream, response_stream([_message(text)]), response_body([_message(text)]))


def _in_converse(text: str, stream: bool) -> FakeAnswer:
    said: list[Said] = [{"text": text}]
    return _aws(stream, converse_stream(said, "end_turn"), converse_body(said, "end_turn"))


def _in_claude_on_bedrock(text: str, stream: bool) -> FakeAnswer:
    said = [_text(text)]
    return _aws(stream, invoke_stream(claude_events(said, "end_turn")), claude_body(said, "end_turn"))


VENDORS = {
    "openai_chat": Vendor(
        "up-model",
        lambda url: {"kind": "vllm", "base_url": f"{url}/v1"},
        lambda stream: _sse(stream, chat_calls(), chat_body(CHAT_MESSAGE, "tool_calls")),
        _in_chat,
        lambda body: sum(message["role"] == "tool" for message in body["messages"]),
    ),
    "anthropic_messages": Vendor(
        "claude-up",
        lambda url: {"kind": "anthropic", "base_url": url, "api_key": "sk-up"},
        lambda stream: _sse(stream, claude_stream(CLAUDE_CONTENT, "tool_use"), claude_body(CLAUDE_CONTENT, "tool_use")),
        _in_messages,
        _claude_results,
    ),
    "openai_responses": Vendor(
        "gpt-up-codex",
        lambda url: {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-up"},
        lambda stream: _sse(stream, response_stream(RESPONSES_OUTPUT), response_body(RESPONSES_OUTPUT)),
        _in_responses,
        _responses_results,
    ),
    "bedrock_converse": Vendor(
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        _bedrock,
        lambda stream: _aws(
            stream, converse_stream(CONVERSE_CONTENT, "tool_use"), converse_body(CONVERSE_CONTENT, "tool_use")
        ),
        _in_converse,
        _converse_results,
    ),
}
"""By dialect: a vendor whose upstream speaks it."""

BEDROCK_CLAUDE = Vendor(
    VENDORS["bedrock_converse"].model,
    _bedrock,
    lambda stream: _aws(
        stream, invoke_stream(claude_events(CLAUDE_CONTENT, "tool_use")), claude_body(CLAUDE_CONTENT, "tool_use")
    ),
    _in_claude_on_bedrock,
    _claude_results,
)
"""The same on Bedrock, asked in Claude's own format: only by callers who speak it themselves."""


def script_of(vendor: Vendor) -> Callable[[FakeRequest], FakeAnswer]:
    """How a fake of this vendor answers: Bedrock in the format that its path names."""
    if vendor.provider is not _bedrock:
        return vendor.script
    return lambda request: (BEDROCK_CLAUDE if "/invoke" in request.path else vendor).script(request)
