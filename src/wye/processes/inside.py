"""What runs in a child: frames in, frames out, limits on itself, and an end when the parent is gone."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import BinaryIO

LENGTH = struct.Struct(">I")
"""Before each frame: its bytes."""
NICENESS = 5
"""The server's own loop goes first."""

Work = Callable[[bytes], Iterable[bytes]]


def answer_frames(open_work: Callable[[bytes], Work]) -> None:
    """Live until the parent is gone, speaking over the socket whose descriptor is the last argument.

    The first frame is given to `open_work`, each further one to what that returned. What comes out of either is sent
    frame by frame; an empty frame says that it is all.
    """
    end_with_input(sys.stdin.fileno())
    os.nice(NICENESS)
    with socket.socket(fileno=int(sys.argv[-1])) as line:
        source, out = line.makefile("rb"), line.makefile("wb")
        first = _read_frame(source)
        if first is None:
            return
        work = open_work(first)
        _write_frame(out, b"")
        while (frame := _read_frame(source)) is not None:
            for answer in work(frame):
                _write_frame(out, answer)
            _write_frame(out, b"")


def end_with_input(fd: int) -> None:
    """Have the kernel end this process when that input ends, or when anything more comes: while native code works,
    which may take minutes, no Python runs that would notice. Where the signal is ignored by default (macOS), it is
    noticed afterwards.

    https://man7.org/linux/man-pages/man2/F_GETSIG.2const.html
    """
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([fd], [], [], 0)[0]:
        os._exit(0)  # it ended before it was watched


def limit_memory(most_bytes: int) -> None:
    """What would take more fails, and not the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most_bytes < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, hard))


def _read_frame(stream: BinaryIO) -> bytes | None:
    """None at the end, also in the middle of a frame: the parent is gone."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    frame = stream.read(size)
    return frame if len(frame) == size else None


def _write_frame(stream: BinaryIO, frame: bytes) -> None:
    stream.write(LENGTH.pack(len(frame)) + frame)
    stream.flush()
