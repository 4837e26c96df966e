"""A child process that reads a file as the file says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from wye.knowledge.parse import child
from wye.knowledge.parse.piece import End, Piece, Refused, Said


def main() -> None:
    for content_type in ("application/pdf", "text/plain"):
        child.READERS[content_type] = (lambda path: by(0, path), lambda path: by(1, path))
    child.main()


def by(reader: int, path: Path) -> Iterator[Said]:
    how = path.read_text()
    yield Piece("", 1)
    if how.endswith("first") and reader == 1:
        yield Piece("read by 1") if how == "crash first" else Refused("It is damaged: no.", for_all=False)
        yield End()
        return
    match how.split()[0]:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(60)
        case "slow":
            while True:
                time.sleep(0.1)
                yield Piece("more")
        case "eat":
            bytearray(3 * 1024**3)
        case "write":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            path.with_suffix(".out").write_text("x")
        case "raise":
            raise KeyError("/Root")
        case _:
            yield Refused("It is protected.")
