"""One model's child process: started, made sure of, restarted when it fails, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Literal

from wye.engines.llama_cpp.child import ChildSettings
from wye.kernel import clock
from wye.kernel.errors import Overloaded
from wye.kernel.json import encode
from wye.processes.child import child_environment
from wye.processes.last_lines import LastLines

log = logging.getLogger("wye")

State = Literal["stopped", "starting", "running", "failed"]

START_S = 120.0
"""How long a model may take to load and answer its first token."""
GRACE_S = 3.0
"""How long a child may take to end before it is killed."""
QUICK_S = 30.0
"""A child that lived shorter than this failed quickly."""
MAX_QUICK_FAILURES = 3
RETRY_S = 2.0
"""A start that failed is not tried again sooner, however many ask."""
BACK_OFF_S = (0.0, 0.5, 2.0)
"""The waits before a child that ended is started again, by quick failures in a row."""
CHECK_S = 15.0
"""How often a running child is asked whether it still computes."""
STALL_S = 120.0
"""A child whose computing loop says nothing for so long is ended: some grammars never let it take another step."""
_FIRST_TOKEN = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":1}'
_PREFIX = re.compile(r"^[\d.]+ [EIW] +")
"""What llama.cpp writes before a line: the time and the level."""


def child_command() -> list[str]:
    # -P: what lies in the folder where the server was started is no library.
    return [sys.executable, "-P", "-c", "from wye.engines.llama_cpp.child import main; main()"]


class Supervisor:
    """`settings.socket_path` lies in a folder that only this user may enter. `settings` are read at each start."""

    def __init__(self, settings: ChildSettings, command: Callable[[], list[str]] = child_command) -> None:
        self.settings = settings
        self.state: State = "stopped"
        self.error: str | None = None
        """Why the last start failed."""
        self._command = command
        self._decided = asyncio.Event()
        self._failed_at_s = float("-inf")
        self._life: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lines = LastLines()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def ensure(self) -> None:
        """Wait until the child answers, starting it if need be; all who wait share one start.

        Raises Overloaded with what the child said when it does not start.
        """
        if self.state == "failed":
            wait_s = self._failed_at_s + RETRY_S - clock.monotonic_s()
            if wait_s > 0:
                raise self._refusal(wait_s)
        if self.state in ("stopped", "failed"):
            self._become("starting")
            self._life = asyncio.create_task(self._live())
        while self.state == "starting":
            await self._decided.wait()
        if self.state != "running":
            raise self._refusal(RETRY_S)

    async def stop(self) -> None:
        """End the child. Idempotent. Who waits for its start is told."""
        self._become("stopped", "it was unloaded while it was loading")
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        await self._end()

    def _become(self, state: State, error: str | None = None) -> None:
        self.state, self.error = state, error
        if state == "starting":
            self._decided.clear()
        else:
            self._decided.set()

    def _refusal(self, retry_after_s: float) -> Overloaded:
        return Overloaded(
            f"The local model '{self.settings.alias}' does not start: {self.error}",
            code="local_model_failed",
            retry_after_s=retry_after_s,
        )

    async def _live(self) -> None:
        """Start the child, and start it again when it ends, which is a crash; after several quick ones, give up."""
        quick_failures = 0
        while (why := await self._begin()) is None:
            self._become("running")
            began_s = clock.monotonic_s()
            why = await self._until_it_ends()
            log.error("%s: the engine's process ended: %s", self.settings.alias, why)
            await self._end()
            quick_failures = quick_failures + 1 if clock.monotonic_s() - began_s < QUICK_S else 1
            if quick_failures > MAX_QUICK_FAILURES:
                break
            self._become("starting")
            await asyncio.sleep(BACK_OFF_S[quick_failures - 1])
        await self._end()
        self._failed_at_s = clock.monotonic_s()
        self._become("failed", why)

    async def _begin(self) -> str | None:
        """Start the child and wait for one real token. None when it came, else why not."""
        began_s = clock.monotonic_s()
        try:
            async with asyncio.timeout(START_S):
                await self._spawn()
                await self._first_token()
        except TimeoutError:
            return f"it did not answer within {START_S:g} s"
        except (OSError, ValueError) as error:
            if self._process is None:
                return str(error)
            # The child's end says more than the connection's.
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self._last_words(), 1.0)
            return str(error)
        log.info("%s is loaded (%.1f s)", self.settings.alias, clock.monotonic_s() - began_s)
        return None

    async def _spawn(self) -> None:
        self._lines.clear()
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command(),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=child_environment(),
            start_new_session=True,  # a Ctrl-C in the terminal is for the parent, which then ends its children
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._reader = asyncio.create_task(self._lines.read(process.stderr))
        process.stdin.write(encode(self.settings) + b"\n")
        await process.stdin.drain()
        if not await process.stdout.readline():
            raise OSError("it ended its output before it was ready")

    async def _first_token(self) -> None:
        """One real token: the model is loaded and computes."""
        status, body = await self._ask(b"POST /v1/chat/completions", _FIRST_TOKEN)
        if b" 200 " not in status:
            said = f"{status.decode('latin-1').strip() or 'nothing'} {body[:300].decode('utf-8', 'replace')}"
            raise OSError(f"it answered {said.rstrip()}")

    async def _until_it_ends(self) -> str:
        """Wait for the child's end, and bring it about when it hangs. Why it ended."""
        watch = asyncio.create_task(self._watch())
        try:
            why = await self._last_words()
            return f"it did not move for {STALL_S:g} s and was killed" if watch.done() else why
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        """Return when the child hangs, having killed it."""
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                async with asyncio.timeout(STALL_S):
                    # Answered by the loop that computes; /health is not.
                    await self._ask(b"GET /lora-adapters", b"")
            except TimeoutError:
                if self._process is not None:
                    self._process.kill()
                return
            except OSError:
                continue  # it is ending, which is waited for elsewhere

    async def _ask(self, line: bytes, body: bytes) -> tuple[bytes, bytes]:
        """One call of the child's HTTP API: its status line, and the beginning of its answer's body."""
        reader, writer = await asyncio.open_unix_connection(self.settings.socket_path)
        try:
            writer.write(
                b"%b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (line, len(body), body)
            )
            status = await reader.readline()
            rest = await reader.read(65536)
            return status, rest.partition(b"\r\n\r\n")[2]
        finally:
            writer.close()

    async def _end(self) -> None:
        """End the process, by force if it does not go. The end of its standard input tells it to."""
        process = self._process
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
        # Forgotten only now: a stop that cancels this one half-way must find the process.
        self._process = None

    async def _last_words(self) -> str:
        """Wait for the child's end; what a person needs of it: its errors, else its last lines."""
        assert self._process is not None
        assert self._reader is not None
        code = await self._process.wait()
        await asyncio.wait([self._reader], timeout=GRACE_S)
        if code == -signal.SIGKILL:
            return "it was killed by signal 9 (SIGKILL), most often because the machine ran out of memory"
        errors = [line for line in self._lines if " E " in line or "rror" in line or "ASSERT" in line]
        # A thread of llama.cpp's own writes its log: Python's traceback, which knows less, may overtake it.
        errors.sort(key=lambda line: " E " not in line)
        said = [_PREFIX.sub("", line) for line in errors] or [self._lines.latest]
        if code < 0:
            return f"signal {-code} ({signal.strsignal(-code)}): {said[-1]}"
        # What went wrong first is the reason, what comes after it the consequence.
        return f"exit status {code}: {said[0]}"
