"""One dialect in, the other out: what the corpus says is said again, or the loss of it has a name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from wye.canon.events import Event
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.dialects.dialect import Dialect, Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel import json
from wye.kernel.errors import BadRequest
from wye.kernel.sse import SseDecoder

GOLDEN = Path(__file__).parent
OPENAI, ANTHROPIC = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
PAIRS = [(one, other) for one in DIALECTS.values() for other in DIALECTS.values() if one is not other]

CONTENT_WITHOUT_WORDS = {
    ("openai_chat", "audio_in_history"): "messages[1].content[0]",
    ("openai_chat", "parts"): "messages[1].content[3]",
    ("openai_chat", "unknown_members_everywhere"): "messages[0].content[2]",
    ("anthropic_messages", "documents"): "messages[0].content[2]",
    ("anthropic_messages", "images"): "messages[0].content[2]",
    ("anthropic_messages", "tools_parallel"): "messages[2].content[1].content[1]",
}
"""Requests that the other dialect cannot say: audio, a document by its URL, an image by its id or in a tool result."""


def cases(folder: str) -> list[Any]:
    return [
        pytest.param(one, other, path, id=f"{path.stem}: {one.name} to {other.name}")
        for one, other in PAIRS
        for path in sorted((GOLDEN / one.name / folder).iterdir())
    ]


def load(path: Path) -> dict[str, Any]:
    return json.decode(path.read_bytes())


def translated(one: Dialect, other: Dialect, wire: dict[str, Any]) -> tuple[dict[str, Any], Losses]:
    losses = Losses()
    return other.encode_request(one.decode_request(wire), losses, Quirks()), losses


def answered(one: Dialect, other: Dialect, body: dict[str, Any]) -> tuple[dict[str, Any], Losses]:
    losses = Losses()
    return other.encode_response(one.decode_response(body), losses), losses


def streamed(dialect: Dialect, events: list[Event]) -> bytes:
    encoder = dialect.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), Losses())
    return b"".join(encoder.encode(event) for event in events)


def events_of(dialect: Dialect, wire: bytes) -> list[Event]:
    decoder = dialect.stream_decoder()
    return decoder.feed(wire) + decoder.close()


def meaning(answer: ChatResponse) -> Any:
    """What both dialects can say of a first choice. Anthropic's has a refusal as text, and arguments as an object."""
    choice = answer.choices[0]
    usage = answer.usage
    return (
        "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal)),
        [(part.text, part.signature, part.redacted) for part in choice.parts if isinstance(part, Thinking)],
        [(part.id, part.name, arguments(part)) for part in choice.parts if is_call(part)],
        choice.finish_reason,
        answer.id,
        answer.model,
        usage and (usage.input_tokens, usage.output_tokens, usage.cached_tokens or 0, usage.reasoning_tokens),
    )


def is_call(part: Any) -> bool:
    return isinstance(part, ToolCall) and part.kind != "server"


def arguments(call: Any) -> Any:
    if call.kind == "custom":
        return call.arguments
    value = json.decode(call.arguments or "{}")
    return value["input"] if isinstance(value, dict) and value.keys() == {"input"} else value


def read_by_the_sdk(dialect: Dialect, wire: bytes) -> None:
    frames = [item.data for item in SseDecoder().feed(wire)]
    if dialect is OPENAI:
        assert frames.pop() == b"[DONE]"
        for data in frames:
            ChatCompletionChunk.model_validate_json(data)
        return
    event: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    for data in frames:
        event.validate_json(data)


@pytest.mark.parametrize(("one", "other", "path"), cases("requests"))
def test_a_request_is_said_or_refused_by_name(one: Dialect, other: Dialect, path: Path) -> None:
    wire = load(path)["wire"]
    unsayable = CONTENT_WITHOUT_WORDS.get((one.name, path.stem))
    if unsayable is not None:
        with pytest.raises(BadRequest) as caught:
            translated(one, other, wire)
        assert (caught.value.param, caught.value.code) == (unsayable, "unsupported_content")
        return
    said, losses = translated(one, other, wire)
    assert all(loss.field and loss.reason for loss in losses)
    again, _ = translated(other, one, said)
    assert one.decode_request(again).model == wire["model"]


@pytest.mark.parametrize(("one", "other", "path"), cases("responses"))
def test_an_answer_means_the_same(one: Dialect, other: Dialect, path: Path) -> None:
    answer = one.decode_response(load(path))
    said = other.encode_response(answer, Losses())
    (ChatCompletion if other is OPENAI else AnthropicMessage).model_validate(said)
    assert meaning(other.decode_response(said)) == meaning(answer)


@pytest.mark.parametrize(("one", "other", "path"), cases("streams"))
def test_a_stream_means_the_same(one: Dialect, other: Dialect, path: Path) -> None:
    events = events_of(one, path.read_bytes())
    wire = streamed(other, events)
    read_by_the_sdk(other, wire)
    assert meaning(fold(events_of(other, wire))) == meaning(fold(events))
