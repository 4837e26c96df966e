"""A state of each driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wye.drivers.memory.state import MemoryState
from wye.drivers.redis.state import RedisState
from wye.drivers.socket.server import StateServer, listen
from wye.drivers.socket.state import SocketState
from wye.kernel.secret import Secret
from wye.ports.state import State

MiB = 1024 * 1024


@pytest.fixture(params=["memory", "redis", "socket"])
async def state(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[State]:
    monkeypatch.setattr("wye.drivers.socket.state._TIMEOUT_S", 60.0)  # nobody is silent here, whatever stands still
    made: State = MemoryState(MiB)
    server = StateServer(made, listen(tmp_path / "state.sock"))
    if request.param == "redis":
        made = RedisState(Secret(request.getfixturevalue("redis_url")))
    elif request.param == "socket":
        await server.start()
        made = SocketState(tmp_path / "state.sock")
    await made.start()
    yield made
    await made.stop()
    await server.stop()
