"""Starting the parties of a run, and reading off what a process and its descendants have used."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.relay.load import Load, Result

ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class RunFailed(Exception):
    """The benchmark cannot be trusted or cannot go on; the message is for people."""


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    pids = [pid]
    for parent in pids:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            pids += map(int, children.read_text().split())
    return pids


def cpu_s(pid: int) -> float:
    """User and system CPU of a process tree so far, in seconds: all threads, and children that have ended.

    Of those that run it is exact: their clocks tell in nanoseconds what `/proc/PID/stat` tells in ticks of 10 ms.
    """
    seconds = 0.0
    for each in tree(pid):
        seconds += time.clock_gettime(_cpu_clock(each))
        # The name before ")" may hold spaces; cutime and cstime are fields 16 and 17 of proc(5).
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        seconds += sum(map(int, fields[13:15])) / _TICKS_PER_S
    return seconds


def _cpu_clock(pid: int) -> int:
    """What clock_getcpuclockid(3) gives for a process on Linux."""
    return (~pid << 3) | 2


def rss_bytes(pid: int) -> int:
    """Resident memory of a process tree."""
    kib = 0
    for each in tree(pid):
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{each}/status").read_text(), re.MULTILINE)
        kib += int(found[1]) if found else 0
    return kib * 1024


@contextlib.contextmanager
def running(command: list[str], log: Path, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block; what it says goes to `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment()
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment() -> dict[str, str]:
    """Nothing of the caller's own settings: keys and proxies would change what is measured."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers, whatever it says: a socket can listen before there is anybody behind it.

    Raises RunFailed with the end of the log.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        probe = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(probe), contextlib.suppress(OSError, http.client.HTTPException):
            probe.request("GET", "/health")
            probe.getresponse().read()
            return
        time.sleep(0.05)
    raise RunFailed(f"{' '.join(map(str, process.args))} does not answer on port {port}:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def mock_upstream() -> Iterator[int]:
    """The port of a running mock upstream."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.relay.mock_upstream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    with process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def run_load(load: Load) -> Result:
    """One run of the load generator in a process of its own. Raises RunFailed when any answer was wrong."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.relay.load", json.dumps(asdict(load))],
        capture_output=True,
        env=environment(),
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RunFailed(f"the load generator failed:\n{done.stderr.decode()[-2000:]}")
    result = Result(**json.loads(done.stdout))
    if result.errors:
        raise RunFailed(f"{result.errors} of {load.requests} answers were wrong; the first: {result.first_error}")
    return result
