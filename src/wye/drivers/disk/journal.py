"""Entries of a ledger as lines of files. Implements `ports.ledger.Journal`.

Nothing is synced: what the kernel was told outlives a kill -9 of this process, not a machine that loses its power. A
process has its pages locked for as long as it lives: one that can be locked was left behind.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections import deque
from pathlib import Path
from typing import BinaryIO

import msgspec

from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, decode, encode
from wye.ports.ledger import Entry

PAGE_ENTRIES = 5000
"""About a megabyte."""
_ENDING = ".jsonl"
_log = logging.getLogger("wye")


class _Page:
    """A file with its lock; without either where none can be made, so that entries are counted all the same."""

    __slots__ = ("added", "fd", "path", "waiting")

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{new_id('')}{_ENDING}"
        self.fd: int | None = None
        self.added = self.waiting = 0

    def open(self) -> None:
        """Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unseen = self.path.with_suffix(".new")
        fd = os.open(unseen, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            unseen.rename(self.path)  # locked before anybody can find it
        except OSError:
            unseen.unlink(missing_ok=True)
            os.close(fd)
            raise
        self.fd = fd

    def close(self, *, keep: bool = False) -> None:
        if self.fd is not None:
            if not keep:
                self.path.unlink(missing_ok=True)
            os.close(self.fd)
            self.fd = None


class DiskJournal:
    def __init__(self, folder: Path) -> None:
        """Nothing is made before there is something to write."""
        self._folder = folder
        self._pages: deque[_Page] = deque()
        self.away: str | None = None

    def add(self, entry: Entry) -> None:
        page = self._pages[-1] if self._pages and self._pages[-1].added < PAGE_ENTRIES else self._turn()
        page.added += 1
        page.waiting += 1
        if page.fd is not None:
            line = b"\n" + encode(entry)  # in front: an earlier line may have been cut short by a full disk
            try:
                written = os.write(page.fd, line)
            except OSError as error:
                self._cannot(error)
            else:
                if written < len(line):
                    self._cannot(OSError(errno.ENOSPC, "No space left on device"))
                elif self.away is not None:
                    self.away = None

    def done(self, count: int) -> None:
        while count:
            page = self._pages[0]
            of_page = min(count, page.waiting)
            page.waiting -= of_page
            count -= of_page
            if page.waiting:
                return
            if len(self._pages) == 1 and page.fd is not None:
                os.ftruncate(page.fd, 0)
                page.added = 0
                return
            self._pages.popleft().close()

    def left_behind(self) -> list[Leftover]:
        found: list[Leftover] = []
        for path in sorted(self._folder.glob(f"*{_ENDING}")):
            try:
                file = path.open("rb")
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its process lives, or another one has brought it in
            found.append(Leftover(path, file))
        return found

    def close(self) -> None:
        while self._pages:
            page = self._pages.popleft()
            page.close(keep=page.waiting > 0)

    def _turn(self) -> _Page:
        page = _Page(self._folder)
        self._pages.append(page)
        try:
            page.open()
        except OSError as error:
            self._cannot(error)
        return page

    def _cannot(self, error: OSError) -> None:
        if self.away is None:
            _log.warning("The ledger's journal cannot be written to %s: %s", self._folder, error.strerror)
        self.away = f"the journal cannot be written: {error.strerror}"


class Leftover:
    """The page of a process that is gone. Implements `ports.ledger.Leftover`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        self._file.seek(0)
        for line in self._file.read().splitlines():
            try:
                found += [msgspec.convert(decode(line), Entry)] if line else []
            except (JsonError, msgspec.ValidationError):
                _log.warning("A line of %s is no entry of a ledger", self._path)
        return found

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()
