"""A journal keeps what its process could not bring into the ledger, and no more."""

from __future__ import annotations

import errno
import fcntl
import logging
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wye.drivers.disk import journal as module
from wye.drivers.disk.journal import DiskJournal
from wye.ports.ledger import Entry

FDS = Path("/proc/self/fd")


def entry(number: int, model: str = "m") -> Entry:
    return Entry(
        id=str(number),
        at_s=0.5 + number,
        principal="key_1",
        model=model,
        deployment=None,
        status="failed",
        cache=None,
        input_tokens=1,
        output_tokens=2,
        cached_tokens=0,
        cost_micro_usd=2**40,
    )


def left(folder: Path) -> list[Entry]:
    """What a next process finds, and leaves where it is."""
    return [entry for leftover in DiskJournal(folder).left_behind() for entry in leftover.entries()]


def files(folder: Path) -> list[tuple[str, int]]:
    return [(path.suffix, path.stat().st_size) for path in sorted(folder.iterdir())]


def test_what_is_not_done_is_left_behind_as_it_was(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path / "journal")
    entries = [entry(n, model="m\n\u2028\x00ö") for n in range(3)]
    for one in entries:
        journal.add(one)
    assert left(tmp_path / "journal") == [], "its process lives"
    journal.close()
    assert left(tmp_path / "journal") == entries
    (leftover,) = DiskJournal(tmp_path / "journal").left_behind()
    assert DiskJournal(tmp_path / "journal").left_behind() == [], "it is that one's alone"
    leftover.forget()
    assert files(tmp_path / "journal") == []


def test_a_page_whose_entries_are_done_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_ENTRIES", 4)
    journal = DiskJournal(tmp_path)
    for n in range(4):
        journal.add(entry(n))
    journal.done(1)
    journal.done(3)
    assert files(tmp_path) == [(".jsonl", 0)]
    for n in range(10):
        journal.add(entry(n))
    assert len(files(tmp_path)) == 3
    journal.done(6)
    assert len(files(tmp_path)) == 2
    journal.done(3)
    assert len(files(tmp_path)) == 1
    journal.close()
    assert [one.id for one in left(tmp_path)] == ["8", "9"]
    assert not DiskJournal(tmp_path / "nowhere").left_behind()


def test_a_folder_is_for_this_user_alone(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path / "journal")
    journal.add(entry(1))
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert next((tmp_path / "journal").iterdir()).stat().st_mode & 0o777 == 0o600


def test_a_line_that_is_no_entry_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = DiskJournal(tmp_path)
    journal.add(entry(1))
    journal.close()
    (page,) = tmp_path.iterdir()
    page.write_bytes(b'{"id": "cut' + page.read_bytes() + b'\n{"id": 7}\n\xff')
    with caplog.at_level(logging.WARNING):
        assert left(tmp_path) == [entry(1)]
    assert caplog.text.count("is no entry") == 3


def test_where_no_page_can_be_made_it_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_ENTRIES", 2)
    folder = tmp_path / "journal"
    folder.touch()
    journal = DiskJournal(folder)
    journal.add(entry(1))
    assert journal.away == "the journal cannot be written: File exists"
    folder.unlink()
    for n in range(2, 5):
        journal.add(entry(n))
    assert journal.away is None
    journal.done(2)
    assert len(files(folder)) == 1
    journal.close()
    assert [one.id for one in left(folder)] == ["3", "4"]


def test_a_disk_without_locks_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    journal = DiskJournal(tmp_path)
    before = len([*FDS.iterdir()])
    journal.add(entry(1))
    assert journal.away == "the journal cannot be written: No locks available"
    assert (files(tmp_path), len([*FDS.iterdir()])) == ([], before)


@pytest.fixture
def small_files() -> Iterator[int]:
    """A disk that is soon full."""
    most = 1000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    yield most
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_is_told_and_what_is_whole_is_found(tmp_path: Path, small_files: int) -> None:
    journal = DiskJournal(tmp_path)
    for n in range(10):
        journal.add(entry(n))
    assert journal.away == "the journal cannot be written: File too large"
    assert files(tmp_path) == [(".jsonl", small_files)]
    journal.close()
    assert [one.id for one in left(tmp_path)] == ["0", "1", "2", "3", "4"], "the sixth is cut"
    journal = DiskJournal(tmp_path)
    journal.add(entry(11))
    assert journal.away is None


def test_a_killed_process_leaves_all_that_it_added(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from tests.unit.drivers.test_journal import entry
from wye.drivers.disk.journal import DiskJournal
journal = DiskJournal(Path({str(tmp_path)!r}))
for n in range(100_000):
    journal.add(entry(n))
    print(n, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "500":
                process.kill()
                break
        told = int((process.stdout.read().split() or ["500"])[-1])
    found = [int(one.id) for one in left(tmp_path)]
    assert found == [*range(len(found))]
    assert len(found) in (told + 1, told + 2)
