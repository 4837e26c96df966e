"""Every fault as a client on the wire sees it, in each framing, and that it is seen at all."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from tests import wire
from tests.flow.streams import Heard, hear
from wye.kernel.errors import BadRequest
from wye.testing.fake_provider import FakeProvider
from wye.testing.faults import FAULTS, fault_named, fault_of_model

COUNT = "Count from 1 to 60"
COUNTED = ", ".join(map(str, range(1, 61)))
CALLERS = ("chat", "responses", "messages", "converse")


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


def question(caller: str, model: str, stream: bool, text: str = COUNT) -> tuple[str, dict[str, Any]]:
    match caller:
        case "converse":
            verb = "converse-stream" if stream else "converse"
            return f"/model/{model}/{verb}", {"messages": [{"role": "user", "content": [{"text": text}]}]}
        case "responses":
            return "/v1/responses", {"model": model, "input": text, "stream": stream}
        case _:
            path = "/v1/chat/completions" if caller == "chat" else "/v1/messages"
            return path, {**wire.ask(stream, model), "max_tokens": 999, "messages": [{"role": "user", "content": text}]}


def is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode())
    except ValueError:
        return False
    return True


class Seen:
    """An answer as far as it came within a deadline, and how it ended."""

    def __init__(self, provider: FakeProvider, caller: str, spec: str, stream: bool, model: str = "m") -> None:
        path, body = question(caller, model, stream)
        headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-fake-fault": spec}
        quiet = spec.startswith(("silent", "stall", "slow-start"))
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=0.2 if spec == "silent" else 20)
        self.status, self.body, self.headers, self.end = 0, b"", dict[str, str](), "clean"
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            self.status = response.status
            self.headers = {name.lower(): value for name, value in response.getheaders()}
            if quiet and "=0" not in spec and connection.sock is not None:
                connection.sock.settimeout(0.6)
            while piece := response.read1(65536):
                self.body += piece
        except http.client.IncompleteRead as error:
            self.body += error.partial
            self.end = "cut"
        except (http.client.RemoteDisconnected, ConnectionResetError):
            self.end = "reset"
        except TimeoutError:
            self.end = "silence"
        finally:
            connection.close()
        if self.end == "clean" and len(self.body) < int(self.headers.get("content-length", "0")):
            self.end = "cut"
        self.caller = caller

    @property
    def heard(self) -> Heard:
        return hear(self.caller, self.body)


STREAMED = {
    "cut": ("cut", 40, False),
    "cut=3": ("cut", 3, False),
    "cut=0": ("cut", 0, False),
    "reset=3": ("reset", None, False),
    "truncated": ("clean", 40, False),
    "stall": ("silence", 20, False),
    "stall=2": ("silence", 2, False),
    "slow-start": ("silence", 0, False),
    "slow-start=0.05": ("clean", 60, True),
    "no-terminator": ("clean", 60, None),
    "drip": ("clean", 60, True),
    "drip=7": ("clean", 60, True),
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("spec", STREAMED)
def test_what_is_left_of_a_stream(spec: str, caller: str, provider: FakeProvider) -> None:
    end, tokens, complete = STREAMED[spec]
    seen = Seen(provider, caller, spec, True)
    assert (seen.status, seen.end) == (200, end)
    if tokens is not None:
        assert len(seen.heard.text.split()) == tokens
        assert COUNTED.startswith(seen.heard.text)
    if complete is not None:
        assert seen.heard.complete is complete


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("spec", "end"), [("cut", "cut"), ("stall", "silence"), ("truncated", "clean"), ("drip", "clean")]
)
def test_a_whole_answer_has_the_same_faults(spec: str, end: str, caller: str, provider: FakeProvider) -> None:
    seen = Seen(provider, caller, spec, False)
    assert (seen.status, seen.end) == (200, end)
    assert is_json(seen.body) is (spec == "drip")


INSTEAD = {
    "429": (429, "clean"),
    "429=2": (429, "clean"),
    "503": (503, "clean"),
    "500": (500, "clean"),
    "down": (503, "clean"),
    "context-length": (400, "clean"),
    "content-policy": (400, "clean"),
    "html": (502, "clean"),
    "error-in-200": (200, "clean"),
    "empty": (200, "clean"),
    "gzip-garbage": (200, "clean"),
    "reset": (0, "reset"),
    "silent": (0, "silence"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("spec", INSTEAD)
def test_what_comes_instead_of_an_answer(spec: str, caller: str, stream: bool, provider: FakeProvider) -> None:
    seen = Seen(provider, caller, spec, stream)
    assert (seen.status, seen.end) == INSTEAD[spec]
    assert seen.headers.get("retry-after") == ("2" if spec == "429=2" else None)
    if seen.status >= 400 and spec != "html":
        error = json.loads(seen.body)
        assert error["message"] if caller == "converse" else error["error"]["message"]
        assert ("x-amzn-errortype" in seen.headers) is (caller == "converse")


@pytest.mark.parametrize("caller", CALLERS)
def test_errors_within_streams(caller: str, provider: FakeProvider) -> None:
    first = Seen(provider, caller, "error-first", True).heard
    assert (first.text, first.complete, len(first.errors)) == ("", False, 1)
    within = Seen(provider, caller, "error-within=3", True).heard
    assert (within.text, within.complete, within.errors) == ("1, 2, 3,", False, ["Overloaded"])
    for spec in ("error-first", "error-within"):
        assert b"Overloaded" in Seen(provider, caller, spec, False).body


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("spec", ["broken-frame", "invalid-utf8"])
def test_one_frame_cannot_be_understood(spec: str, caller: str, provider: FakeProvider) -> None:
    seen = Seen(provider, caller, spec, True)
    if caller == "converse":
        buffer = EventStreamBuffer()
        buffer.add_data(seen.body)
        payloads = [event.payload for event in buffer]
    else:
        payloads = [line[6:] for line in seen.body.split(b"\n") if line.startswith(b"data: {")]
    assert [is_json(payload) for payload in payloads].count(False) == 1
    assert len(payloads) > 60
    assert not is_json(Seen(provider, caller, spec, False).body)


@pytest.mark.parametrize("caller", ["chat", "converse"])
def test_frames_beyond_measure(caller: str, provider: FakeProvider) -> None:
    gigantic = Seen(provider, caller, "gigantic-frame=2", True)
    assert len(gigantic.body) > 2 * 1024 * 1024
    assert (gigantic.end, gigantic.body.count(b"padding")) == ("clean", 1)
    endless = Seen(provider, caller, "endless=3", True)
    assert len(endless.body) > 3 * 1024 * 1024
    assert endless.end == "cut"


@pytest.mark.parametrize("stream", [False, True])
def test_a_length_that_is_not_true(stream: bool, provider: FakeProvider) -> None:
    seen = Seen(provider, "chat", "wrong-length=5", stream)
    assert seen.end == "cut"
    assert int(seen.headers["content-length"]) == len(seen.body) + 5


def test_no_terminator_is_missing_only_there(provider: FakeProvider) -> None:
    assert b"[DONE]" not in Seen(provider, "chat", "no-terminator", True).body
    assert b"[DONE]" in Seen(provider, "chat", "drip=9999", True).body
    assert b"message_stop" not in Seen(provider, "messages", "no-terminator", True).body


def test_faults_that_end_count_for_each_model(provider: FakeProvider) -> None:
    statuses = [Seen(provider, "chat", "503-once", False, model).status for model in ("a", "a", "b", "b", "a")]
    assert statuses == [503, 200, 503, 200, 200]
    assert [Seen(provider, "chat", "429-once=2", True, "c").headers.get("retry-after") for _ in "12"] == ["2", None]


def test_down_is_over_after_its_time(provider: FakeProvider) -> None:
    assert Seen(provider, "chat", "down=0.2", False, "d").status == 503
    deadline_s = time.monotonic() + 60
    while Seen(provider, "chat", "down=0.2", False, "d").status != 200:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_prefill_is_refused(provider: FakeProvider) -> None:
    _, body = question("chat", "m", False)
    headers = {"x-fake-fault": "no-prefill"}
    assert wire.call(provider.url, "/v1/chat/completions", body, headers=headers)[0] == 200
    body["messages"].append({"role": "assistant", "content": "1, 2"})
    assert wire.call(provider.url, "/v1/chat/completions", body, headers=headers)[0] == 400


def test_embeddings_have_faults_too(provider: FakeProvider) -> None:
    body = {"model": "e", "input": "Hi"}
    for spec, status in (("503", 503), ("context-length", 400), ("no-prefill", 200), ("drip", 200)):
        assert wire.call(provider.url, "/v1/embeddings", body, headers={"x-fake-fault": spec})[0] == status


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o-fault-stall", "stall"),
        ("gpt-4o-fault-stall=3", "stall=3"),
        ("fault-503-once", "503-once"),
        ("default-model", None),
        ("fault-stall-x/y", None),
    ],
)
def test_the_fault_of_a_models_name(model: str, expected: str | None) -> None:
    assert fault_of_model(model) == expected


def test_a_models_name_brings_its_fault(provider: FakeProvider) -> None:
    path, body = question("chat", "gpt-4o-fault-429=7", False)
    status, headers, _ = wire.call(provider.url, path, body)
    assert (status, headers["retry-after"]) == (429, "7")
    path, body = question("chat", "gpt-4o-fault-nonsense", False)
    status, _, said = wire.call(provider.url, path, body)
    assert (status, "no fault" in said.decode()) == (400, True)


@pytest.mark.parametrize("spec", ["", "nonsense", "stall=", "stall=x", "stall=-1", "200", "600", "STALL"])
def test_what_is_no_fault(spec: str) -> None:
    with pytest.raises(BadRequest, match="is no fault"):
        fault_named(spec)


def test_every_fault_is_tested() -> None:
    tested = {spec.partition("=")[0] for spec in (*STREAMED, *INSTEAD)}
    others = {"error-first", "error-within", "broken-frame", "invalid-utf8", "gigantic-frame", "endless"}
    assert set(FAULTS) <= tested | others | {"wrong-length", "no-prefill"}


# What the server itself refuses.


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(300)) + b"\r\n", 431),
        (b"POST /" + b"x" * 300_000, 431),
        (b"POST /v1/none HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 404),
        (b"POST /v1/none HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n", 100),
        (b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: 2\r\n\r\n[]", 400),
    ],
    ids=["no HTTP", "many headers", "a long line", "chunks", "expects", "no object"],
)
def test_bad_requests_get_a_status(sent: bytes, status: int, provider: FakeProvider) -> None:
    with socket.create_connection(("127.0.0.1", provider.port), timeout=60) as connection:
        with suppress(ConnectionError):
            connection.sendall(sent)
        assert connection.recv(65536).startswith(b"HTTP/1.1 %d " % status)
    assert wire.call(provider.url, "/health")[0] == 200
