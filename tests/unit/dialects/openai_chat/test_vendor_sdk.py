"""The vendor's own SDK as the judge: it must read what Wye writes, bodies, streams and errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage

from wye.canon.events import Failure, PartStart, Start, TextDelta
from wye.canon.fold import unfold
from wye.canon.loss import Losses
from wye.canon.parts import Citation, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.openai_chat import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadRequest, LimitExceeded, NotFound, Overloaded, Unauthenticated, WyeError
from wye.kernel.sse import SseDecoder

CORPUS = Path(__file__).parents[3] / "golden" / "openai_chat" / "responses"
ODD = {"calls_not_understood", "document_citation", "error_reason", "future_reason", "moderation"}
"""Answers that the SDK of today has no type for."""

FOREIGN = {
    "bare": ChatResponse(id="", model="m", choices=[Choice([Text("Hi")], "stop")]),
    "nothing": ChatResponse(id="x", model="m", choices=[Choice([], "stop")]),
    "calls": ChatResponse(
        id="msg_1",
        model="m",
        choices=[Choice([Text("I look."), ToolCall("t1", "f", '{"a":1}'), ToolCall("t2", "g")], "tool_calls")],
        usage=Usage(10, 5, 4, 2, 1),
        service_tier="standard",
    ),
    "signed thinking": ChatResponse(
        id="x", model="m", choices=[Choice([Thinking("Hm.", "sig"), Thinking(redacted="x"), Text("So.")], "length")]
    ),
    "refusal": ChatResponse(id="x", model="m", choices=[Choice([Refusal("No.")], "content_filter")]),
    "web citation": ChatResponse(
        id="x", model="m", choices=[Choice([Text("It rained.", [Citation("url", title="T", url="https://x")])], "stop")]
    ),
    "two citations": ChatResponse(
        id="x",
        model="m",
        choices=[
            Choice([Text("It rained.", [Citation("url", url=f"https://x/{i}") for i in range(2)]), Text("So.")], "stop")
        ],
    ),
    "several": ChatResponse(
        id="x", model="m", choices=[Choice([Text("a")], "stop"), Choice([Text("b")], "length", index=1)]
    ),
    "stop sequence": ChatResponse(id="x", model="m", choices=[Choice([Text("1")], "stop", stop_sequence="2")]),
    "error": ChatResponse(id="x", model="m", choices=[Choice([Text("1")], "error")]),
}


def encoder() -> Any:
    return DIALECT.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), Losses())


class Answering(BaseHTTPRequestHandler):
    status = 200
    content_type = "application/json"
    body = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("content-type", self.content_type)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Upstream:
    """An SDK client and the server that answers it as told."""

    def __init__(self, client: openai.OpenAI) -> None:
        self.completions = client.chat.completions

    def answers(self, status: int, content_type: str, body: bytes) -> None:
        Answering.status, Answering.content_type, Answering.body = status, content_type, body


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        with openai.OpenAI(api_key="k", base_url=url, max_retries=0) as client:
            yield Upstream(client)
        server.shutdown()
        thread.join()


def calls_of(message: ChatCompletionMessage) -> list[tuple[str, str, str]]:
    calls = [call for call in message.tool_calls or () if call.type == "function"]
    return [(call.id, call.function.name, call.function.arguments) for call in calls]


ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("name", FOREIGN)
def test_answers_of_other_dialects_are_completions_to_the_sdk(name: str, upstream: Upstream) -> None:
    body = DIALECT.encode_response(FOREIGN[name], Losses())
    ChatCompletion.model_validate(body, strict=True)
    upstream.answers(200, "application/json", json.encode(body))
    completion = upstream.completions.create(**ASK)
    assert completion.to_dict(exclude_unset=True) == body

    wire = b"".join(map(encoder().encode, unfold(FOREIGN[name])))
    frames = [item.data for item in SseDecoder().feed(wire)]
    assert frames.pop() == b"[DONE]"
    for data in frames:
        ChatCompletionChunk.model_validate_json(data, strict=True)
    upstream.answers(200, "text/event-stream", wire)
    if any(choice.finish_reason in ("length", "content_filter") for choice in completion.choices):
        # The SDK's helper raises for these by design, so its chunks are looked at instead.
        told = [choice for chunk in upstream.completions.create(**ASK, stream=True) for choice in chunk.choices]
        for choice in completion.choices:
            own = [part for part in told if part.index == choice.index]
            assert own[-1].finish_reason == choice.finish_reason
            assert "".join(part.delta.content or "" for part in own) == (choice.message.content or "")
            assert "".join(part.delta.refusal or "" for part in own) == (choice.message.refusal or "")
        return
    with upstream.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        final = stream.get_final_completion()
    for streamed, choice in zip(final.choices, completion.choices, strict=True):
        assert streamed.finish_reason == choice.finish_reason
        assert (streamed.message.content or "") == (choice.message.content or "")
        assert calls_of(streamed.message) == calls_of(choice.message)
    assert final.usage == completion.usage


@pytest.mark.parametrize("name", sorted({path.stem for path in CORPUS.glob("*.json")} - ODD))
def test_the_corpus_is_what_the_sdk_means_by_a_completion(name: str) -> None:
    body = json.decode((CORPUS / f"{name}.json").read_bytes())
    ChatCompletion.model_validate(DIALECT.encode_response(DIALECT.decode_response(body), Losses()), strict=True)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (BadRequest("Bad", param="messages"), openai.BadRequestError),
        (Unauthenticated("Who?"), openai.AuthenticationError),
        (NotFound("None"), openai.NotFoundError),
        (LimitExceeded("Slow down"), openai.RateLimitError),
        (Overloaded("Full"), openai.InternalServerError),
    ],
)
def test_errors_are_raised_by_the_sdk_as_what_they_are(
    error: WyeError, raised: type[openai.APIStatusError], upstream: Upstream
) -> None:
    upstream.answers(error.status, "application/json", json.encode(DIALECT.encode_error(error, "req_1")))
    with pytest.raises(raised) as caught:
        upstream.completions.create(**ASK)
    assert (caught.value.code, caught.value.param) == (error.code, error.param)
    assert error.message in str(caught.value)


def test_an_error_after_the_beginning_is_raised_too(upstream: Upstream) -> None:
    events = [Start("i", "m"), PartStart(0, Text("")), TextDelta(0, "a"), Failure(Overloaded("Full"))]
    upstream.answers(200, "text/event-stream", b"".join(map(encoder().encode, events)))
    with pytest.raises(openai.APIError, match="Full"):
        list(upstream.completions.create(**ASK, stream=True))
