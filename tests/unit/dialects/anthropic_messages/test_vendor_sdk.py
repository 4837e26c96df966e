"""The vendor's own SDK as the judge: it must read what Wye writes, bodies, streams and errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from anthropic.types.beta import BetaMessage

from wye.canon.events import Failure, PartStart, Start, TextDelta
from wye.canon.fold import unfold
from wye.canon.loss import Losses
from wye.canon.parts import Citation, Refusal, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.anthropic_messages import DIALECT
from wye.kernel import json
from wye.kernel.errors import BadRequest, LimitExceeded, Overloaded, WyeError

CORPUS = Path(__file__).parents[3] / "golden" / "anthropic_messages" / "responses"
ODD = {"future_reason", "malformed_block_kept_whole", "unknown_members"}
"""Answers that the SDK of today has no type for."""

FOREIGN = {
    "bare": ChatResponse(id="", model="m", choices=[Choice([Text("Hi")])]),
    "calls": ChatResponse(
        id="chatcmpl-1",
        model="m",
        created=1,
        choices=[Choice([Text("I look."), ToolCall("call.1", "f", '{"a":1}'), ToolCall("call.2", "g")], "tool_calls")],
        usage=Usage(10, 5, cached_tokens=4, reasoning_tokens=1),
        service_tier="default",
    ),
    "unsigned thinking": ChatResponse(id="x", model="m", choices=[Choice([Thinking("Hm."), Text("So.")], "length")]),
    "refusal": ChatResponse(id="x", model="m", choices=[Choice([Refusal("No.")], "content_filter")]),
    "web citation": ChatResponse(
        id="x", model="m", choices=[Choice([Text("It rained.", [Citation("url", title="T", url="https://x")])], "stop")]
    ),
    "stop sequence": ChatResponse(id="x", model="m", choices=[Choice([Text("1")], "stop", stop_sequence="2")]),
    "error": ChatResponse(id="x", model="m", choices=[Choice([Text("1")], "error")]),
}


def encoder() -> Any:
    return DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), Losses())


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

    def __init__(self, client: anthropic.Anthropic) -> None:
        self.messages = client.messages

    def answers(self, status: int, content_type: str, body: bytes) -> None:
        Answering.status, Answering.content_type, Answering.body = status, content_type, body


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with anthropic.Anthropic(api_key="k", base_url=url, max_retries=0) as client:
            yield Upstream(client)
        server.shutdown()
        thread.join()


ASK: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("name", FOREIGN)
def test_answers_of_other_dialects_are_messages_to_the_sdk(name: str, upstream: Upstream) -> None:
    body = DIALECT.encode_response(FOREIGN[name], Losses())
    Message.model_validate(body, strict=True)
    upstream.answers(200, "application/json", json.encode(body))
    message = upstream.messages.create(**ASK)
    assert message.to_dict() == Message.model_validate(body).to_dict()

    upstream.answers(200, "text/event-stream", b"".join(map(encoder().encode, unfold(FOREIGN[name]))))
    with upstream.messages.stream(**ASK) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == (message.stop_reason, message.stop_sequence)
    assert final.usage.input_tokens == message.usage.input_tokens
    assert final.usage.output_tokens == message.usage.output_tokens
    assert [block.to_dict() for block in final.content] == [block.to_dict() for block in message.content]


@pytest.mark.parametrize("name", sorted({path.stem for path in CORPUS.glob("*.json")} - ODD))
def test_the_corpus_is_what_the_sdk_means_by_a_message(name: str) -> None:
    body = json.decode((CORPUS / f"{name}.json").read_bytes())
    BetaMessage.model_validate(DIALECT.encode_response(DIALECT.decode_response(body), Losses()))


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (BadRequest("Bad", code="thread_unsupported_request"), anthropic.BadRequestError),
        (LimitExceeded("Slow down"), anthropic.RateLimitError),
        (Overloaded("Full"), anthropic.InternalServerError),
    ],
)
def test_errors_are_raised_by_the_sdk_as_what_they_are(
    error: WyeError, raised: type[anthropic.APIStatusError], upstream: Upstream
) -> None:
    upstream.answers(error.status, "application/json", json.encode(DIALECT.encode_error(error, "req_1")))
    with pytest.raises(raised) as caught:
        upstream.messages.create(**ASK)
    assert caught.value.error_code == error.code
    assert error.message in str(caught.value)


def test_an_error_after_the_beginning_is_raised_too(upstream: Upstream) -> None:
    events = [Start("i", "m"), PartStart(0, Text("")), TextDelta(0, "a"), Failure(Overloaded("Full"))]
    upstream.answers(200, "text/event-stream", b"".join(map(encoder().encode, events)))
    with pytest.raises(anthropic.APIStatusError, match="Full"), upstream.messages.stream(**ASK) as stream:
        stream.get_final_message()
