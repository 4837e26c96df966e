"""Documents are read whatever happens to the processes that read them: `wye worker`, and servers that are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import wire
from tests.integration.cli.conftest import DEADLINE_S, Run, Serve, says
from wye.testing.server import WyeServer

Worker = subprocess.Popen[str]
WITHOUT_MODELS = "local: {enabled: false}\n"


@pytest.fixture
def work(folder: Path) -> Iterator[Callable[..., Worker]]:
    """Starts a worker; it is reading when this returns."""
    with ExitStack() as stack:

        def work(*arguments: str) -> Worker:
            command = [sys.executable, "-m", "wye", "worker", *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert "Reading documents" in process.stdout.readline()
            return process

        yield work


def upload(url: str, count: int) -> list[str]:
    found: list[str] = []
    for number in range(count):
        form = wire.form(f"{number}.txt", "\n\n".join(f"This is line {line}" for line in range(60)).encode())
        found.append(json.loads(wire.call(url, "/api/v1/upload", form.body, headers=form.headers)[2])["document_id"])
    return found


def statuses(url: str) -> list[str]:
    listed: Any = json.loads(wire.call(url, "/api/v1/documents?limit=1000")[2])["data"]
    return [document["status"] for document in listed]


def rows(url: str, query: str) -> list[Any]:
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            return connection.execute(query).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def documents(url: str) -> dict[str, tuple[str, float]]:
    """Each one's status, and when it was last touched."""
    return {name: (status, at) for name, status, at in rows(url, "SELECT id, status, updated_s FROM documents")}


def stop(worker: Worker) -> tuple[int, str]:
    worker.send_signal(signal.SIGTERM)
    _, logged = worker.communicate(timeout=DEADLINE_S)
    return worker.returncode, logged


def known_workers(url: str) -> int:
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('procrastinate_workers')").fetchone() == (None,):
            return 0
        found = connection.execute("SELECT count(*) FROM procrastinate_workers").fetchone()
    return found[0] if found else 0


def read_by(logged: str) -> set[str]:
    return {line.split("INFO ")[1].split(":")[0] for line in logged.splitlines() if "is ready" in line}


@pytest.mark.timeout(4 * DEADLINE_S)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_of_fifty_documents_none_is_lost_or_read_twice_when_the_server_is_killed(
    database: str, serve: Serve, folder: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgres" else f"sqlite:///{folder}/wye.db"
    Path("wye.yaml").write_text(f'{WITHOUT_MODELS}storage: {{url: "{url}"}}\n')
    server = serve()
    made = upload(server.url, 50)
    wire.until(lambda: statuses(server.url).count("ready") > 2, DEADLINE_S)
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    before = documents(url)
    assert 2 < sum(status == "ready" for status, _ in before.values()) < 50
    with WyeServer(folder / "wye.yaml") as again:
        wire.until(lambda: statuses(again.url) == ["ready"] * 50, 2 * DEADLINE_S)
    after = documents(url)
    assert set(after) == set(made)
    assert all(after[name] == known for name, known in before.items() if known[0] == "ready"), "it was read again"
    read = rows(url, "SELECT document_id, text FROM passages ORDER BY id")
    for name in made:
        text = " ".join(text for of, text in read if of == name)
        assert re.findall(r"line (\d+)", text) == [str(line) for line in range(60)]


def test_workers_share_what_a_server_leaves_to_them(
    work: Callable[..., Worker], folder: Path, postgres_url: str
) -> None:
    settings = f'storage: {{url: "{postgres_url}"}}\ndocuments: {{readers: 0}}\n'
    Path("wye.yaml").write_text(WITHOUT_MODELS + settings + "server: {log_level: info}\n")
    with WyeServer(folder / "wye.yaml") as server:
        workers = [work("--readers", "1") for _ in range(2)]
        wire.until(lambda: known_workers(postgres_url) == 2, DEADLINE_S)
        made = upload(server.url, 6)
        wire.until(lambda: statuses(server.url) == ["ready"] * 6, DEADLINE_S)
    ended = [stop(worker) for worker in workers]
    assert [status for status, _ in ended] == [0, 0]
    first, second = (read_by(logged) for _, logged in ended)
    assert first | second == set(made)
    assert first & second == set()
    assert min(len(first), len(second)) > 0


def test_a_database_that_cannot_be_understood_is_said(run: Run) -> None:
    Path("wye.yaml").write_text(WITHOUT_MODELS + 'storage: {url: "mysql://me:secret@host/x"}\n')
    done = run("worker")
    says(done, "storage.url cannot be used", "mysql")
    assert "secret" not in done.stderr
