"""What a child process does to itself."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize("already", [None, 10**12, 2 * 10**8])
def test_what_would_take_more_memory_fails(already: int | None) -> None:
    """Whether nothing, a higher or a lower limit is set already."""
    code = (
        "import resource; from wye.processes.inside import limit_memory; "
        f"already = {already}; already and resource.setrlimit(resource.RLIMIT_DATA, (already, already)); "
        "limit_memory(4 * 10**8); small = bytearray(10**8)\n"
        "try: large = bytearray(5 * 10**8)\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


DEAF = (
    "import sys, ctypes; from wye.processes.inside import end_with_input; {first}; end_with_input(0); "
    "print('watched', flush=True); ctypes.PyDLL(None).sleep(30)"
)
"""A process in which no Python runs for half a minute, as while a model loads."""


@pytest.mark.skipif(sys.platform != "linux", reason="the signal is ignored by default elsewhere")
def test_the_end_of_its_input_ends_a_child_that_is_busy() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", DEAF.format(first="pass")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"watched\n"
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(10) == -signal.SIGIO
    child.stdout.close()


def test_an_input_that_has_ended_before_it_is_watched_ends_the_child() -> None:
    code = DEAF.format(first="sys.stdin.buffer.read()")
    done = subprocess.run([sys.executable, "-c", code], input=b"", stdout=subprocess.PIPE, timeout=60, check=True)
    assert done.stdout == b""
