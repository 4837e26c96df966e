"""`wye serve` as a process: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import wire
from tests.integration.cli.conftest import Run, Serve, says
from wye import __version__
from wye.cli.serve import greeting
from wye.config.load import config_from
from wye.testing.fake import FakeUpstream, event_stream, json_body

NO_LOCAL = "local: {enabled: false}\n"
KEY = "sk-a-very-secret-key"


def configure(upstream: FakeUpstream, **server: object) -> None:
    provider = {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": KEY}
    route = {"deployments": [{"provider": "up", "model": "x"}]}
    config = {"local": {"enabled": False}, "providers": {"up": provider}, "routes": {"m": route}, "server": server}
    Path("wye.yaml").write_text(json.dumps(config))  # JSON is YAML


def begin_stream(url: str) -> http.client.HTTPResponse:
    """A stream whose first content has come."""
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request("POST", "/v1/chat/completions", json.dumps(wire.ask(stream=True)))
    response = connection.getresponse()
    while b"Hel" not in response.readline():
        pass
    return response


def is_let_in(url: str) -> bool:
    try:
        return wire.call(url, "/health")[0] == 200
    except OSError:
        return False


def test_it_says_in_a_few_lines_what_it_offers(serve: Serve) -> None:
    server = serve()
    url = server.url
    assert server.greeting == [
        f"Wye listens on {url}",
        "  models    smollm2-135m-instruct, bge-small-en-v1.5, ms-marco-minilm-l12-v2",
        "  API key   not needed",
        f"  OpenAI    base_url={url}/v1",
        f"  Anthropic base_url={url}",
        f"  pages     {url}/docs  {url}/health",
    ]
    assert wire.call(url, "/health")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_well_when_nothing_runs(number: int, serve: Serve, folder: Path) -> None:
    (folder / "wye.yaml").write_text(NO_LOCAL)
    server = serve()
    assert wire.call(server.url, "/health")[0] == 200
    began = time.monotonic()
    assert server.stop(number) == (0, "")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_answers_are_finished_before_it_ends(number: int, serve: Serve, folder: Path) -> None:
    pieces = [wire.OPENAI_ROLE, wire.OPENAI_TEXT[0], 1.0, *wire.OPENAI_STREAM[2:]]
    with FakeUpstream(lambda _: event_stream(pieces)) as upstream:
        configure(upstream)
        server = serve()
        streams = [begin_stream(server.url) for _ in range(5)]
        server.process.send_signal(number)
        for stream in streams:
            assert stream.read().endswith(wire.DONE)
        _, logged = server.process.communicate(timeout=30)
    assert (server.process.returncode, logged) == (0, "")


def test_answers_that_take_longer_than_the_grace_are_cut_and_do_not_look_complete(serve: Serve, folder: Path) -> None:
    with FakeUpstream(lambda _: event_stream([*wire.OPENAI_STREAM[:2], 60.0, wire.DONE])) as upstream:
        configure(upstream, grace_s=0.5)
        server = serve()
        stream = begin_stream(server.url)
        began = time.monotonic()
        status, _ = server.stop()
        assert status == 0
        assert time.monotonic() - began < 30
        told = stream.read()
        assert b'"error"' in told
        assert wire.DONE not in told


def test_while_it_ends_no_new_caller_is_let_in(serve: Serve, folder: Path) -> None:
    with FakeUpstream(lambda _: event_stream([*wire.OPENAI_STREAM[:2], 1.0, *wire.OPENAI_STREAM[2:]])) as upstream:
        configure(upstream)
        server = serve()
        stream = begin_stream(server.url)
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while is_let_in(server.url):
            assert time.monotonic() < deadline
        assert stream.read().endswith(wire.DONE)


def test_a_port_in_use_is_one_clear_line(run: Run, here: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for done in (run("serve", "--port", str(port)), here("serve", "--port", str(port))):
            says(done, f"127.0.0.1:{port}", "in use", "--port")
            assert done.stderr.count("\n") == 1
            assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], ["0.0.0.0", "API_KEY", "allow_open"]),
        (["--host", "::"], ["API_KEY"]),
        (["--host", "example.invalid"], ["API_KEY"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml", "--config"]),
        (["--env-file", "nowhere.env"], ["nowhere.env", "--env-file"]),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(arguments: list[str], words: list[str], here: Run) -> None:
    says(here("serve", *arguments), *words)


def test_a_host_that_does_not_exist_is_one_clear_line(here: Run) -> None:
    says(here("serve", "--host", "nowhere.invalid", API_KEY=KEY), "nowhere.invalid:8000", "--host")


def test_with_a_key_it_listens_everywhere(serve: Serve, folder: Path) -> None:
    (folder / "wye.yaml").write_text(NO_LOCAL)
    server = serve("--host", "0.0.0.0", API_KEY=KEY)
    assert "  API key   needed" in server.greeting
    assert KEY not in "\n".join(server.greeting)
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    assert wire.call(url, "/v1/models")[0] == 401
    assert wire.call(url, "/v1/models", headers={"x-api-key": KEY})[0] == 200
    assert server.stop() == (0, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server:\n  prot: 80\n", ["wye.yaml:2", "server.prot", "did you mean 'port'?"]),
        ("server:\n  port: high\n", ["wye.yaml:2", "server.port"]),
        ("a: [\n", ["wye.yaml:", "not valid YAML"]),
        ("server:\n\n  api_key: ${NOT_SET}\n", ["NOT_SET", "wye.yaml:3"]),
        ("routes:\n  m:\n    deployments: []\n", ["wye.yaml:3", "at least one deployment"]),
        ("local:\n  files: {mine: nowhere.gguf}\n", ["nowhere.gguf"]),
        ("server: {port: 70000}\n", ["70000"]),
    ],
)
def test_a_wrong_configuration_names_the_line(text: str, words: list[str], here: Run, folder: Path) -> None:
    (folder / "wye.yaml").write_text(text)
    says(here("serve"), *words)


def test_a_wrong_configuration_ends_the_process(run: Run, folder: Path) -> None:
    (folder / "wye.yaml").write_text("server:\n  prot: 80\n")
    says(run("serve"), "wye.yaml:2")


@pytest.mark.parametrize("level", ["debug", "error"])
def test_the_log_level_is_kept_and_no_key_is_logged(level: str, serve: Serve, folder: Path) -> None:
    with FakeUpstream(lambda _: json_body({"error": {"message": "boom"}}, 500)) as upstream:
        configure(upstream, api_key="k-of-this-server")
        server = serve("--log-level", level)
        headers = {"authorization": "Bearer k-of-this-server"}
        assert wire.call(server.url, "/v1/chat/completions", wire.ask(), headers=headers)[0] == 500
        _, logged = server.stop()
    assert ("boom" in logged) is (level == "debug")
    assert KEY not in logged
    assert "k-of-this-server" not in logged


def test_a_wrong_option_is_a_matter_of_usage(here: Run) -> None:
    for arguments in (["--port", "70000"], ["--log-level", "loud"], ["--nonsense"]):
        done = here("serve", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("Usage: wye serve")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["serve", "--help"]])
def test_help_is_instant_and_imports_nothing_heavy(arguments: list[str], folder: Path) -> None:
    """Under 0.3 s of CPU, the interpreter's own start included."""
    code = (
        f"import sys, time; from wye.cli import main; sys.argv[1:] = {arguments}\n"
        "try: main()\n"
        "finally: print(time.process_time(), sorted({'uvicorn', 'uvloop', 'starlette', 'rich', 'xllamacpp', 'asyncio'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    spent = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds, heavy = done.stderr.split(" ", 1)
        assert heavy.strip() == "[]"
        assert done.stdout
        spent.append(float(seconds))
    assert min(spent) < 0.3


def test_help_lists_every_command_and_version_is_the_packages(here: Run) -> None:
    told = here("--help").stdout
    assert all(name in told for name in ("serve", "models", "check"))
    assert here("--version").stdout == f"wye, version {__version__}\n"
    assert here("nonsense").returncode == 2


def test_the_greeting_is_short_however_many_models_there_are() -> None:
    config = config_from({"server": {"host": "::1", "api_key": "k"}})
    lines = greeting(config, 8123, [f"m{i}" for i in range(9)])
    assert lines[0] == "Wye listens on http://[::1]:8123"
    assert lines[1] == "  models    m0, m1, m2, m3, m4, m5 and 3 more"
    assert "configure a route" in greeting(config, 1, [])[1]


@pytest.fixture
def quiet_process() -> Iterator[None]:
    """What a server changes in its process is put back."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for number, action in signals.items():
        signal.signal(number, action)
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.usefixtures("quiet_process")
def test_within_one_process_it_serves_until_it_is_told_to_stop(here: Run, folder: Path) -> None:
    (folder / "wye.yaml").write_text(NO_LOCAL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    statuses: list[int] = []

    def visit() -> None:
        deadline = time.monotonic() + 60
        while not statuses and time.monotonic() < deadline:
            try:
                statuses.append(wire.call(f"http://127.0.0.1:{port}", "/health")[0])
            except OSError:
                time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    visitor = threading.Thread(target=visit)
    visitor.start()
    done = here("serve", "--host", "localhost", "--port", str(port))
    visitor.join()
    assert (done.returncode, statuses) == (0, [200])
    assert done.stdout.startswith(f"Wye listens on http://localhost:{port}\n")


@pytest.mark.usefixtures("quiet_process")
def test_a_start_that_fails_ends_with_the_reason(
    here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from wye import wiring

    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def models(self) -> list[object]:
            return []

        async def start(self) -> None:
            raise RuntimeError("the engine is out of order")

        async def close(self) -> None:
            pass

    monkeypatch.setattr(wiring, "LlamaCppEngine", Broken)
    assert here("serve", "--port", "0").returncode != 0
    assert "the engine is out of order" in caplog.text


def models_of(url: str) -> list[str]:
    return [model["id"] for model in json.loads(wire.call(url, "/v1/models")[2])["data"]]


def test_a_changed_configuration_is_served_without_a_new_start(serve: Serve, folder: Path) -> None:
    def written(**more: object) -> None:
        route = {"deployments": [{"provider": "openai", "model": "x"}]}
        Path("wye.yaml").write_text(json.dumps({"local": {"enabled": False}, "routes": {"m": route}, **more}))

    def until(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < deadline, "it was not seen in time"
            time.sleep(0.05)

    written()
    server = serve("--reload")
    assert models_of(server.url) == ["m"]
    written(routes={"n": {"deployments": [{"provider": "openai", "model": "x"}]}})
    until(lambda: models_of(server.url) == ["n"])
    written(routes={"n": {"deployments": [{"provider": "nobody", "model": "x"}]}})
    time.sleep(1.2)
    assert models_of(server.url) == ["n"], "what is not good is not served"
    written(server={"api_key": KEY}, default_model="m")
    until(lambda: wire.call(server.url, "/v1/models")[0] == 401)
    status, logged = server.stop()
    assert status == 0
    assert "The changed configuration is not used" in logged
    assert KEY not in logged


def test_reload_is_for_one_process(here: Run) -> None:
    says(here("serve", "--reload", "--workers", "2"), "--reload is for one process")
