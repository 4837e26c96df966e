"""`wye serve --workers`: several processes, one server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import wire
from tests.flow.test_cache import body_of, text_of
from tests.integration.cli.conftest import Run, Serve, Started, says
from tests.integration.cli.test_serve import begin_stream, is_let_in
from wye.testing.fake import event_stream
from wye.testing.fake_provider import FakeProvider


@pytest.fixture
def upstreams() -> Iterator[list[FakeProvider]]:
    with FakeProvider() as one, FakeProvider() as two, FakeProvider() as three:
        yield [one, two, three]


def configure(upstreams: list[FakeProvider], redis_url: str | None = None, **route: object) -> None:
    providers = {
        f"up{i}": {"kind": "openai", "base_url": f"{fake.url}/v1", "api_key": "sk-up"}
        for i, fake in enumerate(upstreams)
    }
    deployments = [{"provider": name, "model": "x", "weight": int(name != "up2")} for name in providers]
    config = {
        "local": {"enabled": False},
        "providers": providers,
        "routes": {"m": {"deployments": deployments, **route}},
        "redis": {"url": redis_url},
    }
    Path("wye.yaml").write_text(json.dumps(config))  # JSON is YAML


def children_of(server: Started) -> list[int]:
    """In the order of their start; the first keeps what the others share."""
    told = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    processes = [line.split() for line in told.splitlines()]
    return sorted(
        int(pid) for pid, parent, state in processes if int(parent) == server.process.pid and not state.startswith("Z")
    )


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def ask(server: Started, dialect: str, *, stream: bool, **more: int) -> tuple[str, bytes]:
    """The cache's word and the answer."""
    path, body = body_of(dialect, stream=stream, **more)
    status, headers, answer = wire.call(server.url, path, body)
    assert status == 200, answer
    return headers["x-wye-cache"], answer


def answers(server: Started) -> bool:
    return wire.call(server.url, "/v1/chat/completions", wire.ask())[0] == 200


def test_the_greeting_is_said_once(serve: Serve, upstreams: list[FakeProvider]) -> None:
    configure(upstreams)
    server = serve("--workers", "2")
    assert server.greeting[3] == "  workers   2"
    assert is_let_in(server.url)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.communicate(timeout=30) == ("", "")
    assert server.process.returncode == 0


def test_weights_hold_over_all_workers(serve: Serve, upstreams: list[FakeProvider]) -> None:
    configure(upstreams)
    server = serve("--workers", "2")
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: answers(server), range(600)))
    asked = [len(upstream.requests) for upstream in upstreams]
    assert sum(asked) == 600
    assert asked[2] == 0
    assert abs(asked[0] - 300) <= 12


@pytest.mark.parametrize("store", ["socket", "redis"])
def test_fifty_at_once_make_one_call(
    store: str, serve: Serve, upstreams: list[FakeProvider], request: pytest.FixtureRequest
) -> None:
    slowly = [part for piece in wire.OPENAI_STREAM for part in (piece, 0.2)]
    upstreams[0].script = lambda _: event_stream(slowly)
    configure(upstreams[:1], request.getfixturevalue("redis_url") if store == "redis" else None, cache={})
    server = serve("--workers", "2")
    until(lambda: len(children_of(server)) == (3 if store == "socket" else 2))
    with ThreadPoolExecutor(50) as pool:
        told = list(pool.map(lambda _: ask(server, "chat", stream=True), range(50)))
    assert len(upstreams[0].requests) == 1
    assert {text_of("chat", answer) for _, answer in told} == {"Hello there"}
    words = Counter(word for word, _ in told)
    assert words["miss"] == 1
    assert words["join"] + words["hit"] == 49
    assert [ask(server, "chat", stream=False)[0] for _ in range(20)] == ["hit"] * 20


def test_a_worker_that_is_killed_is_replaced(serve: Serve, upstreams: list[FakeProvider]) -> None:
    configure(upstreams[:1])
    server = serve("--workers", "2")
    until(lambda: len(children_of(server)) == 3)
    before = children_of(server)
    os.kill(before[1], signal.SIGKILL)
    until(lambda: before[1] not in children_of(server))
    assert all(answers(server) for _ in range(20))
    until(lambda: len(children_of(server)) == 3)
    assert all(answers(server) for _ in range(20))
    status, logged = server.stop()
    assert status == 0
    assert f"The worker {before[1]} has ended (SIGKILL); another is started" in logged


def test_without_what_they_share_they_answer_and_it_comes_back(serve: Serve, upstreams: list[FakeProvider]) -> None:
    configure(upstreams[:1], cache={})
    server = serve("--workers", "2")
    assert ask(server, "chat", stream=False)[0] == "miss"
    until(lambda: len(children_of(server)) == 3)
    os.kill(children_of(server)[0], signal.SIGKILL)
    assert all(ask(server, "chat", stream=False, seed=seed)[0] in {"miss", "hit"} for seed in range(10))
    until(lambda: not json.loads(wire.call(server.url, "/health")[2])["checks"])
    until(lambda: ask(server, "chat", stream=False, seed=-1)[0] == "hit")
    assert server.stop()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_answers_finish_and_new_callers_are_refused(
    number: int, serve: Serve, upstreams: list[FakeProvider]
) -> None:
    upstreams[0].script = lambda _: event_stream([*wire.OPENAI_STREAM[:2], 1.5, *wire.OPENAI_STREAM[2:]])
    configure(upstreams[:1])
    server = serve("--workers", "2")
    streams = [begin_stream(server.url) for _ in range(8)]
    server.process.send_signal(number)
    until(lambda: not is_let_in(server.url))
    assert all(stream.read().endswith(wire.DONE) for stream in streams)
    _, logged = server.process.communicate(timeout=30)
    assert (server.process.returncode, logged) == (0, "")


def test_when_the_parent_is_gone_so_are_all(serve: Serve, upstreams: list[FakeProvider]) -> None:
    configure(upstreams)
    server = serve("--workers", "2")
    assert is_let_in(server.url)
    server.process.kill()
    until(lambda: not is_let_in(server.url))


def test_workers_that_cannot_stay_alive_end_the_server(serve: Serve, upstreams: list[FakeProvider]) -> None:
    configure(upstreams)
    server = serve("--workers", "2")

    def kill_one() -> bool:
        for pid in children_of(server)[1:2]:
            os.kill(pid, signal.SIGKILL)
        return server.process.poll() is not None

    until(kill_one)
    _, logged = server.process.communicate(timeout=30)
    assert server.process.returncode == 1
    assert "wye: The workers keep ending (the last with SIGKILL): 10 times within 60 s." in logged


def test_no_workers_are_refused(here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "wye.yaml").write_text("server: {workers: 0}\n")
    says(here("serve"), "server.workers", "1 or more")
    monkeypatch.delattr(os, "fork")
    says(here("serve", "--workers", "2"), "fork", "start with 1")


def test_limits_hold_over_all_workers(serve: Serve, upstreams: list[FakeProvider]) -> None:
    configure(upstreams[:1])
    written = json.loads(Path("wye.yaml").read_text())
    Path("wye.yaml").write_text(json.dumps({**written, "limits": {"requests_per_minute": 5}}))
    server = serve("--workers", "2")
    until(lambda: len(children_of(server)) == 3)
    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(lambda _: answers(server), range(60))) == {True: 5, False: 55}


@pytest.mark.parametrize("store", ["socket", "redis"])
def test_any_worker_tells_the_figures_of_all(
    store: str, serve: Serve, upstreams: list[FakeProvider], request: pytest.FixtureRequest
) -> None:
    configure(upstreams[:1], request.getfixturevalue("redis_url") if store == "redis" else None)
    server = serve("--workers", "3")
    until(lambda: json.loads(wire.call(server.url, "/stats")[2])["workers"] == 3)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: answers(server), range(60)))

    def all_are_told() -> bool:
        """By whichever worker is asked; a worker that stands still for a second is missing for once."""
        stats = json.loads(wire.call(server.url, "/stats")[2])
        figures = (stats["workers"], stats["running"], stats["routes"]["m"]["deployments"][0]["requests"])
        metrics = wire.call(server.url, "/metrics")[2]
        return figures == (3, 0, 60) and b'wye_requests_total{deployment="up0/x"} 60.0' in metrics

    until(lambda: all(all_are_told() for _ in range(6)))
