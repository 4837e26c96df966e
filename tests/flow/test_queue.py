"""Callers who wait for a model's slot, seen from outside. The model is one of a server elsewhere, which is a fake."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests import wire
from tests.flow.conftest import Start
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer

ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "org/m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}
Told = tuple[int, dict[str, str], bytes]


class Model:
    """A fake that writes down what it is asked, and gives streams no end."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fake = FakeUpstream(self._script)

    def _script(self, request: FakeRequest) -> FakeAnswer:
        if request.method == "GET":
            return json_body({"data": []})
        body = request.json()
        self.asked.append(body["messages"][0]["content"])
        if body.get("stream"):
            return event_stream([wire.OPENAI_ROLE, *wire.OPENAI_TEXT], end="hang")
        return json_body(ANSWER)


@pytest.fixture
def model() -> Any:
    model = Model()
    with model.fake:
        yield model


@pytest.fixture
def serve(start: Start, model: Model) -> Callable[..., WyeServer]:
    def serve(**local: Any) -> WyeServer:
        attached = {"m": {"base_url": f"{model.fake.url}/v1", "max_concurrent": 1, "model": "org/m"}}
        return start(local={"preload": [], "attached": attached, **local})

    return serve


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Callers:
    """Each on a connection of its own; one comes after the other."""

    def __init__(self, server: WyeServer) -> None:
        self.server = server
        self.pool = ThreadPoolExecutor(20)

    def ask(self, words: str, path: str = "/v1/chat/completions", **more: Any) -> Future[Told]:
        body = {**wire.ask(), "messages": [{"role": "user", "content": words}], **more}
        return self.pool.submit(wire.call, self.server.url, path, body)


def hold(server: WyeServer, words: str = "held") -> socket.socket:
    """A caller that gets a stream without an end."""
    caller = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    body = json.dumps({**wire.ask(stream=True), "messages": [{"role": "user", "content": words}]}).encode()
    caller.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: wye\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert caller.recv(65_536).startswith(b"HTTP/1.1 200")
    return caller


def queue_of(server: WyeServer) -> Any:
    return server.app.pipeline.router._providers["local"]._engine._queues["m"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("strategy", "order"), [("fifo", ["low", "normal", "high"]), ("priority", ["high", "normal", "low"])]
)
def test_who_waits_is_told_where_and_served_in_order(
    serve: Callable[..., WyeServer], model: Model, strategy: str, order: list[str]
) -> None:
    server = serve(queue_strategy=strategy)
    callers = Callers(server)
    held = hold(server)
    waiting: list[Future[Told]] = []
    for words, priority in (("low", {"priority": 1}), ("normal", {}), ("high", {"priority": 3})):
        waiting.append(callers.ask(words, **priority))
        until(lambda: queue_of(server).waiting == len(waiting))
    held.close()
    answers = [future.result(60) for future in waiting]
    assert model.asked == ["held", *order]
    assert [status for status, *_ in answers] == [200] * 3
    positions = [headers["x-queue-position"] for _, headers, _ in answers]
    assert positions == (["1", "2", "3"] if strategy == "fifo" else ["1", "1", "1"])


def test_who_finds_a_slot_free_has_waited_nowhere(serve: Callable[..., WyeServer], model: Model) -> None:
    status, headers, body = Callers(serve()).ask("hello").result(60)
    assert status == 200
    assert "x-queue-position" not in headers
    assert model.fake.requests[-1].json()["model"] == "org/m"
    assert json.loads(body)["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_full_queue_is_503_with_the_time_to_come_back_and_its_figures(
    serve: Callable[..., WyeServer], model: Model, path: str
) -> None:
    server = serve(queue_max_size=2)
    callers = Callers(server)
    held = hold(server)
    waiting = [callers.ask(str(i), path) for i in range(2)]
    until(lambda: queue_of(server).waiting == 2)
    status, headers, body = callers.ask("too many", path).result(60)
    assert (status, headers["retry-after"]) == (503, "5")
    error = json.loads(body)["error"]
    assert "answers 1 at a time, and 2 are waiting" in error["message"]
    told = error if path == "/v1/chat/completions" else error["details"]
    assert (told["max_concurrent"], told["queue_max_size"]) == (1, 2)
    held.close()
    assert [future.result(60)[0] for future in waiting] == [200, 200]
    assert "too many" not in model.asked


def test_a_full_queue_goes_to_a_fallback_and_is_no_fault(
    serve: Callable[..., WyeServer], start: Start, model: Model, upstream: FakeUpstream
) -> None:
    upstream.script = lambda _: json_body({**ANSWER, "model": "elsewhere"})
    attached = {"m": {"base_url": model.fake.url, "max_concurrent": 1}}
    server = start(
        providers={"away": {"kind": "openai", "base_url": upstream.url, "api_key": "k"}},
        routes={
            "m": {
                "deployments": [{"provider": "local", "model": "m"}, {"provider": "away", "model": "x", "weight": 0}],
                "allowed_fails": 1,
            }
        },
        local={"preload": [], "attached": attached, "queue_max_size": 0},
    )
    held = hold(server)
    assert Callers(server).ask("a").result(60)[1]["x-wye-deployment"] == "away/x"
    held.close()
    until(lambda: queue_of(server).running == 0)
    assert Callers(server).ask("b").result(60)[1]["x-wye-deployment"] == "local/m"


def test_who_leaves_the_queue_is_never_asked_for(serve: Callable[..., WyeServer], model: Model) -> None:
    server = serve()
    held = hold(server)
    leaver = socket.create_connection(("127.0.0.1", server.port))
    body = json.dumps(wire.ask()).encode()
    leaver.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    until(lambda: queue_of(server).waiting == 1)
    leaver.close()
    until(lambda: queue_of(server).waiting == 0)
    held.close()
    assert Callers(server).ask("next").result(60)[0] == 200
    assert model.asked == ["held", "next"]


def test_a_stopping_server_serves_those_who_wait(serve: Callable[..., WyeServer], model: Model) -> None:
    server = serve()
    callers = Callers(server)
    held = hold(server)
    waiting = [callers.ask(str(i)) for i in range(3)]
    until(lambda: queue_of(server).waiting == 3)
    server._server.should_exit = True
    time.sleep(0.1)
    held.close()
    assert [future.result(60)[0] for future in waiting] == [200] * 3
