"""Files are read, or refused with a reason, in a child process; this one stays well."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import time
from pathlib import Path

import pytest

from tests.unit.knowledge.parse import hostile
from tests.unit.knowledge.parse.hostile import HOSTILE, PDF, TEXT
from wye.knowledge import extract as module
from wye.knowledge.extract import extract
from wye.ports.jobs import GiveUp
from wye.ports.reading import Extracted
from wye.processes.child import Child


async def nobody(share: float) -> None:
    assert 0 <= share <= 1


async def read(data: bytes, content_type: str, tmp_path: Path) -> Extracted:
    path = tmp_path / "file"
    await asyncio.to_thread(path.write_bytes, data)
    return await extract(path, content_type, nobody)


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is one that does what its file says."""
    root = str(Path(__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    monkeypatch.setattr(module, "CHILD", "tests.unit.knowledge.parse.strange:main")


@pytest.mark.parametrize(("content_type", "make", "reason"), HOSTILE.values(), ids=list(HOSTILE))
async def test_a_hostile_file_is_read_or_refused_with_a_reason(
    content_type: str, make: object, reason: str | None, tmp_path: Path
) -> None:
    assert callable(make)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = await asyncio.to_thread(make)
    made_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    before_kb += made_kb
    if reason is None:
        extracted = await read(data, content_type, tmp_path)
        assert sum(len(part.text) for part in extracted.parts) < 5_000_000
    else:
        with pytest.raises(GiveUp) as given_up:
            await read(data, content_type, tmp_path)
        message = given_up.value.message
        assert re.search(reason, message), message
        assert message.isprintable()
        assert len(message) < 700
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    assert grown_mb < 100


async def test_the_pages_of_a_pdf_keep_their_numbers(tmp_path: Path) -> None:
    extracted = await read(hostile.pdf(3), PDF, tmp_path)
    assert [(part.number, part.text.strip()) for part in extracted.parts] == [(n, f"Hello {n}") for n in (1, 2, 3)]
    assert (extracted.pages, extracted.notes) == (3, ())


async def test_a_page_without_text_is_told_as_a_scan(tmp_path: Path) -> None:
    extracted = await read(hostile.scan(), PDF, tmp_path)
    assert [part.number for part in extracted.parts] == [1]
    assert extracted.notes == ("Page 2 is a scan without text: run it through OCR to have it found.",)


async def test_progress_is_told_as_pages_are_read(tmp_path: Path) -> None:
    told: list[float] = []

    async def tell(share: float) -> None:
        told.append(share)

    path = tmp_path / "file"
    await asyncio.to_thread(path.write_bytes, hostile.pdf(4))
    await extract(path, PDF, tell)
    assert told == [0.25, 0.5, 0.75, 1]


async def test_the_second_reader_is_tried_when_the_first_crashes(strange: None, tmp_path: Path) -> None:
    extracted = await read(b"crash first", PDF, tmp_path)
    assert [part.text for part in extracted.parts] == ["read by 1"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (b"crash", "It is damaged, or made to do harm: its reader crashed (signal 11 (Segmentation fault))."),
        (b"hang", "Reading the part after page 1 took more than 0.5 s, and was stopped."),
        (b"hang first", "Reading the part after page 1 took more than 0.5 s, and was stopped."),
        (b"eat", "Reading it took more than 1024 MB of memory, and was stopped."),
        (b"write", "It is damaged: [Errno 27] File too large."),
        (b"raise", "It is damaged: '/Root'."),
        (b"refuse", "It is protected."),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
async def test_why_a_file_is_given_up(
    strange: None, how: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how.startswith(b"hang"):
        monkeypatch.setattr(module, "PIECE_S", 0.5)
    began_s = time.monotonic()
    with pytest.raises(GiveUp) as given_up:
        await read(how, PDF, tmp_path)
    assert given_up.value.message == reason
    assert time.monotonic() - began_s < 20


async def test_a_file_as_a_whole_has_its_time(strange: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_S", 1.0)
    with pytest.raises(GiveUp, match=r"^Reading it took more than 1 s, and was stopped\.$"):
        await read(b"slow", TEXT, tmp_path)


async def test_a_file_with_too_much_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHARACTERS", 10)
    with pytest.raises(GiveUp, match="It holds more than 10 characters of text"):
        await read(b"x" * 11, TEXT, tmp_path)


async def test_a_kind_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GiveUp, match="It is image/gif, which cannot be read"):
        await read(b"GIF89a", "image/gif", tmp_path)


async def test_who_no_longer_wants_to_know_ends_the_child(
    strange: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []
    waiting = asyncio.Event()

    async def tell(share: float) -> None:
        waiting.set()

    class Watched(Child):
        async def start(self, first: bytes) -> None:
            await super().start(first)
            pids.append(self.pid or 0)

    monkeypatch.setattr(module, "Child", Watched)
    path = tmp_path / "file"
    await asyncio.to_thread(path.write_bytes, b"hang")
    asked = asyncio.create_task(extract(path, PDF, tell))
    await asyncio.wait_for(waiting.wait(), 20)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
