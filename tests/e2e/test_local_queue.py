"""Two real models behind one slot each, a second Wye before them: who waits, who overtakes, who leaves, who is away."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.e2e.conftest import MODEL, QWEN, Served, serve
from wye.testing.server import WyeServer

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

ALIAS = "phi-4"
_TICKS = os.sysconf("SC_CLK_TCK")


class Far:
    """A `wye serve` that can be ended and started again at the same address."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        self._running: Iterator[Served] | None = None
        self.start()

    def start(self) -> None:
        self._running = serve(self.home, "--port", self.port)
        self.served = next(self._running)

    def stop(self) -> None:
        if self._running is not None:
            next(self._running, None)
            self._running = None

    @property
    def url(self) -> str:
        return self.served.url


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, two_models: Path) -> Iterator[Far]:
    home = tmp_path_factory.mktemp("far")
    local: dict[str, Any] = {
        "models_dir": str(two_models),
        "preload": [MODEL, QWEN],
        "aliases": {ALIAS: QWEN},
        "files": {"third": str(two_models / f"{QWEN}.gguf")},
        "max_concurrent": 1,
        "queue_strategy": "priority",
        "context_length": 1024,
        "memory_limit_gb": 1.0,
    }
    (home / "wye.yaml").write_text(json.dumps({"local": local}))
    far = Far(home)
    yield far
    far.stop()


@pytest.fixture(scope="module")
def near(far: Far) -> Iterator[WyeServer]:
    inference = {"kind": "wye", "base_url": f"{far.url}/v1"}
    with WyeServer({"local": {"enabled": False}, "providers": {"inference": inference}}) as server:
        yield server


def ask(url: str, model: str, tokens: int = 3, **more: Any) -> tuple[int, dict[str, str], Any]:
    asked = {"messages": [{"role": "user", "content": "Count from 1 to 9."}], "temperature": 0}
    body = {"model": model, "max_tokens": tokens, **asked, **more}
    status, headers, answer = wire.call(url, "/v1/chat/completions", body)
    return status, headers, json.loads(answer)


def stream(port: str) -> socket.socket:
    """A caller in the midst of a long answer."""
    caller = socket.create_connection(("127.0.0.1", int(port)), timeout=30)
    never_ends = {"0": -100, "2": -100}  # the tokens that would end its answer
    body = json.dumps(wire.ask(stream=True, model=MODEL) | {"max_tokens": 900, "logit_bias": never_ends})
    caller.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body.encode())
    )
    seen = b""
    while seen.count(b"data: ") < 3:
        seen += caller.recv(65_536)
    return caller


def cpu_s(parent: int) -> float:
    """What the engine's processes of a server have computed."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent:
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def test_two_models_are_loaded_together_and_a_third_has_no_room(far: Far) -> None:
    listed = {model["id"]: model for model in json.loads(wire.call(far.url, "/v1/models")[2])["data"]}
    assert [listed[name]["status"] for name in (MODEL, QWEN, ALIAS)] == ["loaded"] * 3
    assert (listed[QWEN]["context_length"], listed[QWEN]["roles"]) == (1024, ["coder"])
    assert 450 < listed[QWEN]["memory_mb"] < 700
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda model: ask(far.url, model), (MODEL, QWEN, ALIAS)))
    assert [status for status, *_ in answers] == [200] * 3
    status, _, body = wire.call(far.url, "/v1/models/third/load", b"")
    message = json.loads(body)["error"]["message"]
    assert status == 507
    assert f"unload {MODEL} (0." in message
    assert "of 1.0 GB are in use" in message


def test_ten_wait_for_one_slot_in_order_the_urgent_before_the_others_and_one_more_is_refused(far: Far) -> None:
    finished: list[str] = []

    def wait(name: str, priority: int) -> tuple[int, dict[str, str], Any]:
        answer = ask(far.url, MODEL, priority=priority)
        finished.append(name)
        return answer

    with ThreadPoolExecutor(12) as pool, closing(stream(far.port)) as held:
        waiting: list[Future[tuple[int, dict[str, str], Any]]] = []
        for priority in (1, 3):
            for i in range(5):
                waiting.append(pool.submit(wait, f"{priority}.{i}", priority))
                time.sleep(0.05)  # on a connection of its own: who comes first is first in the queue
        status, headers, body = ask(far.url, MODEL, priority=3)
        assert (status, headers["retry-after"]) == (503, "5")
        assert (body["error"]["max_concurrent"], body["error"]["queue_max_size"]) == (1, 10)
        held.close()
        answers = [future.result(60) for future in waiting]
    assert finished == [f"{priority}.{i}" for priority in (3, 1) for i in range(5)]
    assert [status for status, *_ in answers] == [200] * 10
    assert [headers["x-queue-position"] for _, headers, _ in answers] == [*"12345", *"12345"]


def test_who_leaves_frees_the_slot_and_the_processor(far: Far) -> None:
    pid = far.served.process.pid
    caller = stream(far.port)
    before_s = cpu_s(pid)
    time.sleep(0.5)
    busy_s = cpu_s(pid) - before_s
    assert busy_s > 0.05, "it computes while somebody listens"
    caller.close()

    def rests() -> bool:
        before_s = cpu_s(pid)
        time.sleep(0.5)
        return cpu_s(pid) - before_s < busy_s / 4

    wire.until(rests, 10)  # to its end the answer would take longer
    _, headers, _ = ask(far.url, MODEL, tokens=1)
    assert "x-queue-position" not in headers


def test_an_alias_answers_through_another_wye_which_serves_who_waits_ends_and_comes_back(
    far: Far, near: WyeServer
) -> None:
    status, headers, body = ask(near.url, f"inference:{ALIAS}", priority=3)
    assert (status, headers["x-wye-deployment"]) == (200, f"inference/{ALIAS}")
    assert body["choices"][0]["message"]["content"]
    assert ask(near.url, "inference:nobody")[0] == 404
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(ask, near.url, f"inference:{MODEL}", 20) for _ in range(3)]
        # Or some are over already, where this process stood still.
        wire.until(
            lambda: (
                any(future.done() for future in waiting) or json.loads(wire.call(far.url, "/stats")[2])["running"] == 3
            )
        )
        far.stop()
        assert [future.result(30)[0] for future in waiting] == [200] * 3
    status, _, body = ask(near.url, f"inference:{ALIAS}")
    assert status == 503
    assert "The Wye 'inference' at" in body["error"]["message"]
    far.start()
    assert ask(near.url, f"inference:{ALIAS}")[0] == 200
