"""What others install: the wheel, in an environment and a project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """\
def test_every_vendors_client(
    fake_provider, openai_client, anthropic_client, bedrock_client, response_validator, sse_parser
):
    fake_provider.when("weather", say="It rains.")
    hello = [{"role": "user", "content": "What is 2+2?"}]
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=hello)
    assert response_validator.validate_completion(answer)["choices"][0]["message"]["content"] == "4"
    weather = [{"role": "user", "content": "How is the weather?"}]
    stream = openai_client.chat.completions.create(model="gpt-4o", messages=weather, stream=True)
    assert sse_parser.extract_content(chunk.model_dump() for chunk in stream) == "It rains."
    message = anthropic_client.messages.create(model="claude", max_tokens=50, messages=hello)
    assert response_validator.validate_message(message)["stop_reason"] == "end_turn"
    turn = {"role": "user", "content": [{"text": "What is 2+2?"}]}
    said = bedrock_client.converse(modelId="anthropic.claude-3-haiku-20240307-v1:0", messages=[turn])
    assert response_validator.validate_converse(said)["output"]["message"]["content"] == [{"text": "4"}]
    events = list(bedrock_client.converse_stream(modelId="amazon.nova-lite-v1:0", messages=[turn])["stream"])
    assert response_validator.validate_converse_events(events) == "4"
    assert fake_provider.counters["calls"] == 5
    assert {call.dialect for call in fake_provider.calls} == {"openai_chat", "anthropic_messages", "bedrock_converse"}
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "PYTEST"))
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_says_what_it_brings(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name for name in names if name.endswith("METADATA")).rpartition("/")[0]
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
        entries = archive.read(f"{info}/entry_points.txt").decode()
    assert "wye/testing/plugin.py" in names
    assert "wye/testing/conformance/gateway.py" in names
    assert "wye/py.typed" in names
    assert not [name for name in names if name.startswith("tests/")]
    assert "test" in (metadata.get_all("Provides-Extra") or [])
    assert "[pytest11]\nwye.testing.plugin = wye.testing.plugin" in entries


@pytest.mark.slow
def test_a_project_of_its_own_uses_the_kit(wheel: Path, tmp_path: Path) -> None:
    """The wheel alone is unpacked there; what it depends on is taken from where this test runs."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    paths = {
        name: sysconfig.get_path(name, vars={"base": str(home), "platbase": str(home)})
        for name in ("purelib", "scripts")
    }
    site = Path(paths["purelib"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "outer.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_mine.py").write_text(PROGRAM)
    python = Path(paths["scripts"]) / "python"
    where = run(python, "-c", "import wye.testing.plugin as p; print(p.__file__)", cwd=project)
    assert Path(where.strip()).is_relative_to(site)
    told = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert "1 passed" in told
