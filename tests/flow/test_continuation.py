"""A stream that broke off and goes on at another deployment: one answer to its caller, whoever speaks which format."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests import wire
from tests.flow import streams
from tests.flow.streams import (
    BEGUN,
    CALLERS,
    ENDING,
    ERROR,
    PRELUDE,
    TEXT,
    WHOLE,
    Heard,
    aws_event,
    hear,
    question,
    stream,
)
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body
from wye.testing.server import WyeServer


def until(happened: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


Serve = Callable[..., WyeServer]
CLAUDE = {"provider": "claude", "model": "claude-sonnet-4-5"}
REFUSED = json_body(
    {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "This model does not support assistant message prefill."},
    },
    400,
)
TOOL = {"name": "f", "description": "", "input_schema": {"type": "object"}}


@pytest.fixture
def claude() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def serve(upstream: FakeUpstream, claude: FakeUpstream) -> Iterator[Serve]:
    """`serve(kind, *others)`: route `m` goes from `upstream`, of that kind, to the others, which are at `claude`."""
    with ExitStack() as stack:

        def serve(
            kind: str, *others: dict[str, Any], patience: dict[str, float] | None = None, **route: Any
        ) -> WyeServer:
            providers = {
                "first": streams.provider(kind, upstream),
                "claude": streams.provider("messages", claude),
                "bedrock": streams.provider("converse", claude),
                "chat": streams.provider("chat", claude),
            }
            clocks = {"connect_s": 60, "headers_s": 60, "first_token_s": 60, "gap_s": 60, **(patience or {})}
            rest = [{"clocks": clocks, **other, "weight": 0} for other in others or (CLAUDE,)]
            deployments = [{**streams.deployment(kind, "first"), "clocks": clocks}, *rest]
            routes = {"m": {"deployments": deployments, "retries": 0, "continue_after_cut": True, **route}}
            return stack.enter_context(
                WyeServer(
                    {
                        "local": {"enabled": False},
                        "server": {"log_calls": 1.0},
                        "providers": providers,
                        "routes": routes,
                    }
                )
            )

        yield serve


def ask(server: WyeServer, caller: str, **more: Any) -> tuple[Heard, dict[str, str], bytes]:
    status, headers, body = wire.call(server.url, *question(caller, **more), headers={"x-wye-loss": "body"})
    assert status == 200, body
    return hear(caller, body), headers, body


def text(kind: str, *pieces: str) -> list[bytes]:
    """Pieces of text, as each kind of upstream streams them."""
    match kind:
        case "chat":
            return [wire.openai_chunk({"content": piece}) for piece in pieces]
        case "converse":
            return [aws_event("contentBlockDelta", contentBlockIndex=0, delta={"text": piece}) for piece in pieces]
        case _:
            delta = [{"type": "text_delta", "text": piece} for piece in pieces]
            return [wire.anthropic_event("content_block_delta", index=0, delta=d) for d in delta]


def answer(kind: str, *pieces: str, end: str = "clean") -> FakeAnswer:
    return stream(kind, [*PRELUDE[kind], *text(kind, *pieces), *(ENDING[kind] if end == "clean" else [])], end=end)


def starts(caller: str, body: bytes) -> int:
    """How many answers begin in what a caller hears; its text must be one part of one of them."""
    if caller == "converse":
        return body.count(b"messageStart")
    frames = [frame for frame in wire.data_frames(body) if frame != "[DONE]"]
    if caller == "chat":
        assert len({frame["id"] for frame in frames}) == 1
        return sum("role" in choice["delta"] for frame in frames for choice in frame["choices"])
    if caller == "responses":
        whole = frames[-1]["response"]["output"]
        assert [[part["text"] for part in item["content"]] for item in whole] == [[TEXT]]
        return sum(frame["type"] == "response.created" for frame in frames)
    assert [frame["index"] for frame in frames if frame["type"] == "content_block_start"] == [0]
    assert [frame["index"] for frame in frames if frame["type"] == "content_block_stop"] == [0]
    return sum(frame["type"] == "message_start" for frame in frames)


CUTS: dict[str, Callable[[str], FakeAnswer]] = {
    "cut": lambda kind: stream(kind, [*BEGUN[kind]], end="cut"),
    "goes silent": lambda kind: stream(kind, [b"".join(BEGUN[kind]), 60.0]),
    "an error": lambda kind: stream(kind, [*BEGUN[kind], 0.1, ERROR[kind]]),
}


@pytest.mark.parametrize("kind", CALLERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_the_next_one_goes_on_with_what_was_said(
    caller: str, kind: str, serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    upstream.queue.append(CUTS["cut"](kind))
    claude.queue.append(answer("messages", " there"))
    heard, headers, body = ask(serve(kind), caller)
    assert (heard.text, heard.complete, heard.errors) == (TEXT, True, [])
    assert starts(caller, body) == 1
    assert headers["x-wye-deployment"] == f"first/up-{kind}"
    assert (len(upstream.requests), len(claude.requests)) == (1, 1)
    asked = claude.requests[0].json()
    assert asked["messages"][1:] == [{"role": "assistant", "content": "Hello"}]
    assert asked["max_tokens"] == 49


@pytest.mark.parametrize("fault", CUTS)
@pytest.mark.parametrize("other", ["chat", "converse"])
def test_who_takes_a_beginning_is_known_of_its_model_or_configured(
    other: str, fault: str, serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    upstream.queue.append(CUTS[fault]("chat"))
    claude.queue.append(answer(other, " there"))
    known = {
        "chat": {"provider": "chat", "model": "own", "api": "chat", "prefill": True},
        "converse": {"provider": "bedrock", "model": "eu.anthropic.claude-haiku-4-5-20251001-v1:0"},
    }
    patience = {"gap_s": 0.4} if fault == "goes silent" else {}
    heard, _, _ = ask(serve("chat", {**known[other], "clocks": {}}, patience=patience), "messages")
    assert (heard.text, heard.complete, heard.errors) == (TEXT, True, [])
    assert claude.requests[0].json()["messages"][-1]["role"] == "assistant"


def breaks(server: WyeServer, caller: str = "messages", **more: Any) -> str:
    """The words of the one clean error that a caller hears after what was said."""
    heard, _, _ = ask(server, caller, **more)
    assert (heard.complete, len(heard.errors)) == (False, 1)
    return heard.errors[0]


@pytest.mark.parametrize("caller", CALLERS)
def test_a_beginning_that_is_refused_leaves_the_error_of_the_cut(
    caller: str, serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    upstream.queue.append(CUTS["cut"]("chat"))
    claude.queue.append(REFUSED)
    assert "prefill" not in breaks(serve("chat"), caller)
    assert len(claude.requests) == 1


def test_the_one_after_it_is_asked_where_the_next_refuses(
    serve: Serve, upstream: FakeUpstream, claude: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.queue.append(CUTS["cut"]("chat"))
    claude.queue += [REFUSED, answer("messages", " there")]
    server = serve("chat", CLAUDE, {**CLAUDE, "model": "claude-opus-4-5"})
    with caplog.at_level("INFO", "wye.calls"):
        assert ask(server, "chat")[0].text == TEXT
    (call,) = [record.__dict__["call"] for record in caplog.records if record.name == "wye.calls"]
    assert (call["deployment"], call["attempts"], call["error"]) == ("claude/claude-opus-4-5", 3, None)
    steps = json.loads(wire.call(server.url, "/stats")[2])["recent"][0]["steps"]
    assert "first/up-chat broke off after 5 characters: upstream_stream_cut" in steps
    assert "claude/claude-sonnet-4-5 does not go on: 400 upstream_error" in steps
    assert any(step.startswith("claude/claude-opus-4-5 began to answer") for step in steps)


def test_what_the_next_one_loses_is_told_at_the_end(serve: Serve, upstream: FakeUpstream, claude: FakeUpstream) -> None:
    upstream.queue.append(CUTS["cut"]("chat"))
    claude.queue.append(answer("messages", " there"))
    heard, headers, body = ask(serve("chat"), "chat", seed=7)
    assert (heard.text, "x-wye-loss" in headers) == (TEXT, False)
    assert b": wye-loss seed\n\n" in body


def test_each_that_breaks_off_is_gone_on_with(serve: Serve, upstream: FakeUpstream, claude: FakeUpstream) -> None:
    upstream.queue.append(answer("chat", "One", end="cut"))
    claude.queue += [answer("messages", " two", end="cut"), answer("messages", " three", end="cut")]
    server = serve("chat", CLAUDE, {**CLAUDE, "model": "claude-opus-4-5"})
    heard, _, _ = ask(server, "chat")
    assert (heard.text, heard.complete, len(heard.errors)) == ("One two three", False, 1)
    assert [r.json()["messages"][-1]["content"] for r in claude.requests] == ["One", "One two"]
    stats = json.loads(wire.call(server.url, "/stats")[2])
    deployments = stats["routes"]["m"]["deployments"]
    assert [(d["requests"], d["failures"], d["running"]) for d in deployments] == [(1, 1, 0)] * 3
    assert stats["running"] == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [(["Hello "], [" there"]), (["Hello "], ["there"]), (["Hello", " \n"], [" ", "\nthere"]), (["Hello "], ["", " "])],
    ids=["said again", "not said again", "in pieces", "nothing else"],
)
def test_white_space_at_the_seam_is_said_once(
    first: list[str], second: list[str], serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    """A beginning may not end in white space at Claude's, so that the next one may say it again."""
    upstream.queue.append(answer("chat", *first, end="cut"))
    claude.queue.append(answer("messages", *second))
    heard, _, _ = ask(serve("chat"), "chat")
    said = "".join(first)
    assert heard.text == said + "".join(second).lstrip()
    assert heard.complete
    assert claude.requests[0].json()["messages"][-1]["content"] == "Hello"


def test_figures_are_those_of_both(serve: Serve, upstream: FakeUpstream, claude: FakeUpstream) -> None:
    upstream.queue.append(CUTS["cut"]("messages"))
    claude.queue.append(answer("messages", " there"))
    server = serve("messages")
    _, _, body = ask(server, "chat", stream_options={"include_usage": True})
    usage = [frame["usage"] for frame in wire.data_frames(body) if frame != "[DONE]" and frame.get("usage")]
    assert [(u["prompt_tokens"], u["completion_tokens"]) for u in usage] == [(22, 4)]
    deployments = json.loads(wire.call(server.url, "/stats")[2])["routes"]["m"]["deployments"]
    assert [(d["requests"], d["failures"]) for d in deployments] == [(1, 1), (1, 0)]
    assert sum(d["input_tokens"] + d["output_tokens"] for d in deployments) == 26


THINKING = [
    wire.ANTHROPIC_START,
    wire.anthropic_event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
    wire.anthropic_event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm"}),
]
CALLING = [
    wire.ANTHROPIC_START,
    wire.anthropic_event(
        "content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}
    ),
    wire.anthropic_event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"a'}),
]
SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}
STAYS: dict[str, tuple[list[bytes | float], dict[str, Any]]] = {
    "thinking": ([*THINKING], {}),
    "a call": ([*CALLING], {"tools": [TOOL]}),
    "a form": ([*BEGUN["messages"]], {"output_config": {"format": SCHEMA}}),
    "a forced call": ([*BEGUN["messages"]], {"tools": [TOOL], "tool_choice": {"type": "any"}}),
    "a refusal": (
        [
            *BEGUN["messages"],
            0.1,
            wire.anthropic_event("error", error={"type": "invalid_request_error", "message": "x"}),
        ],
        {},
    ),
}


@pytest.mark.parametrize("case", STAYS)
def test_nothing_but_text_goes_on(case: str, serve: Serve, upstream: FakeUpstream, claude: FakeUpstream) -> None:
    said, more = STAYS[case]
    upstream.queue.append(stream("messages", said, end="cut"))
    assert breaks(serve("messages"), **more)
    assert claude.requests == []


@pytest.mark.parametrize(
    "other",
    [
        {"provider": "claude", "model": "claude-opus-4-6"},
        {"provider": "chat", "model": "gpt-4o", "api": "chat"},
        {"provider": "bedrock", "model": "amazon.nova-lite-v1:0"},
        {**CLAUDE, "prefill": False},
    ],
    ids=lambda other: f"{other['model']}",
)
def test_who_takes_no_beginning_is_not_asked(
    other: dict[str, Any], serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    upstream.queue.append(CUTS["cut"]("chat"))
    assert breaks(serve("chat", other))
    assert claude.requests == []


def test_an_answer_that_has_said_nothing_yet_begins_anew_anywhere(
    serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    """Nothing but white space, or a failure in the same piece as the first word: no beginning is sent."""
    upstream.queue.append(answer("chat", "\n", end="cut"))
    upstream.queue.append(stream("chat", [b"".join([*BEGUN["chat"], ERROR["chat"]])]))
    claude.queue += [stream("chat", [*WHOLE["chat"]])] * 2
    server = serve("chat", {"provider": "chat", "model": "gpt-4o", "api": "chat"})
    assert ask(server, "chat")[0] == Heard("\nHello there", complete=True)
    heard, headers, body = ask(server, "chat")
    assert (heard, starts("chat", body)) == (Heard(TEXT, complete=True), 1)
    assert headers["x-wye-deployment"] == "chat/gpt-4o"
    assert [len(request.json()["messages"]) for request in claude.requests] == [1, 1]


def test_who_goes_on_is_not_asked_to_think(serve: Serve, upstream: FakeUpstream, claude: FakeUpstream) -> None:
    """Claude refuses that beside a beginning; what was to be thought was thought before the text."""
    thought = [*THINKING, wire.anthropic_event("content_block_stop", index=0)]
    block = wire.anthropic_event("content_block_start", index=1, content_block={"type": "text", "text": ""})
    delta = {"type": "text_delta", "text": "Hello"}
    said = wire.anthropic_event("content_block_delta", index=1, delta=delta)
    upstream.queue.append(stream("messages", [*thought, block, said], end="cut"))
    claude.queue.append(answer("messages", " there"))
    thinking = {"type": "enabled", "budget_tokens": 1024}
    heard, _, _ = ask(serve("messages"), "messages", thinking=thinking, max_tokens=2000)
    assert (heard.text, heard.complete) == (TEXT, True)
    assert "thinking" not in claude.requests[0].json()


def test_a_caller_that_began_the_answer_itself_hears_the_rest(
    serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    upstream.queue.append(answer("messages", "lo", end="cut"))
    claude.queue.append(answer("messages", " there"))
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hel"}]
    heard, _, _ = ask(serve("messages"), "messages", messages=turns)
    assert heard.text == "lo there"
    assert claude.requests[0].json()["messages"][1:] == [{"role": "assistant", "content": "Hello"}]


def test_what_goes_on_with_another_kind_of_part_ends_the_text_first(
    serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    upstream.queue.append(CUTS["cut"]("messages"))
    called = [
        *CALLING,
        wire.anthropic_event(
            "content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '":1}'}
        ),
    ]
    claude.queue.append(stream("messages", [*called, *ENDING["messages"]]))
    heard, _, body = ask(serve("messages"), "messages", tools=[TOOL])
    kinds = [
        (frame["type"], frame["index"])
        for frame in wire.data_frames(body)
        if frame["type"].startswith("content_block_s")
    ]
    assert kinds == [(f"content_block_{what}", index) for index in (0, 1) for what in ("start", "stop")]
    assert (heard.text, heard.complete) == ("Hello", True)


@pytest.mark.parametrize("begun", [False, True], ids=["before it goes on", "while it goes on"])
def test_who_leaves_frees_the_one_that_goes_on(
    begun: bool, serve: Serve, upstream: FakeUpstream, claude: FakeUpstream
) -> None:
    upstream.queue.append(CUTS["cut"]("chat"))
    hangs = FakeAnswer([], head=False, end="hang")
    claude.queue.append(stream("messages", [*PRELUDE["messages"], *text("messages", " th"), 60.0]) if begun else hangs)
    server = serve("chat", {**CLAUDE, "clocks": {}})
    path, body = question("messages")
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        heard = b""
        while (b" th" if begun else b"lo") not in heard:
            heard += response.read1()
        until(lambda: len(claude.requests) == 1)
        response.close()
    until(lambda: claude.left == 1)
    until(lambda: server.app.pipeline.settlement.running == 0)
    stats = json.loads(wire.call(server.url, "/stats")[2])["routes"]["m"]["deployments"]
    assert [d["running"] for d in stats] == [0, 0]


def test_what_was_joined_is_kept_whole(serve: Serve, upstream: FakeUpstream, claude: FakeUpstream) -> None:
    upstream.queue.append(CUTS["cut"]("chat"))
    claude.queue.append(answer("messages", " there"))
    server = serve("chat", cache={})
    for word in ("miss", "hit"):
        heard, headers, _ = ask(server, "messages")
        assert (heard.text, heard.complete, headers["x-wye-cache"]) == (TEXT, True, word)
    assert (len(upstream.requests), len(claude.requests)) == (1, 1)
