"""`wye conformance` finds what is wrong with a server, and nothing where nothing is."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from wye.kernel import eventstream
from wye.kernel.errors import ConfigError
from wye.kernel.json import decode, encode
from wye.testing.conformance.anthropic import MESSAGES
from wye.testing.conformance.bedrock import CONVERSE
from wye.testing.conformance.callers import CALLERS, Question
from wye.testing.conformance.check import Check, Result, run
from wye.testing.conformance.gateway import gateway_checks
from wye.testing.conformance.openai import CHAT, EMBEDDINGS, RESPONSES
from wye.testing.conformance.report import as_json, as_junit, counts
from wye.testing.conformance.target import Answer, Target
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.fake_provider import FakeProvider
from wye.testing.process import fake_config
from wye.testing.server import WyeServer

ALL = (*CHAT, *RESPONSES, *MESSAGES, *CONVERSE, *EMBEDDINGS)


def failed(results: list[Result]) -> list[str]:
    return [f"{result.area}: {result.name}: {result.detail}" for result in results if result.verdict == "failed"]


def test_the_fake_provider_passes_every_check() -> None:
    with FakeProvider(api_key="sk-1") as provider:
        target = Target(provider.url, "sk-1")
        target.find_model()
        results = list(run(ALL, target))
    assert failed(results) == []
    assert counts(results) == (len(ALL), 0, 0)


def test_wye_passes_every_check() -> None:
    with FakeProvider() as provider:
        config = {**fake_config(provider), "server": {"api_key": "sk-1"}}
        with WyeServer(config) as server:
            target = Target(f"{server.url}/v1", "sk-1", model="gpt-4o-mini")
            results = list(run(ALL, target))
    assert failed(results) == []
    assert counts(results) == (len(ALL), 0, 0)


# A server with one thing wrong

Defect = Callable[[FakeRequest, bytes], bytes | FakeAnswer]


class Broken(FakeProvider):
    """A fake provider of whose answers one thing is changed: in the whole body, as it would be sent."""

    def __init__(self, paths: str, defect: Defect, **settings: Any) -> None:
        super().__init__(**settings)
        whole = self.script

        def script(request: FakeRequest) -> FakeAnswer:
            answer = whole(request)
            if re.search(paths, request.path) is None or answer.status != 200:
                return answer
            changed = defect(request, b"".join(piece for piece in answer.pieces if isinstance(piece, bytes)))
            if isinstance(changed, FakeAnswer):
                return changed
            return FakeAnswer([changed], headers=answer.headers, length=len(changed))

        self.script = script


def streamed(change: Callable[[bytes], bytes]) -> Defect:
    """Only where a stream was asked for."""
    return lambda request, body: change(body) if b'"stream":true' in request.body else body


def whole(change: Callable[[Any], None]) -> Defect:
    """Only where no stream was asked for; the decoded body is changed in place."""

    def defect(request: FakeRequest, body: bytes) -> bytes:
        if b'"stream":true' in request.body:
            return body
        value = decode(body)
        change(value)
        return encode(value)

    return defect


def without_calls(body: Any) -> None:
    choice = body["choices"][0]
    if choice["message"].pop("tool_calls", None):
        choice["message"]["content"] = "It is sunny."
        choice["finish_reason"] = "stop"


def doubled_total(body: Any) -> None:
    body["usage"]["total_tokens"] *= 2


def as_objects(body: Any) -> None:
    for call in body["choices"][0]["message"].get("tool_calls") or ():
        call["function"]["arguments"] = decode(call["function"]["arguments"])


def ends_well(body: Any) -> None:
    body["choices"][0]["finish_reason"] = "stop"


def two_ids(body: bytes) -> bytes:
    parts = body.split(b"chatcmpl-")
    return b"chatcmpl-".join([*parts[:-1], b"x" + parts[-1]])


def cut(body: bytes) -> bytes:
    """The stream ends cleanly in the middle, with a terminator."""
    frames = body.split(b"\n\n")
    return b"\n\n".join(frames[: len(frames) // 2]) + b"\n\ndata: [DONE]\n\n"


def damaged(request: FakeRequest, body: bytes) -> bytes:
    return body[:40] + bytes([body[40] ^ 1]) + body[41:]


def without_last(body: bytes) -> bytes:
    return body[: body.rfind(b"event: message_stop")]


def without_metadata(request: FakeRequest, body: bytes) -> bytes:
    return b"".join(eventstream.split(body)[:-1])


def swapped(body: Any) -> None:
    body["data"].reverse()


CHAT_PATH, MESSAGES_PATH = "chat/completions", "/v1/messages$"
DEFECTS: dict[str, tuple[str, Defect, list[str]]] = {
    "frames not parted": (
        CHAT_PATH,
        streamed(lambda body: body.replace(b"}\n\ndata: {", b"}\ndata: {")),
        ["events are framed, the last is [DONE]"],
    ),
    "no [DONE]": (
        CHAT_PATH,
        streamed(lambda body: body.replace(b"data: [DONE]\n\n", b"")),
        ["events are framed, the last is [DONE]"],
    ),
    "usage missing": (CHAT_PATH, whole(lambda body: body.pop("usage")), ["figures are there and add up"]),
    "usage missing from the stream": (
        CHAT_PATH,
        streamed(lambda body: re.sub(rb',"usage":\{.*\}\}', b"}", body)),
        ["a stream tells them when asked"],
    ),
    "usage that does not add up": (CHAT_PATH, whole(doubled_total), ["figures are there and add up"]),
    "two ids in a stream": (CHAT_PATH, streamed(two_ids), ["chunks have the right form and one id"]),
    "a lost tool call": (CHAT_PATH, whole(without_calls), ["a call that is demanded comes"]),
    "arguments as an object": (CHAT_PATH, whole(as_objects), ["a call that is demanded comes"]),
    "a truncated answer looks complete": (
        CHAT_PATH,
        whole(ends_well),
        ["max_tokens ends it with finish_reason length"],
    ),
    "a truncated stream looks complete": (CHAT_PATH, streamed(cut), ["chunks have the right form and one id"]),
    "no role": (
        CHAT_PATH,
        streamed(lambda body: body.replace(b'"role":"assistant",', b"")),
        ["chunks have the right form and one id"],
    ),
    "no message_stop": (MESSAGES_PATH, streamed(without_last), ["events are framed, named, and in order"]),
    "events without names": (
        MESSAGES_PATH,
        streamed(lambda body: re.sub(rb"event: \w+\n", b"", body)),
        ["events are framed, named, and in order"],
    ),
    "sequence numbers repeat": (
        "responses",
        streamed(lambda body: re.sub(rb'"sequence_number":\d+', b'"sequence_number":0', body)),
        ["the sequence of events is whole"],
    ),
    "a damaged event stream": ("converse-stream", damaged, ["the event stream is whole and undamaged"]),
    "no metadata": ("converse-stream", without_metadata, ["the event stream is whole and undamaged"]),
    "vectors out of order": ("embeddings", whole(swapped), ["a vector for each input, in order"]),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found(name: str) -> None:
    paths, defect, found = DEFECTS[name]
    with Broken(paths, defect) as server:
        results = list(run(ALL, Target(server.url, model="gpt-4o-mini", timeout_s=60)))
    names = [result.name for result in results if result.verdict == "failed"]
    assert set(found) <= set(names), failed(results)
    assert all(result.detail for result in results if result.verdict == "failed")


MANNERS: dict[str, tuple[Callable[[FakeRequest, FakeAnswer], FakeAnswer], str]] = {
    "errors as 200": (lambda request, answer: FakeAnswer(answer.pieces, 200, answer.headers), "an unknown model"),
    "errors without a message": (
        lambda request, answer: json_body({"detail": "no"}, answer.status),
        "an unknown model",
    ),
    "errors that are no JSON": (lambda request, answer: FakeAnswer([b"no"], answer.status), "a body that is no JSON"),
    "any key will do": (
        lambda request, answer: json_body({}, 200) if answer.status == 401 else answer,
        "a wrong key",
    ),
    "a stream for plain text": (
        lambda request, answer: (
            FakeAnswer(answer.pieces, 200, {"content-type": "text/plain"})
            if b'"stream":true' in request.body and answer.status == 200
            else answer
        ),
        "events are framed, the last is [DONE]",
    ),
}


@pytest.mark.parametrize("name", MANNERS)
def test_bad_manners_are_found(name: str) -> None:
    change, found = MANNERS[name]
    with FakeProvider(api_key="sk-1") as server:
        right = server.script

        def script(request: FakeRequest) -> FakeAnswer:
            answer = right(request)
            streaming = answer.status == 200
            return answer if streaming and "plain" not in name else change(request, answer)

        server.script = script
        results = list(run(CHAT, Target(server.url, "sk-1", model="m", timeout_s=60)))
    assert found in [result.name for result in results if result.verdict == "failed"], results


def test_a_server_that_does_not_survive_a_caller_that_leaves_is_found() -> None:
    with FakeProvider() as provider:
        right, streams = provider.script, [0]

        def script(request: FakeRequest) -> FakeAnswer:
            streams[0] += b'"stream":true' in request.body
            return FakeAnswer([], head=False, end="reset") if streams[0] > 1 else right(request)

        provider.script = script
        results = list(
            run([check for check in CHAT if check.topic == "cancellation"] * 2, Target(provider.url, model="m"))
        )
    assert [result.verdict for result in results] == ["passed", "failed"]
    assert "no answer" in results[1].detail


@pytest.mark.parametrize("body", [b"[]", b"4", b"{}", b'{"choices": 4, "output": [4], "data": [4], "usage": 4}', b"no"])
def test_what_makes_no_sense_fails_and_nothing_more(body: bytes) -> None:
    with FakeUpstream(lambda _: FakeAnswer([body])) as server:
        results = list(run(ALL, Target(server.url, model="m", timeout_s=60)))
    assert counts(results)[0] == 0
    assert all(result.detail for result in results)


def test_a_format_that_is_not_served_is_skipped() -> None:
    with FakeUpstream(lambda _: json_body({"detail": "Not Found"}, 404)) as server:
        results = list(run(ALL, Target(server.url, model="m")))
    assert counts(results) == (0, 0, len(ALL))
    assert "404" in results[0].detail


def test_a_server_that_breaks_off_or_is_silent_fails_and_does_not_hang() -> None:
    with FakeProvider() as server:
        for fault, timeout_s, words in (
            ("cut", 60, "broke off"),
            ("silent", 0.3, "no answer within"),
            ("stall", 0.6, "no whole answer within|no answer within"),  # where the machine stood still it is the latter
        ):
            server.fault = fault
            (result,) = run(CHAT[:1], Target(server.url, model="m", timeout_s=timeout_s))
            assert result.verdict == "failed"
            assert re.search(words, result.detail), result


@pytest.mark.parametrize("url", ["ftp://x", "http://", "::"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        Target(url)


def test_the_model_is_found_or_must_be_given() -> None:
    with FakeProvider() as provider:
        target = Target(provider.url.removeprefix("http://"))
        target.find_model()
        assert target.model == "gpt-4o-mini"
    with pytest.raises(ConfigError, match="Cannot reach"):
        Target("http://127.0.0.1:1").find_model()
    for body in (b"no JSON", b'{"data": []}'):
        with (
            FakeUpstream(lambda _, body=body: FakeAnswer([body])) as server,
            pytest.raises(ConfigError, match="--model"),
        ):
            Target(server.url).find_model()


# A gateway


@pytest.fixture
def behind() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


def test_wye_carries_everything(behind: FakeProvider) -> None:
    config = fake_config(behind)
    deployments = {
        "up-openai": ("openai", "gpt-4o"),
        "up-anthropic": ("anthropic", "claude-x"),
        "up-bedrock": ("bedrock", "anthropic.claude-3-haiku-20240307-v1:0"),
    }
    config["routes"] = {
        name: {"retries": 1, "allowed_fails": 10_000, "deployments": [{"provider": provider, "model": model}]}
        for name, (provider, model) in deployments.items()
    }
    checks = [
        check
        for check in gateway_checks(behind, [(name, name) for name in deployments])
        # Faults are tested for every pair elsewhere (tests/flow): here once for each caller.
        if check.topic != "faults" or check.area.endswith("anthropic")
    ]
    with WyeServer(config) as server:
        results = list(run(checks, Target(server.url)))
    assert failed(results) == []
    assert counts(results) == (len(checks), 0, 0)
    assert len(checks) == 4 * 3 * 14 + 4 * 13


Change = Callable[[bytes], bytes]


class Lossy(FakeUpstream):
    """A gateway of the simplest kind: sends on what it gets, and loses something on the way."""

    def __init__(
        self, upstream: FakeProvider, change: Callable[[bytes], bytes], back: Callable[[bytes], bytes]
    ) -> None:
        def script(request: FakeRequest) -> FakeAnswer:
            connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=60)
            try:
                headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
                connection.request("POST", request.path, change(request.body), headers)
                answer = connection.getresponse()
                try:
                    body = answer.read()
                except http.client.IncompleteRead as error:
                    body = error.partial
                return FakeAnswer([back(body)], answer.status, {"content-type": answer.headers["content-type"]})
            finally:
                connection.close()

        super().__init__(script)


def same(body: bytes) -> bytes:
    return body


LOSSES: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes], set[str]]] = {
    "nothing": (same, same, set()),
    "the system prompt": (lambda body: body.replace(b"Hal-9", b"nobody"), same, {"system prompt"}),
    "the limit": (
        lambda body: re.sub(rb'"max(_output)?_?[tT]okens":16\b', rb'"top_p":1', body),
        same,
        {"max_tokens"},
    ),
    "the result of a tool": (lambda body: body.replace(b"Sunny", b"?"), same, {"tool result"}),
    "the choice of a tool": (lambda body: body.replace(b"tool_choice", b"user_note"), same, {"tool call"}),
    "text": (same, lambda body: body.replace(b" 3,", b""), {"text", "max_tokens"}),
    "usage": (same, lambda body: re.sub(rb'(prompt|input)_tokens":9', rb'\1_tokens":8', body), {"usage"}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_a_gateway_loses_is_found(name: str, behind: FakeProvider) -> None:
    change, back, found = LOSSES[name]
    checks = [check for check in gateway_checks(behind, [("up", "gpt-4o")]) if check.area == "chat → up"]
    checks = [check for check in checks if check.topic != "faults"]
    with Lossy(behind, change, back) as gateway:
        results = list(run(checks, Target(gateway.url)))
    names = {result.name for result in results if result.verdict == "failed"}
    assert names == found, failed(results)


def test_a_gateway_that_hides_faults_is_found(behind: FakeProvider) -> None:
    """It ends every answer as if it were whole."""

    def complete(body: bytes) -> bytes:
        end = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        return body[: body.rfind(b"\n\n") + 2] + end if body.startswith(b"data: ") else body

    checks = [check for check in gateway_checks(behind, [("up", "gpt-4o")]) if check.area == "chat → up"]
    faults = [check for check in checks if check.topic == "faults"]
    with Lossy(behind, same, complete) as gateway:
        results = list(run(faults, Target(gateway.url)))
    verdicts = {result.name: result.verdict for result in results}
    assert verdicts["a cut stream is an error"] == "failed"
    assert verdicts["a stream that ends early is an error"] == "failed"
    assert verdicts["503 once is tried again"] == "failed"
    assert verdicts["a byte at a time is whole"] == "passed"
    assert behind.fault is None


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
def test_what_cannot_be_understood_is_an_error_that_was_heard(caller: Any) -> None:
    for stream in (False, True):
        for body in (
            b"{}",
            b"[]",
            b"no",
            b"data: {\n\n",
            b'data: {"choices": [{"delta": 4}], "type": "message_start"}\n\n',
        ):
            heard = caller.hear(Answer(200, {}, body), stream)
            assert not heard.complete
    assert caller.hear(Answer(500, {}, b"boom"), False).errors == ["boom"]
    assert Question().text


# What is told


RESULTS = [
    Result("a", "t", "good", "passed", "", 0.1),
    Result("a", "t", "bad <1>", "failed", 'it is "x" & \x00', 0.2),
    Result("b", "t", "not there", "skipped", "404", 0.0),
]


def test_reports() -> None:
    told = as_json("http://x", "m", RESULTS)
    assert {name: told[name] for name in ("passed", "failed", "skipped", "score")} == {
        "passed": 1,
        "failed": 1,
        "skipped": 1,
        "score": 50,
    }
    assert told["results"][1]["detail"] == 'it is "x" & \x00'
    assert as_json("u", "m", [])["score"] is None
    suite = ElementTree.fromstring(as_junit(RESULTS))[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "skipped": "1",
    }
    assert [len(case) for case in suite] == [0, 1, 1]
    assert suite[1][0].get("message") == 'it is "x" & ?'
    assert suite[1].get("name") == "bad <1>"


def test_every_check_says_what_is_right() -> None:
    assert all(isinstance(check, Check) and check.name and check.topic for check in ALL)
    assert len({(check.area, check.name) for check in ALL}) == len(ALL)
