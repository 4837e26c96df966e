"""The bytes of the benchmark: what callers ask, what the upstream answers, and how a right answer is told."""

from __future__ import annotations

import json

CHUNKS = 100
"""Text chunks of a streamed answer."""
KEY = "benchmark-key"
OPENAI_PATH = "/v1/chat/completions"
ANTHROPIC_PATH = "/v1/messages"

WORD = " word"
TEXT = "A gateway takes a request, decides who shall answer it, and carries the answer back. " * 2


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _head(kind: bytes, framing: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nx-request-id: req_mock\r\n%s\r\n\r\n" % (kind, framing)


def _whole(body: bytes) -> bytes:
    return _head(b"application/json", b"content-length: %d" % len(body)) + body


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# --- OpenAI ---

_OPENAI_USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 102,
    "total_tokens": 121,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def _openai_chunk(choices: list[object], **more: object) -> bytes:
    return b"data: %s\n\n" % _json(
        {
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            "object": "chat.completion.chunk",
            "created": 1795219200,
            "model": "bench-model",
            "service_tier": "default",
            "choices": choices,
            **more,
        }
    )


def _openai_delta(delta: dict[str, object], finish_reason: str | None = None) -> bytes:
    return _openai_chunk([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


OPENAI_BODY = _json(
    {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion",
        "created": 1795219200,
        "model": "bench-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _OPENAI_USAGE,
        "service_tier": "default",
    }
)
OPENAI_WHOLE = _whole(OPENAI_BODY)

OPENAI_TEXT_FRAME = _openai_delta({"content": WORD})
_OPENAI_FRAMES = [
    _openai_delta({"role": "assistant", "content": "", "refusal": None}),
    *[OPENAI_TEXT_FRAME] * CHUNKS,
    _openai_delta({}, "stop"),
]
_OPENAI_USAGE_FRAME = _openai_chunk([], usage=_OPENAI_USAGE)
_DONE = b"data: [DONE]\n\n"

# --- Anthropic ---

ANTHROPIC_BODY = _json(
    {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": "bench-model",
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 19,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 102,
            "service_tier": "standard",
        },
    }
)
ANTHROPIC_WHOLE = _whole(ANTHROPIC_BODY)


def _anthropic_frame(kind: str, **members: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _json({"type": kind, **members}))


_ANTHROPIC_FRAMES = [
    _anthropic_frame(
        "message_start",
        message={
            "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
            "type": "message",
            "role": "assistant",
            "model": "bench-model",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 19, "output_tokens": 1},
        },
    ),
    _anthropic_frame("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    *[_anthropic_frame("content_block_delta", index=0, delta={"type": "text_delta", "text": WORD})] * CHUNKS,
    _anthropic_frame("content_block_stop", index=0),
    _anthropic_frame(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 102}
    ),
    _anthropic_frame("message_stop"),
]

# --- What the upstream writes, one write after the other ---

_STREAM_HEAD = _head(b"text/event-stream; charset=utf-8", b"transfer-encoding: chunked")
_END = b"0\r\n\r\n"


def _writes(frames: list[bytes]) -> list[bytes]:
    """One write a frame; the head goes with the first and the end with the last, as servers do."""
    writes = [_http_chunk(frame) for frame in frames]
    return [_STREAM_HEAD + writes[0], *writes[1:-1], writes[-1] + _END]


OPENAI_STREAM = _writes([*_OPENAI_FRAMES, _DONE])
OPENAI_STREAM_WITH_USAGE = _writes([*_OPENAI_FRAMES, _OPENAI_USAGE_FRAME, _DONE])
ANTHROPIC_STREAM = _writes(_ANTHROPIC_FRAMES)

# --- What callers ask ---

SMALL_PROMPT = "Say in a few sentences what a gateway does, for somebody who has never seen one."
LARGE_PROMPT = ('The quick brown fox jumps over the lazy dog, and nobody is "surprised".\n' * 1000)[: 64 * 1024]


def request(model: str, prompt: str, stream: bool) -> bytes:
    """One call in OpenAI's dialect, head and body. A stream asks for its usage: all gateways then relay the same."""
    call: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": prompt},
        ],
        "max_completion_tokens": 512,
        "temperature": 0.7,
    }
    if stream:
        call |= {"stream": True, "stream_options": {"include_usage": True}}
    body = _json(call)
    head = (
        f"POST {OPENAI_PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n"
        "user-agent: OpenAI/Python 3.52\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


# --- What is a right answer ---


def wrong_whole(body: bytes) -> str | None:
    """What is wrong with a whole answer, if anything."""
    if body == OPENAI_BODY:
        return None
    try:
        answer = json.loads(body)
        text = answer["choices"][0]["message"]["content"]
        tokens = answer["usage"]["completion_tokens"]
    except (ValueError, LookupError, TypeError) as error:
        return f"no completion ({error!r}): {body[:300]!r}"
    return None if (text, tokens) == (TEXT, 102) else f"another text or usage: {body[:300]!r}"


def wrong_stream(body: bytes) -> str | None:
    """What is wrong with a streamed answer, if anything."""
    if not body.endswith(_DONE):
        return f"no [DONE] at the end: {body[-300:]!r}"
    texts = body.count(_json({"content": WORD})[1:-1])
    if texts != CHUNKS:
        return f"{texts} chunks of text instead of {CHUNKS}"
    if body.count(b'"finish_reason":"stop"') != 1:
        return "not one finish_reason"
    if body.count(b'"completion_tokens":102') != 1:
        return "not one usage"
    return None
