"""Several processes that answer on one listener. The parent starts them, looks after them and ends them.

The parent has no event loop and no thread, so that it may fork at any time: what the workers share is kept by a
process of its own. When the parent is gone, even by kill -9, so are all.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from types import FrameType

from wye.kernel import clock
from wye.kernel.errors import ConfigError
from wye.kernel.ids import reseed

_DEATHS = 10
_WITHIN_S = 60.0
"""So many ends of workers in so long are no accident: the server ends, and says so."""
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0
_MARGIN_S = 5.0
"""What a worker may need beyond its grace to be gone."""
_WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

_log = logging.getLogger("wye")


class Workers:
    """`work` is what each of `count` processes does, until SIGTERM; `keep` is done by one more, which they need, and
    which is killed when they are gone."""

    def __init__(self, count: int, work: Callable[[], None], keep: Callable[[], None] | None, grace_s: float) -> None:
        self._count = count
        self._work = work
        self._keep = keep
        self._grace_s = grace_s
        self._workers: set[int] = set()
        self._keeper: int | None = None
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._lifeline, self._held = os.pipe()
        self._woken, self._waker = socket.socketpair()

    def run(self, listener: socket.socket) -> None:
        """Until SIGTERM or SIGINT. Raises ConfigError when the workers cannot stay alive."""
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in _WATCHED:
            signal.signal(number, _noted)
        try:
            status = self._look_after()
        finally:
            listener.close()  # from now on whoever calls is refused
            self._end()
        if status is not None:
            raise ConfigError(
                f"The workers keep ending (the last with {_said(status)}): {_DEATHS} times within {_WITHIN_S:.0f} s. "
                "Their log says why; `wye serve --workers 1` has one process only."
            )

    def _look_after(self) -> int | None:
        """Start, and start again, until a signal comes: None. Or until too many ended: the last one's status."""
        resume_s = 0.0
        while True:
            now_s = clock.monotonic_s()
            if now_s >= resume_s:
                if self._keep is not None and self._keeper is None:
                    self._keeper = self._fork(self._keep, signal.SIGKILL)
                while len(self._workers) < self._count:
                    self._workers.add(self._fork(self._work, signal.SIGTERM))
            signals = self._wait(resume_s - now_s if resume_s > now_s else None)
            if signal.SIGTERM in signals or signal.SIGINT in signals:
                return None
            for pid, status in self._reap():
                _log.warning("The worker %d has ended (%s); another is started", pid, _said(status))
                now_s = clock.monotonic_s()
                self._deaths.append(now_s)
                recent = sum(now_s - death_s < _WITHIN_S for death_s in self._deaths)
                if recent == _DEATHS:
                    return status
                resume_s = now_s + min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (recent - 1))

    def _end(self) -> None:
        """Have running answers finish within the grace time; then nothing is left. A second SIGINT ends at once."""
        self._send(signal.SIGTERM)
        self._reap()
        until_s = clock.monotonic_s() + self._grace_s + _MARGIN_S
        while self._workers and (left_s := until_s - clock.monotonic_s()) > 0:
            signals = self._wait(left_s)
            self._reap()
            if signal.SIGINT in signals:
                self._send(signal.SIGINT)
        self._send(signal.SIGKILL)
        if self._keeper is not None:
            os.kill(self._keeper, signal.SIGKILL)
        for pid in [*self._workers, *([self._keeper] if self._keeper is not None else [])]:
            os.waitpid(pid, 0)

    def _send(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, number)

    def _wait(self, timeout_s: float | None) -> bytes:
        """The signals that came, after one did or the time is over."""
        select.select([self._woken], [], [], timeout_s)
        try:
            return self._woken.recv(4096)
        except BlockingIOError:
            return b""

    def _reap(self) -> list[tuple[int, int]]:
        """Who has ended, and with which status."""
        ended: list[tuple[int, int]] = []
        for pid in [*self._workers, *([self._keeper] if self._keeper is not None else [])]:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                ended.append((pid, status))
                self._workers.discard(pid)
                if pid == self._keeper:
                    self._keeper = None
        return ended

    def _fork(self, work: Callable[[], None], ending: int) -> int:
        """A child that does this, and to which `ending` happens when its parent is gone."""
        # No signal may reach the child before it has its own ways to take them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            return pid
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A terminal and some process managers signal the whole group: only a worker takes that for itself.
            signal.signal(signal.SIGTERM, _leave if ending == signal.SIGTERM else signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            os.close(self._held)
            self._woken.close()
            self._waker.close()
            threading.Thread(target=_end_with, args=(self._lifeline, ending), daemon=True).start()
            reseed()
            work()
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0
        except BaseException:
            _log.exception("The worker failed")
        finally:
            os._exit(status)  # what the parent has open is the parent's to close


def _end_with(lifeline: int, ending: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), ending)


def _noted(number: int, frame: FrameType | None) -> None:
    """What a signal means is read from the wake-up socket."""


def _leave(number: int, frame: FrameType | None) -> None:
    """Before the server has begun, or after its end: uvicorn raises the signal once more when it has stopped."""
    os._exit(0)


def _said(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"status {code}" if code >= 0 else signal.Signals(-code).name
