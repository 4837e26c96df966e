"""The faults of upstreams in every pair of formats: what the caller makes of it, and what the upstream was asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any

import pytest

from tests import wire
from tests.conftest import Later
from tests.flow import streams
from tests.flow.streams import (
    BEGUN,
    BROKEN,
    CALLERS,
    ENDING,
    ERROR,
    NO_TEXT,
    OWED,
    PRELUDE,
    TEXT,
    TOO_LONG,
    WHOLE,
    hear,
    question,
    stream,
)
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body
from wye.testing.server import WyeServer

Pair = Callable[..., WyeServer]
PAIRS = [(caller, kind) for caller in CALLERS for kind in CALLERS]
PATIENT = {"connect_s": 60, "headers_s": 60, "first_token_s": 60, "gap_s": 60}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, tuple[WyeServer, FakeUpstream, FakeUpstream]]]:
    """For each kind of upstream a server with that one, and a fallback that speaks chat."""
    with ExitStack() as stack:
        made: dict[str, tuple[WyeServer, FakeUpstream, FakeUpstream]] = {}
        for kind in CALLERS:
            first, second = stack.enter_context(FakeUpstream()), stack.enter_context(FakeUpstream())
            deployments = [
                streams.deployment(kind, "first"),
                {**streams.deployment("chat", "second"), "weight": 0},
            ]
            alone = [deployments[0]]
            larger = {**deployments[1], "model": "up-large"}
            never = {"allowed_fails": 10**6, "cooldown_s": 0.01}
            config = {
                "local": {"enabled": False},
                "providers": {
                    "first": streams.provider(kind, first),
                    "second": streams.provider("chat", second),
                },
                "routes": {
                    "m": {"deployments": deployments, "retries": 0, **never},
                    "again": {"deployments": deployments, "retries": 1, **never},
                    "patient": {"deployments": alone},
                    "alone": {"deployments": alone, "retries": 0},
                    "long": {"deployments": [*deployments, larger], "retries": 2, **never},
                },
            }
            for name in CLOCKS.values():
                hasty = {**deployments[0], "clocks": {**PATIENT, name: 0.4}}
                config["routes"][f"m-{name}"] = {"deployments": [hasty, deployments[1]], "retries": 0, **never}
                config["routes"][f"alone-{name}"] = {"deployments": [hasty], "retries": 0}
            made[kind] = (stack.enter_context(WyeServer(config)), first, second)
        yield made


@pytest.fixture
def behind(servers: dict[str, tuple[WyeServer, FakeUpstream, FakeUpstream]]) -> Callable[[str], Any]:
    def behind(kind: str) -> tuple[WyeServer, FakeUpstream, FakeUpstream]:
        server, first, second = servers[kind]
        for upstream in (first, second):
            upstream.queue.clear()
            upstream.requests.clear()
            upstream.left = 0
        second.script = lambda request: stream("chat", [*WHOLE["chat"]])
        return server, first, second

    return behind


def call(server: WyeServer, caller: str, model: str = "m", **more: Any) -> tuple[int, dict[str, str], bytes]:
    path, body = question(caller, **more)
    if "model" in body:
        body["model"] = model
    return wire.call(server.url, path.replace("/model/m/", f"/model/{model}/"), body)


BEFORE = {
    "500": lambda kind: json_body({"message": "boom", "error": {"message": "boom", "type": "server_error"}}, 500),
    "503": lambda kind: json_body({"message": "full", "error": {"message": "full", "type": "overloaded_error"}}, 503),
    "429": lambda kind: json_body({"message": "slow", "error": {"message": "slow", "type": "rate_limit_error"}}, 429),
    "reset before headers": lambda kind: FakeAnswer([], head=False, end="reset"),
    "never answers": lambda kind: FakeAnswer([], head=False, end="hang"),
    "no first token": lambda kind: stream(kind, [*PRELUDE[kind], 60.0]),
    "cut in the prelude": lambda kind: stream(kind, [*PRELUDE[kind]], end="cut"),
    "ends in the prelude": lambda kind: stream(kind, [*PRELUDE[kind]]),
    "an error first": lambda kind: stream(kind, [ERROR[kind]]),
    "an error in the prelude": lambda kind: stream(kind, [*PRELUDE[kind], ERROR[kind]]),
    "broken JSON first": lambda kind: stream(kind, [BROKEN[kind]]),
    "empty": lambda kind: stream(kind, []),
    "an error in a 200": lambda kind: json_body({"error": {"message": "quota", "type": "insufficient_quota"}}),
    "HTML in a 502": lambda kind: FakeAnswer([b"<html>"], 502, {"content-type": "text/html"}),
    "HTML in a 200": lambda kind: FakeAnswer([b"<html>Hello</html>\n\n"], 200, {"content-type": "text/html"}),
    "garbage for gzip": lambda kind: FakeAnswer(
        [b"\x1f\x8b\x08no"], 200, {"content-type": "text/event-stream", "content-encoding": "gzip"}
    ),
}
ASKED = {"reset before headers": [(1, 1), (2, 1)]}
"""A connection that was kept and is reset may have been dead before the call: it is made again on a new one."""
CLOCKS = {"never answers": "headers_s", "no first token": "first_token_s", "goes silent": "gap_s"}
AFTER = {
    "cut": lambda kind: stream(kind, [*BEGUN[kind]], end="cut"),
    "reset": lambda kind: stream(kind, [*BEGUN[kind], 0.1], end="reset"),
    "ends early": lambda kind: stream(kind, [*BEGUN[kind]]),
    "goes silent": lambda kind: stream(kind, [b"".join(BEGUN[kind]), 60.0]),
    "an error": lambda kind: stream(kind, [*BEGUN[kind], ERROR[kind], *ENDING[kind]]),
    "broken JSON": lambda kind: stream(kind, [*BEGUN[kind], BROKEN[kind], *ENDING[kind]]),
    "no UTF-8": lambda kind: stream(kind, [*BEGUN[kind], NO_TEXT[kind], *ENDING[kind]]),
    "half a frame": lambda kind: stream(kind, [*BEGUN[kind], ENDING[kind][0][:20]], end="cut"),
    "half a frame, cleanly": lambda kind: stream(kind, [*BEGUN[kind], ENDING[kind][0][:20]]),
    "a length beyond its body": lambda kind: FakeAnswer([*BEGUN[kind]], end="cut", length=100_000),
    "a length short of its body": lambda kind: FakeAnswer([*WHOLE[kind]], length=len(b"".join(BEGUN[kind]))),
}


def route(name: str, fault: str) -> str:
    """One with the clock quick that is to run out: on a busy machine the others would run out too."""
    return f"{name}-{CLOCKS[fault]}" if fault in CLOCKS else name


@pytest.mark.parametrize("fault", BEFORE)
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_before_content_the_fallback_answers_unseen(
    fault: str, caller: str, kind: str, behind: Callable[[str], Any]
) -> None:
    server, first, second = behind(kind)
    first.queue += [BEFORE[fault](kind)] * 2
    status, headers, body = call(server, caller, route("m", fault))
    heard = hear(caller, body)
    assert (status, heard.text, heard.complete, heard.errors) == (200, TEXT, True, [])
    assert (headers["x-wye-deployment"], headers["x-wye-attempts"]) == ("second/up-chat", "2")
    assert (len(first.requests), len(second.requests)) in ASKED.get(fault, [(1, 1)])


@pytest.mark.parametrize("fault", BEFORE)
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_without_a_fallback_it_is_a_status_and_an_error_that_the_caller_understands(
    fault: str, caller: str, kind: str, behind: Callable[[str], Any]
) -> None:
    server, first, _ = behind(kind)
    first.queue += [BEFORE[fault](kind)] * 2
    status, headers, body = call(server, caller, route("alone", fault))
    assert status in (402, 408, 424, 429, 500, 502, 503, 504, 529), body
    error = json.loads(body)
    assert error["message"] if caller == "converse" else error["error"]["message"]
    assert ("x-amzn-errortype" in headers) is (caller == "converse")
    if caller != "converse":
        assert error["request_id"] == headers["x-request-id"]
    if fault in CLOCKS:
        assert (status, CLOCKS[fault] in body.decode()) == (504, True)
    assert (len(first.requests), 1) in ASKED.get(fault, [(1, 1)])


@pytest.mark.parametrize("fault", AFTER)
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_after_content_there_is_one_error_and_nothing_that_looks_complete(
    fault: str, caller: str, kind: str, behind: Callable[[str], Any]
) -> None:
    server, first, second = behind(kind)
    first.queue.append(AFTER[fault](kind))
    status, _, body = call(server, caller, route("m", fault))
    heard = hear(caller, body)
    assert status == 200
    assert (heard.text, heard.complete) == ("Hello", False)
    assert len(heard.errors) == 1
    assert heard.errors[0]
    assert (len(first.requests), second.requests) == (1, [])


@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_a_stumble_is_asked_once_more(caller: str, kind: str, behind: Callable[[str], Any]) -> None:
    server, first, second = behind(kind)
    first.queue += [BEFORE["500"](kind), stream(kind, [*WHOLE[kind]])]
    status, headers, body = call(server, caller, "again")
    assert (status, hear(caller, body).text) == (200, TEXT)
    assert headers["x-wye-attempts"] == "2"
    assert (len(first.requests), second.requests) == (2, [])


@pytest.mark.parametrize("caller", CALLERS)
def test_the_upstreams_own_time_is_waited_for(caller: str, upstream: FakeUpstream) -> None:
    """With a server of its own: a limit is remembered."""
    upstream.queue += [
        json_body({"message": "slow down"}, 429, **{"retry-after": "1"}),
        stream("chat", [*WHOLE["chat"]]),
    ]
    config = {
        "local": {"enabled": False},
        "providers": {"first": streams.provider("chat", upstream)},
        "routes": {"m": {"deployments": [streams.deployment("chat", "first")]}},
    }
    with WyeServer(config) as server:
        begun_s = time.monotonic()
        status, headers, body = call(server, caller)
        assert 1.0 <= time.monotonic() - begun_s < 30
    assert (status, hear(caller, body).text, headers["x-wye-attempts"]) == (200, TEXT, "2")
    assert len(upstream.requests) == 2


def test_who_says_that_nothing_is_left_is_spared_where_others_can_answer(
    upstream: FakeUpstream, second: FakeUpstream, later: Later
) -> None:
    """OpenAI tells when all of a limit is there again; one call is possible sooner, so that it is asked if alone."""
    left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s"}
    upstream.script = lambda request: json_body(wire.OPENAI_BODY, **left)
    second.script = lambda request: json_body(wire.OPENAI_BODY)
    deployments = [streams.deployment("chat", "first"), {**streams.deployment("chat", "second"), "weight": 0}]
    config = {
        "local": {"enabled": False},
        "providers": {"first": streams.provider("chat", upstream), "second": streams.provider("chat", second)},
        "routes": {"m": {"deployments": deployments}, "alone": {"deployments": deployments[:1]}},
    }

    def asked(model: str) -> str:
        status, headers, _ = call(server, "chat", model, stream=False)
        assert status == 200
        return headers["x-wye-deployment"].partition("/")[0]

    with WyeServer(config) as server:
        assert [asked("m") for _ in range(3)] == ["first", "second", "second"]
        assert [asked("alone") for _ in range(3)] == ["first"] * 3
        later(61)
        assert asked("m") == "first"


@pytest.mark.parametrize("caller", CALLERS)
def test_who_always_has_too_much_is_asked_ever_more_slowly(caller: str, behind: Callable[[str], Any]) -> None:
    server, first, _ = behind("chat")
    first.queue += [BEFORE["429"]("chat")] * 6
    begun_s = time.monotonic()
    status, headers, body = call(server, caller, "patient")
    assert (status, headers["x-wye-attempts"]) == (429, "3")
    assert 0.6 <= time.monotonic() - begun_s < 30
    assert "slow" in body.decode()


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_a_refusal_is_passed_on_after_one_attempt(
    status: int, caller: str, kind: str, behind: Callable[[str], Any]
) -> None:
    server, first, second = behind(kind)
    words = "this content breaks a policy"
    refusal = {"message": words, "error": {"message": words, "type": "invalid_request_error", "code": "policy"}}
    first.queue.append(json_body(refusal, status))
    got, _, body = call(server, caller, "again")
    assert got == status
    assert words in body.decode()
    assert (len(first.requests), second.requests) == (1, [])


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_what_is_too_long_for_one_model_goes_to_a_larger_one_at_once(
    caller: str, kind: str, streamed: bool, behind: Callable[[str], Any]
) -> None:
    """Never to the same model elsewhere; without another one the upstream's words are the caller's error."""
    server, first, second = behind(kind)
    first.queue += [streams.too_long(kind, streamed=streamed)] * 2
    second.script = lambda request: stream("chat", [*WHOLE["chat"]]) if streamed else json_body(wire.OPENAI_BODY)
    status, headers, body = call(server, caller, "long", stream=streamed)
    assert (status, headers["x-wye-attempts"]) == (200, "2")
    expected = "second/up-large" if kind == "chat" else "second/up-chat"
    assert headers["x-wye-deployment"] == expected
    assert hear(caller, body).text == TEXT if streamed else TEXT.encode() in body
    assert (len(first.requests), len(second.requests)) == (1, 1)
    status, headers, body = call(server, caller, "alone", stream=streamed)
    assert (status, headers["x-wye-attempts"]) == (400, "1"), body
    assert TOO_LONG[kind] in body.decode()
    if caller in ("chat", "responses"):
        assert json.loads(body)["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_a_whole_answer_without_its_last_frame_is_whole(caller: str, kind: str, behind: Callable[[str], Any]) -> None:
    server, first, _ = behind(kind)
    pieces = WHOLE[kind][: len(WHOLE[kind]) - OWED[kind]]
    first.queue.append(stream(kind, [*pieces]))
    heard = hear(caller, call(server, caller, "alone")[2])
    assert (heard.text, heard.complete, heard.errors) == (TEXT, True, [])


@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_a_byte_at_a_time_is_as_good_as_a_whole(caller: str, kind: str, behind: Callable[[str], Any]) -> None:
    server, first, _ = behind(kind)
    whole = b"".join(WHOLE[kind])
    first.queue += [stream(kind, [bytes([byte]) for byte in whole]), stream(kind, [whole])]
    answers = [call(server, caller, "alone")[2] for _ in range(2)]
    if caller == kind:
        assert answers[0] == answers[1]
    dripped, at_once = (hear(caller, answer) for answer in answers)
    assert dripped == at_once
    assert (dripped.text, dripped.complete, dripped.errors) == (TEXT, True, [])


@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_text_cut_within_a_character_is_exact(caller: str, kind: str, behind: Callable[[str], Any]) -> None:
    server, first, _ = behind(kind)
    if kind == "converse":
        pieces = [*WHOLE[kind]]
        pieces[3] = streams.aws_event("contentBlockDelta", contentBlockIndex=0, delta={"text": " thé→🙂"})
    else:
        pieces = [piece.replace(b" there", " thé→🙂".encode()) for piece in WHOLE[kind]]
    whole = b"".join(pieces)
    first.queue.append(stream(kind, [whole[i : i + 3] for i in range(0, len(whole), 3)]))
    heard = hear(caller, call(server, caller, "alone")[2])
    assert (heard.text, heard.complete, heard.errors) == ("Hello thé→🙂", True, [])


@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_a_frame_without_end_is_an_error_in_bounded_memory(
    caller: str, kind: str, behind: Callable[[str], Any]
) -> None:
    server, first, _ = behind(kind)
    endless = b"data: " if kind != "converse" else b"\x00\xff\xff\xff\x00\x00\x00\x10"
    first.queue.append(stream(kind, [*BEGUN[kind], endless, *([b"x" * 1024 * 1024] * 40)]))
    heard = hear(caller, call(server, caller, "alone")[2])
    assert (heard.complete, len(heard.errors)) == (False, 1)


@pytest.mark.parametrize("begun", [False, True], ids=["before headers", "mid-stream"])
@pytest.mark.parametrize(("caller", "kind"), PAIRS)
def test_who_leaves_frees_the_upstream_at_once(begun: bool, caller: str, kind: str, upstream: FakeUpstream) -> None:
    """With servers of its own: an answer that an earlier test left must not be taken for this one."""
    upstream.queue.append(stream(kind, [*BEGUN[kind], 60.0]) if begun else FakeAnswer([], head=False, end="hang"))
    config = {
        "local": {"enabled": False},
        "providers": {"first": streams.provider(kind, upstream)},
        "routes": {"m": {"deployments": [streams.deployment(kind, "first")]}},
        "limits": {"concurrent": 1},
    }
    path, body = question(caller)
    with WyeServer(config) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        if begun:
            response = connection.getresponse()
            assert response.read(10)
            response.close()
        else:
            _until(lambda: bool(upstream.requests))
        left_s = time.monotonic()
        connection.close()
        _until(lambda: upstream.left == 1)
        assert time.monotonic() - left_s < 20
        _until(lambda: server.app.pipeline.settlement.running == 0)
        upstream.queue.append(stream(kind, [*WHOLE[kind]]))
        assert call(server, caller)[0] == 200


def _until(happened: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
