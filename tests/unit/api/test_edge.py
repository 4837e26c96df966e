"""Where HTTP ends: bodies within their limit, what headers say."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, cast

import pytest

from wye.api.caller import AsgiCaller
from wye.api.edge import (
    CallerLeft,
    as_wye_error,
    asks_for_plain_text,
    body_at_once,
    error_headers,
    read_body,
    request_id_of,
    wants_strict,
)
from wye.api.http.call import Call
from wye.kernel.errors import LimitExceeded, NotFound, TooLarge, Unauthenticated, UnsupportedMedia, WyeError

LIMIT = 10
GONE: dict[str, Any] = {"type": "http.disconnect"}


def piece(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Connection:
    """Says its messages, then nothing."""

    def __init__(self, messages: Iterable[dict[str, Any]] = ()) -> None:
        self._messages = list(messages)
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        return self._messages.pop(0)

    def caller(self, headers: dict[bytes, bytes] | None = None) -> AsgiCaller:
        async def send(message: Any) -> None:
            raise AssertionError("nobody is answered")

        return AsgiCaller({"headers": list((headers or {}).items())}, self.receive, send)


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
    assert await read_body(Connection(messages).caller(), LIMIT) == b"0123456789"


@pytest.mark.parametrize(
    ("headers", "messages", "read"),
    [
        ({b"content-length": b"11"}, [], 0),
        ({b"content-length": b"9" * 5000}, [], 0),
        ({}, [piece(b"x" * 11)], 1),
        ({b"content-length": b"3"}, [piece(b"x" * 11)], 1),
        ({b"content-length": b"-1"}, [piece(b"x" * 11, True)], 1),
        ({b"content-length": b"lots"}, [piece(b"x" * 5, True), piece(b"x" * 6)], 2),
    ],
)
async def test_a_body_over_the_limit_is_refused_whatever_its_length_claims(
    headers: dict[bytes, bytes], messages: list[dict[str, Any]], read: int
) -> None:
    connection = Connection(messages)
    with pytest.raises(TooLarge, match=r"server\.body_limit_mb"):
        await read_body(connection.caller(headers), LIMIT)
    assert connection.asked == read


@pytest.mark.parametrize("messages", [[GONE], [piece(b"01", True), GONE]])
async def test_a_caller_that_leaves_before_its_body_is_complete_gets_no_answer(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(CallerLeft):
        await read_body(Connection(messages).caller(), LIMIT)


@pytest.mark.parametrize(
    ("pieces", "whole", "headers", "body"),
    [
        ([b"0123456789"], True, {}, b"0123456789"),
        ([b"01", b"23"], True, {}, b"0123"),
        ([], True, {}, b""),
        ([b"01"], False, {}, None),
        ([b"x" * 11], True, {}, None),
        ([b"01"], True, {b"content-encoding": b"gzip"}, None),
    ],
    ids=["one piece", "two", "none", "more comes", "too long", "encoded"],
)
def test_a_body_that_has_come_is_not_waited_for(
    pieces: list[bytes], whole: bool, headers: dict[bytes, bytes], body: bytes | None
) -> None:
    call = Call(cast(Any, None), b"POST", b"/", "1.1", headers, keep_alive=True)
    (call.on_whole if whole else call.on_body)(pieces)
    assert body_at_once(call, LIMIT) == body
    if body is not None:
        assert body_at_once(call, LIMIT) == b""
        call.left = True
    assert body_at_once(call, LIMIT) is None


@pytest.mark.parametrize(
    ("encoding", "taken"), [(b"gzip", False), (b"br", False), (b"\xff", False), (b"identity", True)]
)
async def test_only_a_plain_body_is_read(encoding: bytes, taken: bool) -> None:
    connection = Connection([piece(b"x")])
    caller = connection.caller({b"content-encoding": encoding})
    if taken:
        assert await read_body(caller, LIMIT) == b"x"
    else:
        with pytest.raises(UnsupportedMedia, match="send the body plain"):
            await read_body(caller, LIMIT)
        assert connection.asked == 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(b"abc-1", True), (b"x" * 128, True), (b"x" * 129, False), (b"", False), (b"a b", False), (b"a\n", False)],
)
def test_a_request_id_is_kept_if_it_is_usable(sent: bytes, kept: bool) -> None:
    request_id = request_id_of({b"x-request-id": sent})
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
    assert (asks_for_plain_text(headers), wants_strict(headers)) == (plain, strict)


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
    ],
)
def test_what_http_says_about_an_error(error: WyeError, wanted: list[tuple[bytes, bytes]]) -> None:
    assert error_headers(error) == wanted
