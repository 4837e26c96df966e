"""`wye keys`: issued, listed, revoked, and what a server makes of them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests import wire
from tests.integration.cli.conftest import Run, Serve, says
from tests.integration.cli.money import configure, issue
from wye.testing.fake_provider import FakeProvider


def test_a_secret_is_shown_once_and_kept_nowhere(here: Run, folder: Path) -> None:
    done = here("keys", "create", "Ann's laptop", "--budget", "10/day", "--expires", "90d")
    secret = done.stdout.strip()
    assert secret.startswith("wye-")
    assert len(secret) > 40
    assert "is not shown again" in done.stderr
    assert "keys.enabled: true" in done.stderr
    listed = here("keys", "list")
    assert "Ann's laptop" in listed.stdout
    assert "$10.00/day" in listed.stdout
    assert secret[:10] in listed.stdout
    assert secret[:12] not in listed.stdout
    (key,) = json.loads(here("keys", "list", "--format", "json").stdout)
    assert key["state"].startswith("valid until ")
    assert "hash" not in key
    assert "secret" not in key
    for file in (folder / "home").iterdir():
        assert secret[12:].encode() not in file.read_bytes()
    with sqlite3.connect(folder / "home" / "wye.db") as database:
        assert database.execute("SELECT name FROM keys").fetchall() == [("Ann's laptop",)]


def test_all_that_a_key_is_bound_to_is_listed(here: Run) -> None:
    issue(here, "wide")
    issue(
        here,
        "narrow",
        *("--model", "m", "--model", "gpt-*", "--operation", "chat", "--expires", "2027-01-31"),
        *("--requests-per-minute", "60", "--tokens-per-minute", "5000", "--concurrent", "2"),
        *("--budget", "$99.50", "--model-budget", "m=1/total", "--model-budget", "o=p=2.5/day"),
    )
    gone = issue(here, "gone", "--expires", "2020-01-01T10:00:00+02:00")
    assert here("keys", "revoke", issue(here, "revoked")["id"]).stdout.endswith(" is revoked\n")
    text = here("keys", "list").stdout
    for words in (
        "m, gpt-*; chat",
        "valid until 2027-01-31 00:00",
        "60 calls/min, 5000 tokens/min, 2 at once",
        "$99.50/month, m $1.00/total, o=p $2.50/day",
        "everything",
        "expired 2020-01-01 08:00",
        "revoked",
    ):
        assert words in text
    assert gone["id"] in text


@pytest.mark.parametrize(
    "options",
    [
        ("--budget", "much"),
        ("--budget", "NaN"),
        ("--budget", "-5"),
        ("--budget", "5/year"),
        ("--budget", "1e5"),
        ("--model-budget", "5/day"),
        ("--model-budget", "=5/day"),
        ("--model-budget", "m=five"),
        ("--expires", "soon"),
        ("--expires", "99999d"),
        ("--operation", "everything"),
        ("--concurrent", "0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], here: Run) -> None:
    done = here("keys", "create", "ann", *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert json.loads(here("keys", "list", "--format", "json").stdout) == []


def test_a_key_that_is_not_there_cannot_be_revoked(here: Run) -> None:
    key = issue(here)
    assert here("keys", "revoke", key["id"]).returncode == 0
    for key_id in ("key_nobody", key["id"]):
        says(here("keys", "revoke", key_id), key_id, "wye keys list")


def test_a_database_that_cannot_be_used_is_one_clear_message(here: Run, folder: Path) -> None:
    (folder / "wye.yaml").write_text("storage: {url: 'mysql://me:pa55@host/db'}\n")
    done = here("keys", "list")
    says(done, "storage.url", "sqlite")
    assert "pa55" not in done.stderr


def test_a_server_answers_those_who_have_a_key(serve: Serve, here: Run, upstream: FakeProvider) -> None:
    configure(upstream)
    key = issue(here, "ann", "--model", "m", "--requests-per-minute", "4")
    server = serve()

    def ask(secret: str | None, model: str = "m", path: str = "/v1/chat/completions") -> int:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}]}).encode()
        return wire.call(server.url, path, body, headers=headers)[0]

    assert [ask(None), ask("wye-nonsense"), ask(key["secret"]), ask(key["secret"], "n")] == [401, 401, 200, 403]
    bearer = {"authorization": f"Bearer {key['secret']}"}
    assert wire.call(server.url, "/v1/models", headers=bearer)[0] == 200
    assert wire.call(server.url, "/stats", headers=bearer)[0] == 403
    status, headers, _ = wire.call(server.url, "/v1/chat/completions", wire.ask(), headers=bearer)
    assert (status, headers["x-ratelimit-limit-requests"]) == (200, "4")
    assert [ask(key["secret"]) for _ in range(3)] == [200, 200, 429]
