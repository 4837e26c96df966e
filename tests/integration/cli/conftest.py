"""The command line as a person runs it: processes of their own, in a folder of their own, with nothing inherited."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from wye.cli import main
from wye.testing.fake_provider import FakeProvider

DEADLINE_S = 60


class Started:
    """A running `wye serve` (or another command that serves), and what it has said, up to the line with `last`."""

    def __init__(self, process: subprocess.Popen[str], last: str = "pages") -> None:
        self.process = process
        assert process.stdout is not None
        self.greeting: list[str] = []
        while line := process.stdout.readline():
            self.greeting.append(line.rstrip())
            if last in line:
                break
        assert self.greeting, f"it did not start: {process.communicate()}"
        found = re.search(r"http://\S+", self.greeting[0])
        assert found, self.greeting
        self.url = found[0]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Ask it to stop; its exit status, and what it logged."""
        self.process.send_signal(number)
        _, logged = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, logged


Run = Callable[..., subprocess.CompletedProcess[str]]
Serve = Callable[..., Started]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without any key, proxy or setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if re.search(r"KEY|PROXY|proxy|WYE|AWS|LOG_LEVEL|DEFAULT_MODEL", name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WYE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """`run("check", API_KEY="k")`: a command in a process of its own, to its end."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "wye", *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env={**os.environ, **environment},
            check=False,
        )

    return run


@pytest.fixture
def here(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same within this process, where coverage sees it."""

    def here(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["wye", *arguments])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), told.out, told.err)

    return here


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """`serve("--host", "127.0.0.1")`: a server on a free port, stopped at the end of the test."""
    with started("serve", "pages") as serve:
        yield serve


@pytest.fixture
def mock(folder: Path) -> Iterator[Serve]:
    """`mock("--tag", "one")`: the same for `wye mock`."""
    with started("mock", "log") as mock:
        yield mock


@contextmanager
def started(command: str, last: str) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> Started:
            process = subprocess.Popen(
                [sys.executable, "-m", "wye", command, "--port", "0", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **environment},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            too_late = threading.Timer(DEADLINE_S, process.kill)
            too_late.start()
            stack.callback(too_late.cancel)
            return Started(process, last)

        yield start


def says(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command failed with one clear message, and with no traceback."""
    assert done.returncode == 1, done
    assert done.stderr.startswith("wye: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture
def upstream(fake_provider: FakeProvider) -> FakeProvider:
    """One whose answers all cost the same."""
    fake_provider.when(input_tokens=11, output_tokens=3)
    return fake_provider
