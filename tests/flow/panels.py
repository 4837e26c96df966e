"""Two vendors' models that answer together: `quick` speaks OpenAI's dialect, `deep` Anthropic's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from tests import wire
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer

INPUT, OUTPUT = 10, 4
"""Tokens of each call."""


class Models:
    """The upstreams' answers: each model says what `said` has for it, a while after it is asked."""

    def __init__(self) -> None:
        self.said: dict[str, str | FakeAnswer] = {"up-quick": "Paris it is", "up-deep": "It is Paris"}
        self.wait_s = 0.0

    def answer(self, request: FakeRequest) -> FakeAnswer:
        body = request.json()
        said = self.said[body["model"]]
        if isinstance(said, FakeAnswer):
            return said
        text = "NO ISSUES FOUND" if "You review another model's answer" in request.body.decode() else said
        is_claude = request.path.endswith("/messages")
        if body.get("stream"):
            pieces = claude_stream(text) if is_claude else gpt_stream(text)
            return event_stream([self.wait_s, *pieces])
        answer = json_body(claude_body(text) if is_claude else gpt_body(text))
        answer.pieces.insert(0, self.wait_s)
        return answer


def gpt_body(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**wire.OPENAI_BODY, "choices": [choice], "usage": _gpt_usage()}


def gpt_stream(text: str) -> Iterator[bytes]:
    for word in text.split(" "):
        yield wire.openai_chunk({"content": f"{word} "})
    yield wire.OPENAI_FINISH
    yield wire.openai_chunk(None, usage=_gpt_usage())
    yield wire.DONE


def _gpt_usage() -> dict[str, int]:
    return {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}


def claude_body(text: str) -> dict[str, Any]:
    usage = {"input_tokens": INPUT, "output_tokens": OUTPUT}
    return {**wire.ANTHROPIC_BODY, "content": [{"type": "text", "text": text}], "usage": usage}


def claude_stream(text: str) -> Iterator[bytes]:
    message = {**claude_body(""), "content": [], "stop_reason": None}
    yield wire.anthropic_event("message_start", message=message)
    yield wire.ANTHROPIC_BLOCK
    for word in text.split(" "):
        yield wire.anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"{word} "})
    yield from wire.ANTHROPIC_END[:1]
    yield wire.anthropic_event(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": OUTPUT}
    )
    yield wire.ANTHROPIC_END[-1]


def serve(stack: ExitStack, models: Models, **config: Any) -> tuple[WyeServer, FakeUpstream, FakeUpstream]:
    """A server with the routes `quick` and `deep`, and those that `routes` adds."""
    gpt, claude = stack.enter_context(FakeUpstream(models.answer)), stack.enter_context(FakeUpstream(models.answer))
    routes = config.pop("routes", {})
    deployments = {
        name: {"deployments": [{"provider": provider, "model": f"up-{name}", **more}], "retries": 0}
        for name, provider, more in (("quick", "gpt", {"api": "chat"}), ("deep", "claude", {}))
    }
    server = WyeServer(
        {
            "local": {"enabled": False},
            "providers": {
                "gpt": {"kind": "openai", "base_url": f"{gpt.url}/v1", "api_key": "sk-upstream"},
                "claude": {"kind": "anthropic", "base_url": claude.url, "api_key": "sk-upstream"},
            },
            "routes": {**deployments, **routes},
            **config,
        }
    )
    return stack.enter_context(server), gpt, claude
