"""Where a Redis and a Postgres come from, on machines that have little: with small programs in the place of servers."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from wye.testing import services

SERVER = """
import socket, sys, time
at = next(i for i, word in enumerate(sys.argv) if word in ("--port", "-p"))
listener = socket.create_server(("127.0.0.1", int(sys.argv[at + 1])))
time.sleep(60)
"""


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that is in PATH; no package brings a server."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(services, "_package", lambda name: None)
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)


def listens(url: str) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def test_nothing_is_to_be_had(bin_folder: Path) -> None:
    with pytest.raises(services.Absent, match="No Redis here: REDIS_URL is not set"), services.redis_server():
        pass
    with pytest.raises(services.Absent, match="No Postgres here: DATABASE_URL is not set"), services.postgres_server():
        pass


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_a_binary_is_started_and_ended(name: str, bin_folder: Path) -> None:
    program(bin_folder / name, SERVER)
    with services.redis_server() as url:
        assert listens(url)
    assert not listens(url)


def test_postgres_makes_a_cluster_of_its_own(bin_folder: Path) -> None:
    program(bin_folder / "initdb", "")
    program(bin_folder / "postgres", SERVER)
    with services.postgres_server() as url:
        assert listens(url)
    program(bin_folder / "initdb", "import sys; sys.exit('no locale')")
    with pytest.raises(services.Absent, match="initdb failed: no locale"), services.postgres_server():
        pass


def test_a_container_is_run_and_removed(bin_folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program(
            bin_folder / "docker",
            f"import sys; open({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))\n"
            f"print({{'run': 'c0ffee', 'port': '127.0.0.1:{port}'}}.get(sys.argv[1], ''))",
        )
        with services.redis_server() as url:
            assert url == f"redis://127.0.0.1:{port}/0"
        with services.postgres_server() as url:
            assert url == f"postgresql://postgres@127.0.0.1:{port}/postgres"
    said = log.read_text().splitlines()
    assert said[:2] == ["info", "run --rm -d -p 127.0.0.1::6379 valkey/valkey:8"]
    assert said.count("rm -f c0ffee") == 2


def test_a_container_that_does_not_run_is_told(bin_folder: Path) -> None:
    program(bin_folder / "docker", "import sys; sys.exit(sys.argv[1] == 'run')")
    with pytest.raises(services.Absent, match="Docker cannot run valkey"), services.redis_server():
        pass
    program(bin_folder / "docker", "import sys; sys.exit(1)")
    with pytest.raises(services.Absent, match="Docker does not run"), services.redis_server():
        pass


def test_a_server_that_never_listens_is_given_up(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_START_S", 0.2)
    program(bin_folder / "redis-server", "import time; time.sleep(60)")
    with pytest.raises(services.Absent, match="did not start within"), services.redis_server():
        pass


def test_a_port_is_one_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(services, "_PORTS", [taken] * 20)
        with pytest.raises(services.Absent, match="No free port"):
            services.free_port()
        monkeypatch.setattr(services, "_PORTS", [taken] * 19 + [0])
        assert services.free_port() == 0


def test_a_package_that_is_not_installed_is_none() -> None:
    assert services._package("no_such_package") is None
    assert services._package("json") is not None
