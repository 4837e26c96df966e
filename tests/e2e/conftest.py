"""A real server process with the model in the box, as a person starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import wire

MODEL = "smollm2-135m-instruct"
QWEN = "qwen2.5-coder-0.5b"
_START_S = 90


class Served:
    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def engine_pid(self) -> int:
        """The child process that holds the model."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == self.process.pid and "llama_cpp" in (stat.parent / "cmdline").read_text():
                    return int(stat.parent.name)
            except (FileNotFoundError, ProcessLookupError):
                continue
        raise AssertionError("the server has no engine process")


def serve(home: Path, *options: str) -> Iterator[Served]:
    """A server in a folder of its own, until the generator is closed."""
    environment = {k: v for k, v in os.environ.items() if "KEY" not in k} | {"WYE_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "wye", "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=home,
        env=environment,
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found, "the first line says where it listens"
    served = Served(process, found[0])
    deadline = time.monotonic() + _START_S
    while wire.call(served.url, "/health/ready")[0] != 200:
        assert time.monotonic() < deadline, "the model was not ready in time"
        time.sleep(0.1)
    yield served
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def served_two(tmp_path_factory: pytest.TempPathFactory, two_models: Path) -> Iterator[Served]:
    """The same with two models loaded together, and one of them under another name."""
    home = tmp_path_factory.mktemp("home")
    local = {"models_dir": str(two_models), "preload": [MODEL, QWEN], "aliases": {"phi-4": QWEN}}
    (home / "wye.yaml").write_text(json.dumps({"local": local, "orchestration": {"max_rounds": 1}}))
    yield from serve(home)
