"""The parent of several processes, within this one: its children are real, and what a child does is done here, too."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from wye.cli import workers as module
from wye.cli.workers import Workers
from wye.kernel.errors import ConfigError

Work = Callable[[], None]
WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@pytest.fixture(autouse=True)
def _signals_are_given_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(module, "_LONGEST_WAIT_S", 0.01)
    monkeypatch.setattr(module, "_MARGIN_S", 0.1)
    before = {number: signal.getsignal(number) for number in WATCHED}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def wait() -> None:
    time.sleep(60)


def telling(number: int) -> Work:
    """Work that signals the parent, and goes on."""

    def work() -> None:
        os.kill(os.getppid(), number)
        wait()

    return work


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    forked: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(pid := fork()) or pid)
    yield
    for pid in forked:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them(number: int, listener: socket.socket) -> None:
    Workers(2, telling(number), wait, grace_s=10).run(listener)
    assert listener.fileno() == -1, "nobody is let in any more"


def test_who_does_not_end_in_time_is_killed(listener: socket.socket) -> None:
    def stubborn() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        telling(signal.SIGTERM)()

    Workers(1, stubborn, None, grace_s=0.2).run(listener)


def test_a_second_sigint_is_passed_on(listener: socket.socket) -> None:
    def slow() -> None:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(0))
        signal.signal(signal.SIGTERM, lambda number, frame: os.kill(os.getppid(), signal.SIGINT))
        os.kill(os.getppid(), signal.SIGTERM)
        while True:
            time.sleep(0.05)

    begun_s = time.monotonic()
    Workers(1, slow, None, grace_s=30).run(listener)
    assert time.monotonic() - begun_s < 10


def failing() -> None:
    raise SystemExit(3)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("work", "keep", "said"), [(failing, None, "status 3"), (wait, killed, "SIGKILL")], ids=["worker", "keeper"]
)
def test_who_ends_is_started_again_until_it_is_too_often(
    work: Work, keep: Work | None, said: str, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(ConfigError, match=rf"\(the last with {said}\): 10 times within 60 s"),
    ):
        Workers(1, work, keep, grace_s=1).run(listener)
    assert caplog.text.count(f"({said}); another is started") == 10


class Exited(BaseException):
    pass


Child = Callable[[Work, int], int]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    """What a child does with this work, up to its status: here, where no parent's end is its end."""

    def leave(status: int) -> None:
        raise Exited(status)

    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(module, "_end_with", lambda lifeline, ending: None)

    def child(work: Work, ending: int) -> int:
        with pytest.raises(Exited) as exited:
            Workers(1, work, None, grace_s=1)._fork(work, ending)
        return exited.value.args[0]

    return child


def raising(error: BaseException) -> Work:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "status"),
    [(lambda: None, 0), (raising(SystemExit(4)), 4), (raising(SystemExit()), 0), (raising(ValueError("oh")), 1)],
    ids=["done", "its status", "no status", "an error"],
)
def test_a_child_ends_with_its_status(work: Work, status: int, child: Child) -> None:
    assert child(work, signal.SIGTERM) == status


def test_a_worker_takes_a_groups_signal_and_the_keeper_does_not(child: Child) -> None:
    taken: list[object] = []
    for ending in (signal.SIGTERM, signal.SIGKILL):
        child(lambda: taken.extend(map(signal.getsignal, (signal.SIGTERM, signal.SIGINT))), ending)
    assert taken == [module._leave, signal.SIG_IGN, signal.SIG_IGN, signal.SIG_IGN]


def test_who_is_told_to_leave_leaves(child: Child) -> None:
    with pytest.raises(Exited):
        module._leave(signal.SIGTERM, None)


def test_a_child_ends_when_its_parent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: ended.append((pid, number)))
    lifeline, held = os.pipe()
    os.close(held)
    module._end_with(lifeline, signal.SIGTERM)
    os.close(lifeline)
    assert ended == [(os.getpid(), signal.SIGTERM)]
