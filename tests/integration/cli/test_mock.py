"""`wye mock` as a process: what it says, what it is told, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest

from tests import wire
from tests.integration.cli.conftest import Run, Serve, says
from wye.cli.mock import greeting
from wye.testing.fake_provider import FakeProvider
from wye.testing.faults import FAULTS

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is 2+2?"}]}


def text_of(url: str, body: dict[str, object] = ASK) -> str:
    status, _, answer = wire.call(url, "/v1/chat/completions", body)
    assert status == 200, answer
    return json.loads(answer)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_what_can_be_asked_and_ends_when_it_is_told(number: int, mock: Serve) -> None:
    server = mock()
    assert server.greeting == greeting(server.url, keyed=False)
    assert text_of(server.url) == "4"
    assert server.stop(number) == (0, "")


def test_it_does_what_it_is_told(mock: Serve, folder: Path) -> None:
    Path("script.yaml").write_text("- when: hello\n  say: Hi!\n- model: flaky\n  fault: 503-once\n")
    options = ("--script", "script.yaml", "--tag", "one", "--rpm", "100", "--tokens-per-s", "1000", "--latency", "0.01")
    server = mock(*options)
    assert text_of(server.url, {**ASK, "messages": [{"role": "user", "content": "hello"}]}) == "Hi!"
    flaky = {**ASK, "model": "flaky"}
    assert [wire.call(server.url, "/v1/chat/completions", flaky)[0] for _ in range(2)] == [503, 200]
    log = json.loads(wire.call(server.url, "/__log")[2])
    assert (log["instance"], log["counters"]["fault:503-once"]) == ("one", 2)
    broken = mock("--fault", "429", "--api-key", "sk-1")
    assert "API key   as given" in "\n".join(broken.greeting)
    for key, status in (("sk-1", 429), ("sk-2", 401)):
        assert (
            wire.call(broken.url, "/v1/chat/completions", ASK, headers={"authorization": f"Bearer {key}"})[0] == status
        )


def test_its_faults_are_listed(here: Run) -> None:
    done = here("mock", "--faults")
    assert done.returncode == 0
    assert all(f"\n{name} " in done.stdout for name in FAULTS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fault", "nonsense"), ["'nonsense' is no fault", "stall"]),
        (("--script", "none.yaml"), ["none.yaml", "No such file"]),
        (("--script", "bad.yaml"), ["bad.yaml", "unknown field `wen`"]),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], words: list[str], here: Run) -> None:
    Path("bad.yaml").write_text("- wen: x\n")
    says(here("mock", *arguments), *words)


def test_a_port_that_is_taken_is_said(here: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        says(here("mock", "--port", port), f"cannot listen on port {port}", "--port")


def test_a_session_is_recorded_and_replayed(mock: Serve, folder: Path) -> None:
    with FakeProvider() as real:
        recorder = mock("--record", "c.yaml", "--to", f"{real.url}/v1")
        assert recorder.greeting[0] == f"The cassette on {recorder.url} records {real.url}/v1"
        assert text_of(recorder.url) == "4"
        assert recorder.stop() == (0, "")
    replayer = mock("--replay", "c.yaml")
    assert text_of(replayer.url) == "4"
    status, _, said = wire.call(replayer.url, "/v1/chat/completions", {**ASK, "model": "x"})
    assert (status, b'model: recorded \\"gpt-4o\\", asked \\"x\\"' in said) == (400, True)


@pytest.mark.parametrize(
    "arguments", [("--record", "c.yaml"), ("--to", "http://x"), ("--record", "c", "--replay", "d", "--to", "x")]
)
def test_a_recording_needs_its_server(arguments: tuple[str, ...], here: Run) -> None:
    says(here("mock", *arguments), "--record FILE needs --to URL")
