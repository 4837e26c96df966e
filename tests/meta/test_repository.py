"""Tests about the repository itself: size, imports, names, and what must never be committed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from wye.api.routes import HOT_ROUTES, PAGES
from wye.cli import COMMANDS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
BANNED_NAMES = {"utils", "helpers", "common", "misc", "manager", "handler", "factory"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_longer_than_600_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [p for p in SOURCES if p.stem in BANNED_NAMES or BANNED_NAMES & set(p.parent.parts)] == []


def test_importing_wye_is_free() -> None:
    """Under 30 ms of CPU beyond the bare interpreter, nothing third-party loaded, no thread started."""
    code = (
        "import sys, time, threading; before = set(sys.modules); start = time.process_time(); import wye\n"
        "spent = time.process_time() - start; new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(spent, sorted(new - set(sys.stdlib_module_names)), threading.active_count())"
    )
    results = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split(" ", 1)
        for _ in range(3)
    ]
    assert min(float(spent) for spent, _ in results) < 0.030
    assert {rest.strip() for _, rest in results} == {"['wye'] 1"}


HEAVY = [
    "xllamacpp",
    "rich",
    "boto3",
    "botocore",
    "openai",
    "anthropic",
    "sqlalchemy",
    "alembic",
    "aiosqlite",
    "psycopg",
]


def test_heavy_parts_are_imported_only_when_used() -> None:
    code = f"import sys, wye.wiring, wye.cli; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_address_of_a_package_registry_is_committed() -> None:
    pattern = re.compile(
        r"/packages/[0-9a-f]{2}/[0-9a-f]{2}/|[r]egistry = \"https?://|\"[r]esolved\": \"https?://|[i]ndex-url"
    )
    found = []
    for name in TRACKED:
        path = ROOT / name
        if not path.is_file():
            continue
        if pattern.search(path.read_text("utf-8", "ignore")):
            found.append(name)
    assert found == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_and_tested(name: str) -> None:
    assert f"wye {name}" in (ROOT / "docs" / "cli.md").read_text()
    assert (ROOT / "tests" / "integration" / "cli" / f"test_{name}.py").is_file()


@pytest.mark.parametrize("path", [p for r in (*HOT_ROUTES, *PAGES) for p in r.paths])
def test_every_route_is_documented_and_tested(path: str) -> None:
    shown = path.replace(":path", "")
    assert f"`{shown}`" in (ROOT / "docs" / "http-api.md").read_text()
    parts = [part for part in re.split(r"\{[^}]*\}", path) if part.strip("/")]
    tests = "\n".join(p.read_text() for p in (ROOT / "tests" / "integration").rglob("*.py"))
    assert all(part in tests for part in parts), f"no integration test mentions {shown}"
