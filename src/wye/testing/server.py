"""Wye itself, served from a thread on a free port: for tests that speak to it as any client does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from wye.api.app import App
from wye.api.http.server import make_server
from wye.config.schema import Config
from wye.wiring import create_app

_START_S = 60.0


class WyeServer:
    """A context manager. `config` is what `wye.create_app` takes."""

    def __init__(self, config: Config | Mapping[str, Any] | None = None) -> None:
        self.app: App = create_app(config if config is not None else {"local": {"enabled": False}})
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._server = make_server(self.app, grace_s=5)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), name="wye", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> WyeServer:
        self._thread.start()
        deadline = time.monotonic() + _START_S  # noqa: TID251 - real time, not a clock that a test turns
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:  # noqa: TID251
                raise RuntimeError("Wye did not start")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._listener.close()
