"""The documentation is run: every block that a reader might copy works, and every option is in it.

Blocks of `console`, `json` and `text` are illustrations; those of `sh`, `python` and `yaml` are promises.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from scripts.reference import commands
from wye.config.load import load_config
from wye.testing.fake_provider import FakeProvider
from wye.testing.server import WyeServer

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
RUNS = ("sh", "python", "yaml")
SHOWS = ("console", "json", "text")
ADDRESS = "http://127.0.0.1:8000"


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            yield Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])


BLOCKS = list(blocks())


def of(language: str) -> pytest.MarkDecorator:
    found = [b for b in BLOCKS if b.language == language]
    assert found, f"no page has a block of {language}: this test would test nothing"
    return pytest.mark.parametrize("block", found, ids=str)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With the command `wye` in PATH, as after an installation, and any variable that a page refers to."""
    command = tmp_path / "bin" / "wye"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wye "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "WYE_HOME": str(tmp_path)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WyeServer]:
    """Answers under the names of the models in the box, without loading them."""
    with FakeProvider() as upstream:
        provider = {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}
        route = {"deployments": [{"provider": "fake", "model": "m"}]}
        routes = dict.fromkeys(("smollm2-135m-instruct", "qwen2.5-coder-0.5b"), route)
        config = {"providers": {"fake": provider}, "routes": routes, "home": str(tmp_path / "home")}
        with WyeServer({**config, "local": {"preload": []}}) as server:
            yield server


def test_every_block_says_what_it_is() -> None:
    assert {b.language for b in BLOCKS} <= {*RUNS, *SHOWS}, [str(b) for b in BLOCKS if b.language not in RUNS + SHOWS]


@of("sh")
def test_commands_run(block: Block, environment: dict[str, str], server: WyeServer, tmp_path: Path) -> None:
    text = block.text.replace(ADDRESS, server.url)
    done = subprocess.run(
        ["bash", "-eu", "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done


@of("python")
def test_programs_run(block: Block, environment: dict[str, str], server: WyeServer, tmp_path: Path) -> None:
    text = block.text.replace(ADDRESS, server.url)
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if "print" in text:
        assert done.stdout.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_programs_print_what_is_shown_below_them(page: Path) -> None:
    for program, shown in re.findall(
        r"^```python\n((?:(?!```).)*)^```\n\n```text\n(.*?)^```$", page.read_text(), re.DOTALL | re.M
    ):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == shown


@of("yaml")
def test_configurations_load(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "wye.yaml"
    path.write_text(block.text)
    names = re.findall(r"\$\{(\w+)\}|os\.environ/(\w+)", block.text)
    load_config(file=path, environment={braced or dotted: "set" for braced, dotted in names})


def test_the_pages_of_settings_commands_and_routes_are_what_the_code_says() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "generate_docs.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_is_on_the_page_of_the_command_line(name: str) -> None:
    command = ALL[name]
    page = (ROOT / "docs" / "cli.md").read_text()
    assert name in page
    assert command.help
    for parameter in command.get_params(click.Context(command)):
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name} has no help"
            assert any(f"`{option}" in page or f" {option}`" in page for option in parameter.opts), parameter.opts


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
