"""Where HTTP ends: bodies within their limit, callers that leave, what headers say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import pytest

from wye.api import edge
from wye.api.edge import CallerLeft, Departures, Head, as_wye_error, error_headers, read_body
from wye.kernel.errors import LimitExceeded, NotFound, TooLarge, Unauthenticated, UnsupportedMedia, WyeError

LIMIT = 10
GONE: dict[str, Any] = {"type": "http.disconnect"}


def piece(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Connection:
    """Says its messages, then nothing until the caller leaves."""

    def __init__(self, messages: Iterable[dict[str, Any]] = ()) -> None:
        self._messages = list(messages)
        self.left = asyncio.Event()
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self._messages:
            return self._messages.pop(0)
        await self.left.wait()
        return GONE


@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"0123456789")],
        [piece(b"01234", True), piece(b"56789")],
        [piece(b"", True), piece(b"0123456789", True), piece(b"")],
        [{"type": "http.request", "body": b"0123456789"}],
        [piece(bytes([byte]), True) for byte in b"0123456789"] + [{"type": "http.request"}],
    ],
)
async def test_a_body_within_the_limit_is_read_whole(messages: list[dict[str, Any]]) -> None:
    assert await read_body(Connection(messages).receive, Head({}), LIMIT) == b"0123456789"


@pytest.mark.parametrize(
    ("headers", "messages", "read"),
    [
        ({b"content-length": b"11"}, [], 0),
        ({b"content-length": b"9" * 5000}, [], 0),
        ({}, [piece(b"x" * 11)], 1),
        ({b"content-length": b"3"}, [piece(b"x" * 11)], 1),
        ({b"content-length": b"3"}, [piece(b"x" * 3, True), piece(b"x" * 8, True)], 2),
        ({b"content-length": b"-1"}, [piece(b"x" * 11, True)], 1),
        ({b"content-length": b"lots"}, [piece(b"x" * 5, True), piece(b"x" * 6)], 2),
    ],
)
async def test_a_body_over_the_limit_is_refused_whatever_its_length_claims(
    headers: dict[bytes, bytes], messages: list[dict[str, Any]], read: int
) -> None:
    connection = Connection(messages)
    with pytest.raises(TooLarge, match=r"server\.body_limit_mb"):
        await read_body(connection.receive, Head(headers), LIMIT)
    assert connection.asked == read


@pytest.mark.parametrize("messages", [[GONE], [piece(b"01", True), GONE]])
async def test_a_caller_that_leaves_before_its_body_is_complete_gets_no_answer(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(CallerLeft):
        await read_body(Connection(messages).receive, Head({}), LIMIT)


@pytest.mark.parametrize(
    ("encoding", "taken"), [(b"gzip", False), (b"br", False), (b"\xff", False), (b"identity", True)]
)
async def test_only_a_plain_body_is_read(encoding: bytes, taken: bool) -> None:
    connection = Connection([piece(b"x")])
    head = Head({b"content-encoding": encoding})
    if taken:
        assert await read_body(connection.receive, head, LIMIT) == b"x"
    else:
        with pytest.raises(UnsupportedMedia, match="as it is"):
            await read_body(connection.receive, head, LIMIT)
        assert connection.asked == 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(b"abc-1", True), (b"x" * 128, True), (b"x" * 129, False), (b"", False), (b"a b", False), (b"a\n", False)],
)
def test_a_request_id_is_kept_if_it_is_usable(sent: bytes, kept: bool) -> None:
    request_id = Head({b"x-request-id": sent}).request_id
    assert (request_id == sent.decode()) is kept
    assert kept or len(request_id) == len("req_") + 32


@pytest.mark.parametrize(
    ("headers", "plain", "strict"),
    [
        ({}, False, False),
        ({b"accept": b"text/plain", b"x-wye-strict": b"true"}, True, True),
        ({b"accept": b"application/json", b"x-wye-strict": b"0"}, False, False),
        ({b"x-wye-strict": b"TRUE"}, False, True),
        ({b"x-wye-strict": b"1"}, False, True),
    ],
)
def test_what_a_request_asks_of_the_edge(headers: dict[bytes, bytes], plain: bool, strict: bool) -> None:
    head = Head(headers)
    assert (head.accepts_plain_text, head.strict) == (plain, strict)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "_WATCH_AFTER_S", 0.01)


@pytest.mark.usefixtures("quick")
async def test_a_short_call_costs_no_task_and_leaves_no_timer() -> None:
    departures, connection = Departures(), Connection()
    before = len(asyncio.all_tasks())
    departure = departures.watch(connection.receive)
    assert len(asyncio.all_tasks()) == before
    departure.stop()
    await asyncio.sleep(0.05)
    assert connection.asked == 0
    assert len(asyncio.all_tasks()) == before
    assert departures._looking is False
    assert not departures._young


@pytest.mark.usefixtures("quick")
async def test_a_long_call_whose_caller_leaves_is_cancelled() -> None:
    departures, connection = Departures(), Connection([piece(b"")])
    seen: list[bool] = []

    async def call() -> None:
        departure = departures.watch(connection.receive)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append(departure.left)
        finally:
            departure.stop()

    running = asyncio.create_task(call())
    await asyncio.sleep(0.05)
    assert connection.asked == 2
    connection.left.set()
    await asyncio.wait_for(running, 5)
    assert seen == [True]


@pytest.mark.usefixtures("quick")
async def test_a_long_call_that_ends_by_itself_is_watched_no_longer() -> None:
    departures, connection = Departures(), Connection()
    before = len(asyncio.all_tasks())
    departure = departures.watch(connection.receive)
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) == before + 1
    departure.stop()
    departure.stop()
    await asyncio.sleep(0)
    connection.left.set()
    await asyncio.sleep(0.02)
    assert len(asyncio.all_tasks()) == before
    assert departure.left is False


@pytest.mark.usefixtures("quick")
async def test_one_timer_looks_after_all_calls() -> None:
    departures = Departures()
    connections = [Connection() for _ in range(100)]
    watched = [departures.watch(connection.receive) for connection in connections]
    for departure in watched[:90]:
        departure.stop()
    await asyncio.sleep(0.05)
    assert sum(connection.asked for connection in connections) == 10
    for departure in watched:
        departure.stop()


def test_what_a_caller_may_see_is_told_and_the_rest_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    known = NotFound("no such thing")
    assert as_wye_error(known, "req_1") is known
    assert caplog.records == []
    told = as_wye_error(ValueError("a secret detail"), "req_2")
    assert (told.status, type(told)) == (500, WyeError)
    assert "secret" not in told.message
    assert "req_2" in told.message
    assert [(r.levelno, r.exc_info is not None) for r in caplog.records] == [(logging.ERROR, True)]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (NotFound("x"), []),
        (LimitExceeded("x", retry_after_s=0.2), [(b"retry-after", b"1")]),
        (LimitExceeded("x", retry_after_s=2), [(b"retry-after", b"2")]),
        (LimitExceeded("x", retry_after_s=2.1), [(b"retry-after", b"3")]),
        (Unauthenticated("x"), [(b"www-authenticate", b"Bearer")]),
        (TooLarge("x"), [(b"connection", b"close")]),
    ],
)
def test_what_http_says_about_an_error(error: WyeError, wanted: list[tuple[bytes, bytes]]) -> None:
    assert error_headers(error) == wanted
