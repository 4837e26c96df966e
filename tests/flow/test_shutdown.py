"""A server that is stopped while it answers."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeUpstream, event_stream
from wye.testing.server import WyeServer

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "responses": "/v1/responses"}
BEGINNINGS = {
    "openai": [wire.OPENAI_ROLE, *wire.OPENAI_TEXT],
    "anthropic": [wire.ANTHROPIC_START, wire.ANTHROPIC_BLOCK, *wire.ANTHROPIC_TEXT],
}
PAIRS = [("openai", "openai"), ("anthropic", "anthropic"), ("openai", "anthropic"), ("responses", "anthropic")]
STOPPED = "The server is being stopped"


def stop(server: WyeServer) -> None:
    """As uvicorn is stopped, with a grace too short for any answer."""
    server._server.config.timeout_graceful_shutdown = 0
    server._server.should_exit = True
    server._thread.join(60)
    assert not server._thread.is_alive()


def ask(server: WyeServer, path: str, body: dict[str, Any]) -> socket.socket:
    caller = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    data = json.dumps(body).encode()
    caller.sendall(
        b"POST %b HTTP/1.1\r\nhost: wye\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (path.encode(), len(data), data)
    )
    return caller


def rest(caller: socket.socket) -> bytes:
    data = b""
    while piece := caller.recv(65_536):
        data += piece
    caller.close()
    return data


@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_a_stream_that_is_cut_ends_in_an_error_of_its_dialect(
    caller: str, kind: str, start: Start, upstream: FakeUpstream
) -> None:
    upstream.queue.append(event_stream(BEGINNINGS[kind], end="hang"))
    server = start((kind, upstream), clocks={"gap_s": 30})
    body = wire.ask(stream=True)
    if caller == "responses":
        body = {"model": "m", "input": "Hi", "stream": True}
    connection = ask(server, PATHS[caller], body)
    heard = b""
    while b"there" not in heard:
        heard += connection.recv(65_536)
    stop(server)
    heard += rest(connection)
    assert heard.endswith(b"0\r\n\r\n")
    last = [frame for frame in wire.data_frames(heard) if frame != "[DONE]"][-1]
    assert STOPPED in json.dumps(last)
    assert "error" in json.dumps(last)
    deadline = time.monotonic() + 60
    while upstream.left < 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_answer_that_has_not_begun_is_a_503_in_its_dialect(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(event_stream([], end="hang"))
    server = start(("anthropic", upstream), clocks={"headers_s": 30})
    connection = ask(server, "/v1/messages", wire.ask())
    while not upstream.requests:
        time.sleep(0.01)
    stop(server)
    head, _, body = rest(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in head
    assert b"connection: close" in head
    said = json.loads(body)
    assert (said["type"], said["error"]["type"]) == ("error", "overloaded_error")
    assert STOPPED in said["error"]["message"]


def test_callers_who_hear_the_same_answer_all_hear_its_end(start: Start, upstream: FakeUpstream) -> None:
    upstream.queue.append(event_stream(BEGINNINGS["openai"], end="hang"))
    server = start(("openai", upstream), clocks={"gap_s": 30}, route={"cache": {}})
    callers = [ask(server, "/v1/chat/completions", wire.ask(stream=True)) for _ in range(2)]
    heard = [b"", b""]
    for i, caller in enumerate(callers):
        while b"there" not in heard[i]:
            heard[i] += caller.recv(65_536)
    stop(server)
    for i, caller in enumerate(callers):
        heard[i] += rest(caller)
        assert STOPPED.encode() in heard[i]
        assert heard[i].endswith(b"0\r\n\r\n")
    assert len(upstream.requests) == 1
