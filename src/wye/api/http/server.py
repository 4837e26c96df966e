"""uvicorn, with Wye's own connections."""

from __future__ import annotations

import math

import uvicorn

from wye.api.asgi import Application
from wye.api.http.connection import Connection

BACKLOG = 2048


def make_server(application: Application, grace_s: float) -> uvicorn.Server:
    """A server to run on sockets of one's own. Answers under way when it ends may take `grace_s` longer."""
    settings = uvicorn.Config(
        application,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(grace_s),
        backlog=BACKLOG,
    )
    return uvicorn.Server(settings)
