"""The supervisor against a child that fails in every way it can (`fake_child.py`)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from wye.engines.llama_cpp import supervisor as module
from wye.engines.llama_cpp.child import ChildSettings
from wye.engines.llama_cpp.supervisor import Supervisor, child_command
from wye.kernel.errors import Overloaded

FAKE = Path(__file__).with_name("fake_child.py")
Make = Callable[[str], Supervisor]


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.0, 0.01, 0.02))
    made: list[Supervisor] = []

    def supervisor(how: str) -> Supervisor:
        settings = ChildSettings(str(tmp_path / "s.sock"), str(tmp_path / "starts"), how, 1, 64, 1, 10**9)
        made.append(Supervisor(settings, lambda: [sys.executable, "-S", str(FAKE)]))
        return made[-1]

    yield supervisor
    await asyncio.gather(*(each.stop() for each in made))


def starts(supervisor: Supervisor) -> list[dict[str, Any]]:
    path = Path(supervisor.settings.model_path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_all_who_wait_share_one_start(make: Make) -> None:
    supervisor = make("good")
    assert (supervisor.state, supervisor.pid) == ("stopped", None)
    waiting = [asyncio.create_task(supervisor.ensure()) for _ in range(5)]
    await asyncio.sleep(0)
    assert supervisor.state == "starting"
    await asyncio.gather(*waiting)
    assert supervisor.state == "running"
    await supervisor.ensure()
    assert [start["pid"] for start in starts(supervisor)] == [supervisor.pid]


async def test_one_who_leaves_does_not_end_the_start_of_the_others(make: Make) -> None:
    supervisor = make("good")
    leaver, stayer = asyncio.create_task(supervisor.ensure()), asyncio.create_task(supervisor.ensure())
    await asyncio.sleep(0)
    leaver.cancel()
    await stayer
    assert leaver.cancelled()
    assert len(starts(supervisor)) == 1


async def test_the_child_has_no_keys_and_no_proxies(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "API_KEY", "HTTPS_PROXY", "DATABASE_URL"):
        monkeypatch.setenv(name, "secret")
    supervisor = make("good")
    await supervisor.ensure()
    environment = starts(supervisor)[0]["env"]
    assert "PATH" in environment
    assert "secret" not in environment.values()


FAILURES = {
    "errors": "exit status 3: load_model: the file is cut short",
    "overtaken": "exit status 1: load_model: the file is cut short",
    "silent": "exit status 4: it said nothing",
    "shouts": "exit status 5: the last word",
    "killed": "killed by signal 9 (SIGKILL), most often because the machine ran out of memory",
    "refuses": "it answered HTTP/1.1 500 Internal Server Error {}",
    "cuts": "exit status 7: it said nothing",
}


@pytest.mark.parametrize("how", FAILURES)
async def test_a_child_that_does_not_start_says_why(make: Make, how: str) -> None:
    supervisor = make(how)
    with pytest.raises(Overloaded) as failed:
        await supervisor.ensure()
    assert f"The local model '{how}' does not start" in failed.value.message
    assert FAILURES[how] in failed.value.message
    assert failed.value.code == "local_model_failed"
    assert supervisor.state == "failed"
    assert supervisor.error is not None
    assert FAILURES[how] in supervisor.error
    assert supervisor.pid is None
    assert not is_alive(starts(supervisor)[0]["pid"])


async def test_what_a_child_says_is_bounded_and_harmless(make: Make) -> None:
    supervisor = make("shouts")
    with pytest.raises(Overloaded):
        await supervisor.ensure()
    lines = list(supervisor._lines)
    assert len(lines) <= 64
    assert max(map(len, lines)) <= 2000
    assert lines[0] == "[31mline"


async def test_a_program_that_cannot_be_run_is_told(make: Make) -> None:
    supervisor = make("good")
    supervisor._command = lambda: ["/no/such/program"]
    with pytest.raises(Overloaded, match="/no/such/program"):
        await supervisor.ensure()
    await supervisor.stop()


async def test_a_child_that_is_not_ready_in_time_is_ended(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_S", 0.5)
    supervisor = make("hangs")
    with pytest.raises(Overloaded, match=r"it did not answer within 0\.5 s"):
        await supervisor.ensure()
    assert not is_alive(starts(supervisor)[0]["pid"])


async def test_a_stampede_on_a_model_that_does_not_start_is_one_start(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = make("fails-once")
    for _ in range(3):
        results = await asyncio.gather(*(supervisor.ensure() for _ in range(20)), return_exceptions=True)
        assert all(isinstance(result, Overloaded) and result.retry_after_s for result in results)
    assert len(starts(supervisor)) == 1
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    await asyncio.gather(*(supervisor.ensure() for _ in range(20)))
    assert len(starts(supervisor)) == 2
    assert (supervisor.state, supervisor.error) == ("running", None)


async def test_a_child_that_crashes_is_started_again_unasked(make: Make) -> None:
    supervisor = make("crashes-once")
    await supervisor.ensure()
    first = supervisor.pid
    await until(lambda: supervisor.state == "running" and supervisor.pid not in (None, first))
    await supervisor.ensure()
    assert len(starts(supervisor)) == 2


async def test_who_asks_during_the_back_off_waits_for_the_one_new_start(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.3,))
    supervisor = make("good")
    await supervisor.ensure()
    assert supervisor.pid is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    await until(lambda: supervisor.state == "starting")
    await asyncio.gather(supervisor.ensure(), supervisor.ensure())
    assert len(starts(supervisor)) == 2


async def test_a_crash_loop_is_given_up_and_tried_again_when_asked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUICK_FAILURES", 2)
    supervisor = make("crashes")
    await supervisor.ensure()
    await until(lambda: supervisor.state == "failed")
    assert supervisor.error == "signal 6 (Aborted): GGML_ASSERT(x) failed"
    assert len(starts(supervisor)) == 3
    with pytest.raises(Overloaded, match="GGML_ASSERT"):
        await supervisor.ensure()
    assert len(starts(supervisor)) == 3, "not at once"
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    await supervisor.ensure()
    assert len(starts(supervisor)) == 4


async def test_a_crash_after_a_long_life_is_no_crash_loop(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUICK_FAILURES", 1)
    monkeypatch.setattr(module, "QUICK_S", 0.0)
    supervisor = make("crashes")
    await supervisor.ensure()
    await until(lambda: len(starts(supervisor)) >= 4)


async def test_a_child_that_hangs_is_killed_and_started_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.01)
    monkeypatch.setattr(module, "STALL_S", 0.3)
    monkeypatch.setattr(module, "MAX_QUICK_FAILURES", 0)
    supervisor = make("stalls")
    await supervisor.ensure()
    await until(lambda: supervisor.state == "failed")
    assert supervisor.error == "it did not move for 0.3 s and was killed"
    assert not is_alive(starts(supervisor)[0]["pid"])


async def test_a_child_that_computes_is_left_in_peace(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.01)
    supervisor = make("good")
    await supervisor.ensure()
    asked: list[bytes] = []
    ask = supervisor._ask

    async def count(line: bytes, body: bytes) -> tuple[bytes, bytes]:
        asked.append(line)
        if len(asked) == 2:
            raise ConnectionResetError  # it is ending, or its queue of connections is full
        return await ask(line, body)

    monkeypatch.setattr(supervisor, "_ask", count)
    await until(lambda: len(asked) > 5)
    assert set(asked) == {b"GET /lora-adapters"}
    assert (supervisor.state, len(starts(supervisor))) == ("running", 1)


async def test_stopping_is_idempotent_and_ends_the_child(make: Make) -> None:
    supervisor = make("good")
    await supervisor.stop()
    await supervisor.ensure()
    pid = supervisor.pid
    assert pid is not None
    await asyncio.gather(supervisor.stop(), supervisor.stop())
    await supervisor.stop()
    assert supervisor.state == "stopped"
    assert not is_alive(pid)
    await supervisor.ensure()
    assert supervisor.pid not in (None, pid)


async def test_stopping_during_a_start_tells_who_waits(make: Make) -> None:
    supervisor = make("hangs")
    waiting = asyncio.create_task(supervisor.ensure())
    await until(lambda: bool(starts(supervisor)))
    await supervisor.stop()
    with pytest.raises(Overloaded, match="it was unloaded while it was loading"):
        await waiting
    assert not is_alive(starts(supervisor)[0]["pid"])


async def test_stopping_before_the_process_exists_leaves_none(make: Make) -> None:
    supervisor = make("good")
    waiting = asyncio.create_task(supervisor.ensure())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await supervisor.stop()
    with pytest.raises(Overloaded):
        await waiting
    await asyncio.sleep(0.2)
    assert supervisor.pid is None
    assert not any(is_alive(start["pid"]) for start in starts(supervisor))


async def test_a_child_that_does_not_listen_to_reason_is_killed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.2)
    supervisor = make("deaf")
    await supervisor.ensure()
    pid = supervisor.pid
    assert pid is not None
    await supervisor.stop()
    assert not is_alive(pid)


async def test_a_stop_that_was_cancelled_can_be_finished(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.3)
    supervisor = make("deaf")
    await supervisor.ensure()
    pid = supervisor.pid
    assert pid is not None
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(supervisor.stop(), 0.05)
    await supervisor.stop()
    assert not is_alive(pid)


def test_the_real_child_takes_no_module_from_the_working_folder() -> None:
    assert child_command()[:2] == [sys.executable, "-P"]
