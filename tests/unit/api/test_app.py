"""The application as a server sees it: scopes in, messages out. The pipeline behind it is a double."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.waiting import turns
from wye.api.app import App
from wye.canon.usage import Usage
from wye.dialects.registry import DIALECTS
from wye.gateway.exchange import Exchange, Outlet, Stream, Whole
from wye.gateway.pipeline import Pipeline
from wye.gateway.policy.auth import Auth
from wye.gateway.policy.limits import Limits
from wye.gateway.policy.local_limits import LocalLimiter
from wye.kernel.errors import BadRequest, WyeError

Sent = list[dict[str, Any]]


class StreamDouble:
    def __init__(self, *pieces: bytes | Exception | float) -> None:
        self.pieces = list(pieces)
        self.usage: Usage | None = None
        self.failed = False
        self.closed = False

    async def relay(self, outlet: Outlet) -> None:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            elif not outlet.say(piece):
                await outlet.drained()

    def cut(self, error: WyeError) -> bytes:
        return f"cut: {error.code}".encode()

    def close(self) -> None:
        self.closed = True


class PipelineDouble:
    auth = Auth({})

    def __init__(self, answer: Callable[[Exchange], Whole | Stream], *, exact: bool = True) -> None:
        self._answer = answer
        self._exact = exact
        self.finished = 0

    async def chat(self, exchange: Exchange) -> Whole | Stream:
        return self._answer(exchange)

    async def count_tokens(self, exchange: Exchange) -> tuple[int, bool]:
        return 7, self._exact

    def finish(self, exchange: Exchange, stream: Stream) -> None:
        stream.close()
        self.finished += 1


async def pages(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "pages", "path": scope["path"], "root_path": scope.get("root_path", "")})


async def nothing() -> None:
    pass


def make(
    answer: Callable[[Exchange], Any] = lambda _: Whole(b"{}", None), start: Any = nothing, **more: Any
) -> tuple[App, PipelineDouble]:
    pipeline = PipelineDouble(answer, **more)
    app = App(cast(Pipeline, pipeline), pages, DIALECTS["openai_chat"], body_limit=1000, lifespan=(start, nothing))
    return app, pipeline


async def run(app: App, path: str = "/v1/chat/completions", method: str = "POST", **scope: Any) -> Sent:
    sent: Sent = scope.pop("sent", [])
    left: asyncio.Event = scope.pop("left", asyncio.Event())
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"{}"}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "path": path, "method": method, "headers": [], **scope}, receive, send)
    return sent


@pytest.mark.parametrize(
    ("path", "root_path", "wanted"),
    [
        ("/health", "", "/health"),
        ("/health/", "", "/health"),
        ("/health///", "", "/health"),
        ("/", "", "/"),
        ("///", "", "/"),
        ("/wye/health", "/wye", "/health"),
        ("/wye", "/wye", "/"),
        ("/health", "/wye", "/health"),
    ],
)
async def test_pages_see_the_path_of_the_table(path: str, root_path: str, wanted: str) -> None:
    app, _ = make()
    sent = await run(app, path, "GET", root_path=root_path)
    assert sent[0]["path"] == wanted


@pytest.mark.parametrize(("path", "root_path"), [("/v1/chat/completions/", ""), ("/wye/v1/chat/completions", "/wye")])
async def test_the_data_path_works_in_a_mount_and_with_a_slash(path: str, root_path: str) -> None:
    app, _ = make()
    assert (await run(app, path, root_path=root_path))[0]["status"] == 200


async def test_a_web_socket_is_refused() -> None:
    app, _ = make()
    sent = await run(app, type="websocket")
    assert sent == [{"type": "websocket.close"}]


async def lifespan(app: App) -> Sent:
    messages = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent: Sent = []

    async def receive() -> dict[str, Any]:
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    return sent


async def test_it_starts_and_stops_with_the_server() -> None:
    app, _ = make()
    assert [m["type"] for m in await lifespan(app)] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_start_that_fails_is_told() -> None:
    async def start() -> None:
        raise RuntimeError("no engine")

    app, _ = make(start=start)
    assert await lifespan(app) == [{"type": "lifespan.startup.failed", "message": "no engine"}]


async def test_an_answer_says_who_gave_it_and_what_is_left() -> None:
    def answer(exchange: Exchange) -> Whole:
        exchange.losses.add("seed", "has no equal", "warning")
        exchange.reservation = LocalLimiter(lambda principal: Limits(requests_per_minute=6)).reserve("me", 1)
        return Whole(b"{}", None)

    app, _ = make(answer)
    sent = await run(app, headers=[(b"x-request-id", b"mine")])
    headers = dict(sent[0]["headers"])
    assert headers[b"x-request-id"] == b"mine"
    assert b"seed" in headers[b"x-wye-loss"]
    assert headers[b"x-ratelimit-remaining-requests"] == b"5"


async def test_a_stream_is_sent_as_it_comes_and_settled_once() -> None:
    stream = StreamDouble(b"one", b"two")
    app, pipeline = make(lambda _: stream)
    sent = await run(app)
    assert dict(sent[0]["headers"])[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert [m["body"] for m in sent[1:]] == [b"one", b"two", b""]
    assert [bool(m.get("more_body")) for m in sent[1:]] == [True, True, False]
    assert (stream.closed, pipeline.finished) == (True, 1)


async def test_a_caller_may_ask_for_the_same_bytes_as_plain_text() -> None:
    app, _ = make(lambda _: StreamDouble(b"one"))
    sent = await run(app, headers=[(b"accept", b"text/plain")])
    assert dict(sent[0]["headers"])[b"content-type"] == b"text/plain; charset=utf-8"


async def test_a_mistake_of_ours_within_a_stream_leaves_it_open_ended(caplog: pytest.LogCaptureFixture) -> None:
    """The server ends the connection of an answer that was not completed: it never looks whole."""
    app, pipeline = make(lambda _: StreamDouble(b"one", ValueError("inner detail")))
    sent = await run(app, headers=[(b"x-request-id", b"mine")])
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"] is True
    assert pipeline.finished == 1
    assert "mine: unexpected error" in caplog.text


async def test_an_error_is_told_in_the_callers_dialect() -> None:
    def answer(_: Exchange) -> Whole:
        raise BadRequest("not so", param="model")

    app, _ = make(answer)
    sent = await run(app)
    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["error"]["param"] == "model"


async def test_when_the_caller_leaves_the_stream_is_settled_and_nothing_more_said() -> None:
    stream, left = StreamDouble(b"one", 30.0), asyncio.Event()
    app, pipeline = make(lambda _: stream)
    running = asyncio.create_task(run(app, left=left))
    await turns()
    left.set()
    sent = await asyncio.wait_for(running, 20)
    assert [m.get("body") for m in sent[1:]] == [b"one"]
    assert (stream.closed, pipeline.finished) == (True, 1)


async def test_a_caller_that_leaves_within_its_request_is_not_answered() -> None:
    app, _ = make()
    sent: Sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "path": "/v1/chat/completions", "method": "POST", "headers": []}, receive, send)
    assert sent == []


async def test_a_stream_that_the_server_cancels_ends_with_an_error_and_is_settled() -> None:
    stream = StreamDouble(b"one", 30.0)
    app, pipeline = make(lambda _: stream)
    sent: Sent = []
    running = asyncio.create_task(run(app, sent=sent))
    await turns()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [m["body"] for m in sent[1:]] == [b"one", b"cut: overloaded"]
    assert [bool(m.get("more_body")) for m in sent[1:]] == [True, False]
    assert (stream.closed, pipeline.finished) == (True, 1)


async def test_a_request_that_the_server_cancels_is_told_to_come_again() -> None:
    app, pipeline = make()

    async def chat(exchange: Exchange) -> Whole:
        await asyncio.sleep(30)
        raise AssertionError

    pipeline.chat = chat  # type: ignore[method-assign]
    sent: Sent = []
    running = asyncio.create_task(run(app, sent=sent))
    await turns()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sent[0]["status"] == 503
    assert dict(sent[0]["headers"])[b"retry-after"] == b"1"
    assert "being stopped" in json.loads(sent[1]["body"])["error"]["message"]


async def test_a_caller_that_cannot_be_told_is_not_told_why(caplog: pytest.LogCaptureFixture) -> None:
    stream = StreamDouble(b"one", b"two")
    app, pipeline = make(lambda _: stream)

    messages = [{"type": "http.request", "body": b"{}"}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.sleep(30)
        raise AssertionError

    async def send(message: Any) -> None:
        raise ConnectionResetError

    await app({"type": "http", "path": "/v1/chat/completions", "method": "POST", "headers": []}, receive, send)
    assert (stream.closed, pipeline.finished) == (True, 1)
    assert not caplog.records


@pytest.mark.parametrize("exact", [True, False])
async def test_tokens_are_counted_and_an_estimate_is_called_one(exact: bool) -> None:
    app, _ = make(exact=exact)
    sent = await run(app, "/v1/messages/count_tokens")
    assert json.loads(sent[1]["body"]) == {"input_tokens": 7}
    assert (b"input_tokens" in dict(sent[0]["headers"]).get(b"x-wye-loss", b"")) is not exact
