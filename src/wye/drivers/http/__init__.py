"""The HTTP transport: a lean HTTP/1.1 client pool. See docs/decisions/0002-http-client.md for why it is our own."""

from __future__ import annotations

from wye.drivers.http.transport import HttpTransport

__all__ = ["HttpTransport"]
