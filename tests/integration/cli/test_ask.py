"""`wye ask`: files sent to a server, a question, what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api.test_ask import SAID, TEXT, chunk, configured, streamed
from tests.integration.cli.conftest import Run
from wye.testing.fake import FakeAnswer, FakeUpstream
from wye.testing.server import WyeServer

QUESTION = "What is the code of the safe?"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(lambda _: streamed(*SAID)) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[WyeServer]:
    with WyeServer(configured(tmp_path_factory.mktemp("home"), upstream)) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "das „Haus“ 1.txt"
    made.write_bytes(TEXT)
    return made


def test_an_answer_and_what_it_rests_on(here: Run, server: WyeServer, file: Path) -> None:
    done = here("ask", str(file), QUESTION, "--model", "m", "--server-url", server.url)
    assert done.returncode == 0, done.stderr
    text, _, citation = done.stdout.rstrip("\n").rpartition("\n")
    assert text == "".join(SAID).replace("\r\n", "\n")
    assert citation == "[1] das „Haus“ 1.txt: “The code of the safe is QX-7741.”"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["What?"], 2, "Name at least one file"),
        (["nowhere.pdf", "What?"], 1, "There is no file nowhere.pdf. The question comes last"),
        (["bad.pdf", "What?"], 1, "bad.pdf cannot be read: It is no PDF, or damaged"),
        (["a.gif", "What?"], 1, "cannot be read. Supported are: pdf, docx"),
        (["a.txt", "What?", "--model", "nobody"], 1, "Model 'nobody' not found"),
        (["a.txt", "What?", "--server-url", "http://127.0.0.1:9"], 1, "No Wye answers at http://127.0.0.1:9"),
    ],
    ids=["no file", "none there", "damaged", "another kind", "unknown model", "no server"],
)
def test_a_mistake_is_told_in_a_line(
    here: Run, server: WyeServer, folder: Path, words: list[str], status: int, said: str
) -> None:
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 nothing")
    (folder / "a.gif").write_bytes(b"GIF89a\x00\x01")
    (folder / "a.txt").write_bytes(TEXT)
    done = here("ask", *words, *([] if "--server-url" in words else ["--server-url", server.url]))
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_answer_that_breaks_off_is_told(here: Run, server: WyeServer, file: Path, upstream: FakeUpstream) -> None:
    head = {"content-type": "text/event-stream"}
    upstream.script = lambda _: FakeAnswer([chunk({"content": "The code"})], headers=head, end="cut")
    try:
        done = here("ask", str(file), QUESTION, "--server-url", server.url)
    finally:
        upstream.script = lambda _: streamed(*SAID)
    assert (done.returncode, done.stdout) == (1, "The code")
    assert done.stderr.startswith("wye: ")
