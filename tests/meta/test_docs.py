"""What the documents show is true: their blocks run, and the generated page is what the code says.

`python` blocks are executed, with a server where they call one; `yaml` blocks are read as configuration; `console`,
`text` and `json` blocks are illustrations.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import wire
from wye.config.load import load_config
from wye.testing.fake import FakeRequest, FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(language, text, id=f"{page.relative_to(ROOT)}-{i}")
    for page in PAGES
    for i, (language, text) in enumerate(_BLOCK.findall(page.read_text()))
]
ILLUSTRATIONS = {"console", "text", "json"}


def answer(request: FakeRequest) -> object:
    return event_stream(wire.ANTHROPIC_STREAM) if b'"stream":true' in request.body else json_body(wire.ANTHROPIC_BODY)


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_every_block_of_the_documents_runs(language: str, text: str, tmp_path: Path) -> None:
    if language in ILLUSTRATIONS:
        return
    if language == "yaml":
        names = set(re.findall(r"\$\{(\w+)\}", text))
        path = tmp_path / "wye.yaml"
        path.write_text(text)
        load_config(file=path, environment=dict.fromkeys(names, "value"))
        assert yaml.safe_load(re.sub(r"\$\{\w+\}", "value", text))
        return
    assert language == "python", f"a block in {language!r} is neither run nor known as an illustration"
    with FakeUpstream(answer) as upstream:  # type: ignore[arg-type]
        config = {
            "local": {"enabled": False},
            "providers": {"anthropic": {"base_url": upstream.url, "api_key": "k"}},
            "routes": {"smollm2-135m-instruct": {"deployments": [{"provider": "anthropic", "model": "m"}]}},
        }
        with WyeServer(config) as server:
            code = text.replace("http://127.0.0.1:8000", server.url)
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
            )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_some_blocks_were_found() -> None:
    languages = {block.values[0] for block in BLOCKS}
    assert {"python", "yaml", "console"} <= languages


def test_the_page_of_settings_is_what_the_schema_says() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_between_the_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
