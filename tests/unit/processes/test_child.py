"""Child processes that answer, and that do not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wye.processes import child as module
from wye.processes.child import Child, ChildEnded

ROOT = str(Path(__file__).parents[3])


@pytest.fixture
async def child(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Child]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([ROOT, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    child = Child("tests.unit.processes.talker:main")
    yield child
    await child.kill()


async def ask(child: Child, message: bytes) -> list[bytes]:
    return [frame async for frame in child.ask(message)]


async def test_it_answers_message_after_message(child: Child) -> None:
    await child.start(b"")
    assert await ask(child, b"a bc d") == [b"a", b"bc", b"d"]
    assert await ask(child, b"") == []
    assert await ask(child, b"x" * 300_000) == [b"x" * 300_000]
    assert await ask(child, b"print") == []


async def test_it_knows_no_keys(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    await child.start(b"")
    (names,) = await ask(child, b"environment")
    assert b"PYTHONPATH" in names
    assert b"OPENAI_API_KEY" not in names


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"die", "signal 11 (Segmentation fault): it said nothing"),
        (b"lie", "it announced a frame of 2147483648 bytes"),
        (b"hang up", "it closed its connection"),
    ],
)
async def test_a_child_that_fails_says_why(
    child: Child, message: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.2 if message == b"hang up" else 5.0)
    await child.start(b"")
    with pytest.raises(ChildEnded) as ended:
        await ask(child, message)
    assert str(ended.value) == why
    if message == b"die":
        assert child.pid is None


@pytest.mark.parametrize(
    ("first", "why"), [(b"silent", "exit status 3: it said nothing"), (b"shouts", "exit status 5: the last word")]
)
async def test_a_child_that_does_not_start_says_why(child: Child, first: bytes, why: str) -> None:
    with pytest.raises(ChildEnded) as ended:
        await child.start(first)
    assert str(ended.value) == why


async def test_a_child_that_cannot_be_started(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ChildEnded, match=r"^it could not be started: .*No such file"):
        await child.start(b"")
    await child.kill()


async def test_a_busy_child_is_killed_at_once(child: Child) -> None:
    await child.start(b"")
    pid = child.pid
    assert pid is not None
    asked = asyncio.create_task(ask(child, b"hang"))
    await asyncio.sleep(0.05)
    began_s = time.monotonic()
    await child.kill()
    await child.kill()
    assert time.monotonic() - began_s < 20
    with contextlib.suppress(ChildEnded):
        await asyncio.wait_for(asked, 60)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


PARENT = """
import asyncio, os, sys
from wye.processes.child import Child
async def main():
    child = Child("tests.unit.processes.talker:main")
    await child.start(b"")
    print(child.pid, flush=True)
    async for _ in child.ask(b"hang"):
        pass
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the signal is ignored by default elsewhere")
def test_a_busy_child_ends_when_its_parent_is_killed() -> None:
    path = os.pathsep.join([ROOT, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while stat.read_text().rsplit(")", 1)[1].split()[0] != "Z":
            assert time.monotonic() < deadline, "the child outlived its parent"
            time.sleep(0.02)
