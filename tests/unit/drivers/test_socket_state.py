"""A state kept by another process: what is seen of it when it goes, hangs and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.waiting import until
from wye.drivers.memory.state import MemoryState
from wye.drivers.socket import frames
from wye.drivers.socket import state as driver
from wye.drivers.socket.server import StateServer, listen
from wye.drivers.socket.state import SocketState
from wye.kernel import clock
from wye.ports.state import StateAway


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sock"


@pytest.fixture
async def server(path: Path) -> AsyncIterator[StateServer]:
    made = StateServer(MemoryState(), listen(path))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent is who is to be silent in a test, and not who stands still with all of the machine."""
    monkeypatch.setattr(driver, "_TIMEOUT_S", 60.0)


@pytest.fixture
async def state(path: Path, server: StateServer) -> AsyncIterator[SocketState]:
    made = SocketState(path)
    await made.start()
    yield made
    await made.stop()


async def test_two_processes_share_it(path: Path, state: SocketState) -> None:
    other = SocketState(path)
    heard: list[bytes] = []
    other.subscribe("news", heard.append, lambda: None)
    await other.start()
    await state.put("a", b"one", 60)
    assert await other.get("a") == b"one"
    assert await state.acquire("l", "me", 60)
    assert not await other.acquire("l", "you", 60)
    await state.publish("news", b"said")
    await until(lambda: heard == [b"said"])
    await other.stop()
    await state.publish("news", b"unheard")
    assert heard == [b"said"]


async def test_many_questions_at_once_get_their_own_answers(state: SocketState) -> None:
    await asyncio.gather(*(state.put(str(i), b"%d" % i, 60) for i in range(200)))
    assert await asyncio.gather(*(state.get(str(i)) for i in range(200))) == [b"%d" % i for i in range(200)]


async def test_who_leaves_before_the_answer_takes_nobody_elses(state: SocketState) -> None:
    await state.put("a", b"one", 60)
    left, stayed = asyncio.create_task(state.get("none")), asyncio.create_task(state.get("a"))
    await asyncio.sleep(0)
    left.cancel()
    assert await stayed == b"one"


async def test_away_is_said_at_once_and_it_comes_back(path: Path, server: StateServer, state: SocketState) -> None:
    begun: list[str] = []
    heard: list[bytes] = []
    state.subscribe("news", heard.append, lambda: begun.append("begun"))
    await server.stop()
    await until(lambda: state.away is not None)
    begun_s = clock.monotonic_s()
    with pytest.raises(StateAway):
        await state.get("a")
    assert clock.monotonic_s() - begun_s < 20
    again = StateServer(MemoryState(), listen(path))
    await again.start()
    await until(lambda: state.away is None)
    assert begun == ["begun", "begun"]
    await state.publish("news", b"heard again")
    await until(lambda: heard == [b"heard again"])
    await again.stop()


async def test_nobody_there_at_the_start_is_no_failure(path: Path) -> None:
    state = SocketState(path)
    await state.start()
    with pytest.raises(StateAway, match="each process is on its own"):
        await state.put("a", b"one", 60)
    server = StateServer(MemoryState(), listen(path))
    await server.start()
    await until(lambda: state.away is None)
    await state.put("a", b"one", 60)
    await state.stop()
    await server.stop()


async def test_before_it_is_started_it_is_away(path: Path) -> None:
    with pytest.raises(StateAway):
        await SocketState(path).get("a")


async def test_a_process_that_hangs_is_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers the greeting and nothing after."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await frames.read_frame(reader)
        writer.write(frames.frame_of(frames.Told()) or b"")
        await reader.read()
        writer.close()

    hanging = await asyncio.start_unix_server(hang, path)
    state = SocketState(path)
    await state.start()
    assert state.away is None
    monkeypatch.setattr(driver, "_TIMEOUT_S", 0.2)
    with pytest.raises(StateAway, match="no answer"):
        await state.get("a")
    await state.stop()
    hanging.close()


async def test_a_process_that_does_not_even_greet_is_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hanging = await asyncio.start_unix_server(silent, path)
    monkeypatch.setattr(driver, "_TIMEOUT_S", 0.2)
    state = SocketState(path)
    await state.start()
    assert state.away is not None
    await state.stop()
    hanging.close()


async def test_what_is_too_large_is_not_shared(path: Path, state: SocketState, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await state.append("list", [b"x" * 500], 60)
    monkeypatch.setattr(frames, "LARGEST", 1000)
    with pytest.raises(StateAway, match="too large"):
        await state.put("a", b"x" * 1000, 60)
    with pytest.raises(StateAway, match="too large"):
        await state.items("list", 0)
    assert await state.items("list", 2) == [b"x" * 500]
    assert state.away is None


async def test_who_speaks_otherwise_is_cut_off(path: Path, server: StateServer, state: SocketState) -> None:
    for said in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\x00"):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(said)
        assert await reader.read() == b""
        writer.close()
    await state.put("a", b"one", 60)


class SlowState(MemoryState):
    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0.01)
        return b"slowly"


async def test_a_long_queue_and_a_busy_loop_are_no_silence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = StateServer(SlowState(), listen(path))
    await server.start()
    state = SocketState(path)
    await state.start()
    monkeypatch.setattr(driver, "_TIMEOUT_S", 0.2)
    asked = asyncio.gather(*(state.get(str(i)) for i in range(60)))
    await asyncio.sleep(0.05)
    time.sleep(0.3)  # noqa: ASYNC251 - what a loop does that has much to do
    assert await asked == [b"slowly"] * 60
    assert state.away is None
    await state.stop()
    await server.stop()
