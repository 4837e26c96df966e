"""A child that does what its messages say."""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from collections.abc import Iterator

from wye.processes.inside import Work, answer_frames


def main() -> None:
    answer_frames(_open)


def _open(first: bytes) -> Work:
    if first == b"silent":
        sys.exit(3)
    if first == b"shouts":
        sys.stderr.write("x" * 300_000 + "\n" + "\x1b[31mline\x07\n" * 2_000 + "the last word")
        sys.exit(5)
    return _answer


def _answer(message: bytes) -> Iterator[bytes]:
    match message:
        case b"hang":
            time.sleep(60)
        case b"die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"lie":
            os.write(int(sys.argv[-1]), struct.pack(">I", 2**31))
            time.sleep(60)
        case b"hang up":
            os.close(int(sys.argv[-1]))
            time.sleep(60)
        case b"environment":
            yield repr(sorted(os.environ)).encode()
        case b"print":
            print("not a frame")
        case _:
            yield from message.split()
