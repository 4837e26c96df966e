"""Every test of this folder runs for each driver of the Transport port and on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from wye.drivers.http import HttpTransport
from wye.ports.transport import Clocks, Origin, Reply, Transport

DRIVERS: dict[str, Callable[..., Transport]] = {"http": HttpTransport}

Opener = Callable[..., Transport]
Call = Callable[..., Awaitable[Reply]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=DRIVERS)
async def opener(request: pytest.FixtureRequest) -> AsyncIterator[Opener]:
    """Opens a transport with the keyword arguments of HttpTransport; all are closed after the test."""
    opened: list[Transport] = []

    def open_one(**settings: Any) -> Transport:
        opened.append(DRIVERS[request.param](**settings))
        return opened[-1]

    yield open_one
    for transport in opened:
        await transport.close()


@pytest.fixture
def transport(opener: Opener) -> Transport:
    return opener()


@pytest.fixture
def call(transport: Transport) -> Call:
    """Sends a GET, or a POST when there is a body, on the test's `transport`."""
    return lambda origin, **rest: ask(transport, origin, **rest)


async def ask(
    transport: Transport,
    origin: Origin,
    *,
    method: bytes = b"",
    target: bytes = b"/",
    body: bytes = b"",
    **clocks: float,
) -> Reply:
    method = method or (b"POST" if body else b"GET")
    return await transport.send(origin, method, target, b"accept: */*\r\n", body, Clocks(**clocks))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and 127.0.0.1 with the authority that signed it, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(key)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(cert, append=True)
    authority.cert_pem.write_to_path(cert, append=True)
    return cert, key
