"""One model's child process: started, made sure of, restarted when it fails, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable
from typing import Literal

from wye.engines.llama_cpp.child import ChildSettings
from wye.kernel import clock
from wye.kernel.errors import Overloaded
from wye.kernel.json import encode

log = logging.getLogger("wye")

State = Literal["stopped", "starting", "running", "failed"]

START_S = 120.0
"""How long a model may take to load and answer its first token."""
GRACE_S = 3.0
"""How long a child may take to end before it is killed."""
QUICK_S = 30.0
"""A child that lived shorter than this failed quickly."""
MAX_QUICK_FAILURES = 3
_BACK_OFF_S = (0.0, 0.5, 2.0)
_KEPT_LINES = 64
_MAX_LINE = 2000
# Enough to find Python and libraries; no keys, no proxies.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT")
_FIRST_TOKEN = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":1}'


def child_command() -> list[str]:
    return [sys.executable, "-m", "wye.engines.llama_cpp.child"]


class Supervisor:
    """`settings.socket_path` lies in a folder that only this process may enter."""

    def __init__(self, settings: ChildSettings, command: Callable[[], list[str]] = child_command) -> None:
        self.settings = settings
        self.error: str | None = None
        """Why the last start failed."""
        self.state: State = "stopped"
        self.pid: int | None = None
        self._command = command
        self._start: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._quick_failures = 0

    async def ensure(self) -> None:
        """Wait until the child answers, starting it if need be; all who wait share one start.

        Raises Overloaded with what the child said when it does not start.
        """
        if self.state == "running":
            return
        if self._start is None or self._start.done():
            if self.state == "failed":
                self._quick_failures = 0
            self._start = asyncio.create_task(self._begin())
        # Shielded: one caller that leaves must not end the start that others wait for.
        await asyncio.shield(self._start)

    async def stop(self) -> None:
        """End the child. Idempotent."""
        self.state = "stopped"
        tasks = [task for task in (self._watch, self._start) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watch = self._start = None
        await self._end()

    async def _begin(self) -> None:
        self.state, self.error = "starting", None
        self._lines.clear()
        began_s = clock.monotonic_s()
        try:
            async with asyncio.timeout(START_S):
                await self._spawn()
                await self._first_token()
        except TimeoutError:
            await self._fail(f"it did not answer within {START_S:g} s")
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            await self._fail(str(error) or type(error).__name__)
        self.state = "running"
        log.info("%s is loaded (%.1f s)", self.settings.alias, clock.monotonic_s() - began_s)
        self._watch = asyncio.create_task(self._guard())

    async def _spawn(self) -> None:
        environment = {name: value for name in _ENVIRONMENT if (value := os.environ.get(name))}  # noqa: TID251 - a child's, not settings
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command(), stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
        )
        self.pid = process.pid
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._reader = asyncio.create_task(self._read_lines(process.stderr))
        process.stdin.write(encode(self.settings) + b"\n")
        await process.stdin.drain()
        if not await process.stdout.readline():
            await asyncio.wait([self._reader], timeout=GRACE_S)
            raise OSError(self._last_words(await process.wait()))

    async def _first_token(self) -> None:
        """One real token: the model is loaded and computes."""
        reader, writer = await asyncio.open_unix_connection(self.settings.socket_path)
        try:
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_FIRST_TOKEN), _FIRST_TOKEN)
            )
            status = await reader.readline()
            if b" 200 " not in status:
                raise OSError(f"it answered {status.decode('latin-1').strip() or 'nothing'}")
            await reader.read(65536)
        finally:
            writer.close()

    async def _guard(self) -> None:
        """Wait for the child's end, which is a crash, and start it again; after several quick ones, give up."""
        process, began_s = self._process, clock.monotonic_s()
        assert process is not None
        code = await process.wait()
        lived_s = clock.monotonic_s() - began_s
        self._quick_failures = self._quick_failures + 1 if lived_s < QUICK_S else 1
        words = self._last_words(code)
        log.error("%s: the engine's process ended: %s", self.settings.alias, words)
        if self._quick_failures > MAX_QUICK_FAILURES:
            self.state, self.error = "failed", words
            return
        self.state = "starting"
        await asyncio.sleep(_BACK_OFF_S[min(self._quick_failures, len(_BACK_OFF_S)) - 1])
        self._start = asyncio.create_task(self._begin())
        with contextlib.suppress(Overloaded):  # kept in `state` and `error`, told to whoever asks next
            await self._start

    async def _fail(self, reason: str) -> None:
        await self._end()
        self.state, self.error = "failed", reason
        raise Overloaded(
            f"The local model '{self.settings.alias}' does not start: {reason}", code="local_model_failed"
        ) from None

    async def _end(self) -> None:
        """End the process, by force if it does not go. The end of its standard input tells it to."""
        process, self._process, self.pid = self._process, None, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), GRACE_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read_lines(self, stderr: asyncio.StreamReader) -> None:
        """Keep the last lines that the child says, and no more: neither their length nor their number is bounded."""
        rest = b""
        while block := await stderr.read(4096):
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-_MAX_LINE:]
            self._lines.extend(line[:_MAX_LINE].decode("utf-8", "replace") for line in lines if line.strip())

    def _last_words(self, code: int) -> str:
        """What a person needs of the child's end: its errors, else its last line."""
        errors = [line for line in self._lines if " E " in line or "rror" in line]
        said = (errors or list(self._lines) or ["it said nothing"])[-3:]
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return f"{how}: {' / '.join(said)}"
