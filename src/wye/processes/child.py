"""The parent's side of a child process: started, asked, watched, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator

from wye.processes.inside import LENGTH
from wye.processes.last_lines import LastLines

MAX_FRAME = 64 * 1024 * 1024
"""A child that announces more is not believed."""
GRACE_S = 3.0
"""How long the last words of a child that has ended are waited for."""
# Enough to find Python and libraries; no keys, no proxies.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT")


def child_environment() -> dict[str, str]:
    return {name: value for name in _ENVIRONMENT if (value := os.environ.get(name))}  # noqa: TID251 - a child's, not settings


class ChildEnded(Exception):
    """The child has ended, or said what no child of ours says; the text is for people."""


class Child:
    """One process that answers one message at a time. Who cancels `ask`, or leaves it early, must `kill`."""

    def __init__(self, main: str) -> None:
        """`main` is `package.module:function`, which calls `inside.answer_frames`."""
        self._main = main
        self._process: Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._log: asyncio.Task[None] | None = None
        self._lines = LastLines()

    @property
    def pid(self) -> int | None:
        """None when no process is there that was not ended."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self, first: bytes) -> None:
        """Start the process and wait until it has made itself ready with `first`. Raises ChildEnded."""
        module, _, function = self._main.partition(":")
        ours, theirs = socket.socketpair()
        try:
            # -P: what lies in the folder where the server was started is no library.
            code = f"from {module} import {function}; {function}()"
            self._process = process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-P", "-c", code, str(theirs.fileno())],
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=PIPE,
                env=child_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C in the terminal is for the parent, which then ends its children
            )
            assert process.stderr is not None
            self._log = asyncio.create_task(self._lines.read(process.stderr))
            self._reader, self._writer = await asyncio.open_connection(sock=ours)
        except OSError as error:
            ours.close()
            raise ChildEnded(f"it could not be started: {error}") from None
        finally:
            theirs.close()
        async for _ in self.ask(first):
            pass

    async def ask(self, message: bytes) -> AsyncIterator[bytes]:
        """Send a message; the frames of its answer, as they come. Raises ChildEnded."""
        assert self._reader is not None
        assert self._writer is not None
        try:
            self._writer.write(LENGTH.pack(len(message)) + message)
            await self._writer.drain()
            while True:
                (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                if size > MAX_FRAME:
                    raise ChildEnded(f"it announced a frame of {size} bytes")
                if not size:
                    return
                yield await self._reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError):
            raise ChildEnded(await self._last_words()) from None

    async def kill(self) -> None:
        """End the process at once. Idempotent."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        if self._writer is not None:
            self._writer.close()
        if self._log is not None:
            await asyncio.wait([self._log], timeout=GRACE_S)
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    async def _last_words(self) -> str:
        assert self._process is not None
        assert self._log is not None
        try:
            code = await asyncio.wait_for(self._process.wait(), GRACE_S)
        except TimeoutError:
            return "it closed its connection"
        await asyncio.wait([self._log], timeout=GRACE_S)
        said = self._lines.latest
        if code < 0:
            return f"signal {-code} ({signal.strsignal(-code)}): {said}"
        return f"exit status {code}: {said}"
