"""One Wye before another: `inference:MODEL` goes on whole, streams come back piece by piece, errors as they are."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import wire
from wye.testing.fake import FakeAnswer, FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer

FOR_WYE: dict[str, Any] = {
    "orchestration_mode": "critique",
    "task_type": "code",
    "priority": 3,
    "file_ids": ["file-1"],
}
"""What a caller asks of Wye beside its dialect: the Wye that has the model does it."""
PATHS = {
    "/v1/chat/completions": wire.ask(model="inference:phi-4"),
    "/v1/messages": wire.ask(model="inference:phi-4"),
    "/v1/responses": {"model": "inference:phi-4", "input": "Hi"},
}


def near(base_url: str, **more: Any) -> WyeServer:
    section = {"kind": "wye", "base_url": f"{base_url}/v1", **more}
    return WyeServer({"local": {"enabled": False}, "providers": {"inference": section}})


@pytest.fixture
def far(upstream: FakeUpstream) -> Iterator[WyeServer]:
    """A whole Wye that has the model `phi-4`."""
    providers = {"v": {"kind": "vllm", "base_url": f"{upstream.url}/v1"}}
    routes = {"phi-4": {"deployments": [{"provider": "v", "model": "org/phi"}]}}
    with WyeServer({"local": {"enabled": False}, "providers": providers, "routes": routes}) as server:
        yield server


@pytest.mark.parametrize("path", PATHS)
def test_what_is_meant_for_the_other_wye_reaches_it_under_the_models_own_name(
    path: str, upstream: FakeUpstream
) -> None:
    with near(upstream.url, api_key="k") as server:
        wire.call(server.url, path, {**PATHS[path], **FOR_WYE}, headers={"x-request-id": "abc", "x-wye-strict": "1"})
    heard = upstream.requests[0]
    assert (heard.path, heard.json()["model"]) == (path, "phi-4")
    assert {name: heard.json()[name] for name in FOR_WYE} == FOR_WYE
    assert (heard.headers["authorization"], heard.headers["x-request-id"]) == ("Bearer k", "abc")
    assert heard.headers["x-wye-strict"] == "1"


@pytest.mark.parametrize("path", PATHS)
def test_it_answers_in_every_dialect_streamed_and_whole(path: str, far: WyeServer, upstream: FakeUpstream) -> None:
    def script(request: Any) -> FakeAnswer:
        if request.json().get("stream"):
            return event_stream(wire.OPENAI_STREAM)
        return json_body(wire.OPENAI_BODY)

    upstream.script = script
    with near(far.url) as server:
        status, headers, body = wire.call(server.url, path, PATHS[path])
        assert (status, headers["x-wye-deployment"]) == (200, "inference/phi-4")
        assert b"Hello" in body
        status, headers, body = wire.call(server.url, path, {**PATHS[path], "stream": True})
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert len(wire.data_frames(body)) > 2


def test_a_stream_is_not_held_back(far: WyeServer, upstream: FakeUpstream) -> None:
    upstream.script = lambda _: event_stream([wire.OPENAI_ROLE, *wire.OPENAI_TEXT], end="hang")
    with near(far.url) as server, socket.create_connection(("127.0.0.1", server.port), timeout=60) as caller:
        body = json.dumps({**wire.ask(stream=True), "model": "inference:phi-4"}).encode()
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        seen = b""
        while b"Hel" not in seen:  # it never ends: whoever waits for the end waits for ever
            seen += caller.recv(65_536)
    deadline = time.monotonic() + 60
    while upstream.left == 0:
        assert time.monotonic() < deadline, "a caller's leaving goes through both"
        time.sleep(0.01)


def test_an_unknown_model_there_is_404_here(far: WyeServer) -> None:
    with near(far.url) as server:
        status, _, body = wire.call(server.url, "/v1/chat/completions", wire.ask(model="inference:phi-5"))
    assert status == 404
    assert "Model 'phi-5' not found. Did you mean 'phi-4'?" in json.loads(body)["error"]["message"]


def test_the_other_side_down_is_503_and_says_which() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with near(url) as server:
        status, _, body = wire.call(server.url, "/v1/chat/completions", wire.ask(model="inference:phi-4"))
    assert status == 503
    assert f"The Wye 'inference' at {url} is away" in json.loads(body)["error"]["message"]


def test_a_place_in_a_queue_there_and_what_was_lost_there_are_told_here(upstream: FakeUpstream) -> None:
    told = {"x-queue-position": "4", "x-wye-loss": "top_k, seed"}
    upstream.script = lambda _: json_body(wire.OPENAI_BODY, 200, **told)
    with near(upstream.url) as server:
        _, headers, _ = wire.call(server.url, "/v1/chat/completions", wire.ask(model="inference:phi-4"))
        assert {name: headers[name] for name in told} == told
        upstream.script = lambda _: json_body(wire.OPENAI_BODY, 200, **{"x-queue-position": "4; x"})
        _, headers, _ = wire.call(server.url, "/v1/chat/completions", wire.ask(model="inference:phi-4"))
    assert "x-queue-position" not in headers
