"""Wire format written down by hand, as the vendors' APIs say it, and a raw HTTP client: no codec of Wye is involved."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

OPENAI_USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 3,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
}
OPENAI_BODY: dict[str, Any] = {
    "id": "chatcmpl-9",
    "object": "chat.completion",
    "created": 1790000000,
    "model": "upstream-model-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": OPENAI_USAGE,
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}


def openai_chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    chunk = {
        "id": "chatcmpl-9",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "upstream-model-1",
        "choices": choices,
        **more,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


OPENAI_ROLE = openai_chunk({"role": "assistant", "content": ""})
OPENAI_TEXT = [openai_chunk({"content": piece}) for piece in ("Hel", "lo", " there")]
OPENAI_FINISH = openai_chunk({}, "stop")
OPENAI_USAGE_CHUNK = openai_chunk(None, usage=OPENAI_USAGE)
DONE = b"data: [DONE]\n\n"
OPENAI_STREAM = [OPENAI_ROLE, *OPENAI_TEXT, OPENAI_FINISH, OPENAI_USAGE_CHUNK, DONE]

ANTHROPIC_BODY: dict[str, Any] = {
    "id": "msg_9",
    "type": "message",
    "role": "assistant",
    "model": "claude-upstream-1",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 3,
        "service_tier": "standard",
    },
}


def anthropic_event(kind: str, **members: Any) -> bytes:
    data = json.dumps({"type": kind, **members}, separators=(",", ":")).encode()
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


ANTHROPIC_START = anthropic_event(
    "message_start",
    message={
        **ANTHROPIC_BODY,
        "content": [],
        "stop_reason": None,
        "usage": {**ANTHROPIC_BODY["usage"], "output_tokens": 1},
    },
)
ANTHROPIC_TEXT = [
    anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    for piece in ("Hel", "lo", " there")
]
ANTHROPIC_BLOCK = anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
ANTHROPIC_END = [
    anthropic_event("content_block_stop", index=0),
    anthropic_event(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}
    ),
    anthropic_event("message_stop"),
]
ANTHROPIC_STREAM = [ANTHROPIC_START, ANTHROPIC_BLOCK, anthropic_event("ping"), *ANTHROPIC_TEXT, *ANTHROPIC_END]


def ask(stream: bool = False, model: str = "m", **more: Any) -> dict[str, Any]:
    """A small chat request that both dialects understand."""
    body: dict[str, Any] = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}], **more}
    return {**body, "stream": True} if stream else body


def call(
    url: str, path: str, body: Any = None, method: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers in lower case, the whole body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


class Form(NamedTuple):
    headers: dict[str, str]
    body: bytes


def form(filename: str, content: bytes, name: str = "file", **fields: str) -> Form:
    """A file, and what is said about it, as browsers send them. https://www.rfc-editor.org/rfc/rfc7578"""
    parts = [f'name="{field}"\r\n\r\n{value}'.encode() for field, value in fields.items()]
    head = f'name="{name}"; filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    parts.append(head.encode() + content)
    body = b"".join(b"--border\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    return Form({"content-type": "multipart/form-data; boundary=border"}, body + b"--border--\r\n")


def until(true: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for what happens in another thread or process. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s} s")
        time.sleep(0.01)


def data_frames(stream: bytes) -> list[Any]:
    """The decoded `data:` of each frame; "[DONE]" as it is."""
    found = [line[6:] for line in stream.decode().split("\n") if line.startswith("data: ")]
    return [data if data == "[DONE]" else json.loads(data) for data in found]
