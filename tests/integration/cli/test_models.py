"""`wye models`: what this machine can run, fetched, loaded and unloaded."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Run, says
from wye.catalog.local_models import CARDS
from wye.engines.weights import LocalWeights
from wye.kernel.errors import ConfigError
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body
from wye.testing.server import WyeServer

SMALL = "smollm2-135m-instruct"
KEY = "sk-a-very-secret-key"


def gguf(path: Path) -> None:
    """The smallest file that has the header of a model."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    def entry(key: str, kind: int, value: bytes) -> bytes:
        return text(key) + struct.pack("<I", kind) + value

    entries = [
        entry("general.architecture", 8, text("llama")),
        entry("general.name", 8, text("Mine [v1]")),
        entry("llama.context_length", 4, struct.pack("<I", 512)),
        entry("llama.block_count", 4, struct.pack("<I", 1)),
        entry("llama.embedding_length", 4, struct.pack("<I", 8)),
        entry("llama.attention.head_count", 4, struct.pack("<I", 1)),
        entry("tokenizer.chat_template", 8, text("{{ messages }}")),
    ]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + b"".join(entries))


@pytest.fixture
def own_file(folder: Path) -> Path:
    gguf(folder / "mine.gguf")
    (folder / "wye.yaml").write_text("local: {files: {mine: mine.gguf}}\n")
    return folder / "mine.gguf"


def test_they_are_listed_as_a_table(here: Run, own_file: Path) -> None:
    done = here("models")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["Model", "Title", "MB", "Context", "Roles", "File"]
    assert [line.split()[0] for line in lines[1:]] == [*CARDS, "mine"]
    assert "Mine [v1]" in lines[-1]
    assert lines[-1].rstrip().endswith("here")


def test_they_are_listed_for_programs(run: Run, here: Run, own_file: Path) -> None:
    assert run("models", "--format", "list").stdout.split() == [*CARDS, "mine"]
    assert here("models", "list", "--format", "list").stdout.split() == [*CARDS, "mine"]
    rows = json.loads(here("models", "--format", "json").stdout)
    assert rows[-1] == {
        "id": "mine",
        "title": "Mine [v1]",
        "size_mb": 0,
        "context_length": 512,
        "roles": [],
        "licence": "your own",
        "file": "here",
    }
    assert {row["file"] for row in rows} <= {"here", "absent"}


def test_a_damaged_file_is_told_in_the_list_and_not_taken(
    here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = folder / "home" / "models" / f"{SMALL}.gguf"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"something else")
    rows = {row["id"]: row["file"] for row in json.loads(here("models", "--format", "json").stdout)}
    assert rows[SMALL] == "damaged"
    says(here("models", "pull", SMALL), str(kept), "wye models pull")


def test_pulling_what_is_here_says_where(here: Run, own_file: Path) -> None:
    done = here("models", "pull", "mine")
    assert (done.returncode, done.stdout) == (0, "mine is at mine.gguf\n")


def test_pulling_shows_its_progress_and_where_the_file_is(
    here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(self: object, card: object, progress: object) -> Path:
        assert callable(progress)
        progress(50, 100)
        progress(100, 100)
        return folder / "fetched.gguf"

    monkeypatch.setattr(LocalWeights, "fetch", fetch)
    assert here("models", "pull", SMALL).stdout == f"{SMALL} is at {folder / 'fetched.gguf'}\n"


def test_a_failed_pull_says_what_was_tried(here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(self: object, card: object, progress: object) -> Path:
        raise ConfigError("The file cannot be had:\n  somewhere: connection refused")

    monkeypatch.setattr(LocalWeights, "fetch", fetch)
    says(here("models", "pull", SMALL), "somewhere: connection refused")


def test_an_unknown_model_cannot_be_pulled_and_the_known_ones_are_named(here: Run, run: Run) -> None:
    for done in (here("models", "pull", "nobody"), run("models", "pull", "nobody")):
        says(done, "nobody", SMALL)


def test_a_preset_is_pulled_with_all_its_models_by_the_names_that_stand_for_them(
    here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalWeights, "fetch", lambda self, card, progress: folder / f"{card.id}.gguf")
    (folder / "wye.yaml").write_text("local: {aliases: {phi-4: qwen2.5-coder-0.5b}}\n")
    pulled = here("models", "pull", "D3", SMALL, "phi-4").stdout.splitlines()
    assert [line.split()[0] for line in pulled] == ["qwen2.5-coder-0.5b", "deepseek-r1-7b", SMALL]


def test_what_was_pulled_is_removed(here: Run, run: Run, folder: Path) -> None:
    kept = folder / "home" / "models" / "phi-4.part"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x" * 2_000_000)
    done = here("models", "rm", "phi-4")
    assert (done.returncode, done.stdout) == (0, "phi-4 is removed (2 MB)\n")
    assert not kept.exists()
    says(here("models", "rm", "phi-4"), "phi-4 cannot be removed: its file is not here")
    says(run("models", "rm", SMALL), "which Wye did not fetch")


@pytest.fixture
def server() -> Iterator[WyeServer]:
    with WyeServer({"server": {"api_key": KEY}, "local": {"preload": []}}) as server:
        yield server


def test_load_and_unload_ask_a_running_server(here: Run, run: Run) -> None:
    with FakeUpstream(lambda r: json_body({"id": "a/b", "status": r.path.rsplit("/", 1)[1] + "ed"})) as fake:
        assert here("models", "load", "a/b", "--server-url", fake.url).stdout == "a/b is loaded\n"
        for url in (f"{fake.url}/", f"{fake.url}/v1", f"{fake.url}/v1/"):
            assert here("models", "unload", "a/b", "--server-url", url).stdout == "a/b is unloaded\n"
        assert run("models", "load", "a/b", "--server-url", fake.url).stdout == "a/b is loaded\n"
        assert {(r.method, r.path) for r in fake.requests} == {
            ("POST", "/v1/models/a%2Fb/load"),
            ("POST", "/v1/models/a%2Fb/unload"),
        }
        assert all("authorization" not in r.headers for r in fake.requests)


def test_where_and_with_which_key_come_from_the_configuration(here: Run, folder: Path) -> None:
    with FakeUpstream(lambda _: json_body({"id": "m", "status": "loaded"})) as fake:
        (folder / "wye.yaml").write_text(f"server: {{port: {fake.port}}}\n")
        assert here("models", "load", "m", API_KEY=KEY).stdout == "m is loaded\n"
        assert here("models", "load", "m", "--api-key", "other").stdout == "m is loaded\n"
        assert [r.headers["authorization"] for r in fake.requests] == [f"Bearer {KEY}", "Bearer other"]


def test_a_proxy_in_the_environment_is_not_asked(here: Run) -> None:
    with FakeUpstream(lambda _: json_body({"id": "m", "status": "loaded"})) as fake:
        done = here("models", "load", "m", "--server-url", fake.url, HTTP_PROXY="http://127.0.0.1:1")
        assert done.stdout == "m is loaded\n"


def test_a_real_server_refuses_a_wrong_key_and_an_unknown_model(here: Run, server: WyeServer) -> None:
    for key in ((), ("--api-key", "wrong")):
        says(here("models", "load", SMALL, "--server-url", server.url, *key), "API key")
    says(here("models", "unload", "nobody", "--server-url", server.url, "--api-key", KEY), "nobody")
    done = here("models", "unload", SMALL, "--server-url", server.url, "--api-key", KEY)
    assert done.stdout == f"{SMALL} is available\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FakeAnswer([b"<html>"], 502), "answered 502"),
        (FakeAnswer([b"[]"], 404), "answered 404"),
        (FakeAnswer([b"{}"], 301, {"location": "http://127.0.0.1:1/"}), "answered 301"),
        (FakeAnswer([], head=False, end="cut"), "No Wye answers at"),
        (FakeAnswer([b"{"] * 100, end="cut"), "broke off"),
        (FakeAnswer([b"<html>"]), "broke off"),
    ],
)
def test_something_else_that_listens_is_told_from_wye(answer: FakeAnswer, words: str, here: Run) -> None:
    with FakeUpstream(lambda _: answer) as fake:
        done = here("models", "load", "m", "--server-url", fake.url, "--api-key", KEY)
        says(done, words, fake.url)
        assert KEY not in done.stderr


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8000", "http://", "http://127.0.0.1:high", "", "http://[::1"])
def test_a_url_that_is_none_is_one_clear_line(url: str, here: Run) -> None:
    says(here("models", "load", "m", "--server-url", url or " "), "http://")


def test_nobody_listens(here: Run, folder: Path) -> None:
    (folder / "wye.yaml").write_text("server: {port: 1}\n")
    says(here("models", "load", "m"), "No Wye answers at http://127.0.0.1:1")


def test_a_key_that_no_header_can_carry_is_not_repeated(here: Run) -> None:
    done = here("models", "load", "m", "--api-key", f"{KEY}\r\nx: y")
    says(done, "API key")
    assert KEY not in done.stderr
