"""A head that is known again: whatever a caller says, the answer is the one that the parser alone would lead to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from uvicorn.server import ServerState

from wye.api.asgi import Application, Receive, Scope, Send
from wye.api.http import connection, known_head
from wye.api.http.connection import Connection
from wye.api.http.server import make_server

HEAD = b"POST /v1?a=b HTTP/1.1\r\nHost: wye\r\nAuthorization: Bearer k\r\nContent-Length: %d\r\nX-Last: 1\r\n\r\n"
MAX_HEAD_BYTES = known_head.MAX_KNOWN_BYTES


def said(body: bytes, head: bytes = HEAD) -> bytes:
    return head % len(body) + body


def with_line(line: bytes) -> bytes:
    return HEAD.replace(b"X-Last: 1", line)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """All that the application learns of a request, as the answer."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    told = {name: scope[name] for name in ("method", "http_version", "raw_path", "query_string", "headers")}
    answer = repr((told, body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


class Wire:
    """A transport that keeps what is said."""

    def __init__(self) -> None:
        self.said = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.said += data

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> Any:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def connected(application: Application) -> tuple[Connection, Wire]:
    config = make_server(application, grace_s=1).config
    config.load()
    served, wire = Connection(config, ServerState(), {}), Wire()
    served.connection_made(cast(asyncio.Transport, wire))
    return served, wire


async def transcript(pieces: Sequence[bytes], rounds: int) -> tuple[bytes, bool]:
    """What comes back on one connection, and whether it was closed. So many rounds of the loop after each piece: in six
    there is an answer."""
    served, wire = connected(echo)
    for piece in pieces:
        if not wire.closed:
            served.data_received(piece)
        for _ in range(rounds):
            await asyncio.sleep(0)
    for _ in range(6 * len(pieces)):
        await asyncio.sleep(0)
    served.connection_lost(None)
    await asyncio.sleep(0)
    return wire.said, wire.closed


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies of the requests whose heads were known."""
    bodies: list[bytes] = []
    read = known_head.KnownHead.read

    def watched(self: known_head.KnownHead, data: bytes) -> Any:
        found = read(self, data)
        if found is not None and not found[2]:
            bodies.append(found[1])
        return found

    monkeypatch.setattr(known_head.KnownHead, "read", watched)
    return bodies


async def compare(pieces: Sequence[bytes], monkeypatch: pytest.MonkeyPatch, rounds: int = 6) -> None:
    learning = await transcript(pieces, rounds)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "MAX_LEARNED", 0)
        assert learning == await transcript(pieces, rounds)


ONE = said(b"one")
LONG_BODY = b"x" * (connection.MAX_HELD_BYTES - len(HEAD % 10_000))
LONG = said(LONG_BODY)
LONGER = said(b"x" * 100_000)
OFFER = b"POST /U HTTP/1.1\r\nhost: wye\r\nconnection: upgrade\r\ncontent-length: 1\r\nupgrade: h2c\r\n\r\nu"
BEHIND = b"DELETE /A HTTP/1.1\r\nHost: a\r\nAuthorization: A\r\nX: y\r\n\r\n"
"""As many lines as an offer without what it offers."""
TRAILED = b"POST / HTTP/1.1\r\nHost: wye\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nConnection: close\r\n\r\n"
SEQUENCES: dict[str, tuple[list[bytes], list[bytes]]] = {
    "the same": ([ONE, ONE, ONE], [b"one", b"one"]),
    "another length": ([ONE, said(b"two and more"), said(b""), ONE], [b"two and more", b"", b"one"]),
    "as many digits as a length may have": ([ONE, HEAD.replace(b"%d", b"000000000000003") + b"two"], [b"two"]),
    "one digit more": ([ONE, HEAD.replace(b"%d", b"0000000000000003") + b"two"], []),
    "no digit": ([ONE, HEAD.replace(b"%d", b"") + b"two"], []),
    "a sign": ([ONE, HEAD.replace(b"%d", b"+3") + b"two"], []),
    "a blank": ([ONE, HEAD.replace(b"%d", b"3 ") + b"two"], []),
    "two lengths": ([ONE, HEAD.replace(b"%d", b"3, 3") + b"two"], []),
    "a body that is not all there": ([ONE, ONE[:-1], b"e", ONE], [b"one", b"one"]),
    "a body that comes later": ([ONE, ONE[:-3], b"one", ONE], [b"one", b"one"]),
    "a body that comes in two pieces": ([ONE, ONE[:-3], b"o", b"ne", ONE], [b"one"]),
    "a body that comes with the next": ([ONE, ONE[:-3], b"one" + ONE, ONE], [b"one"]),
    "one that is long": ([ONE, LONG[: -len(LONG_BODY)], LONG_BODY], [LONG_BODY]),
    "one that is too long": ([ONE, said(LONG_BODY + b"x")[: -len(LONG_BODY) - 1], LONG_BODY + b"x"], []),
    "a long one in three pieces": ([ONE, LONG[:40_000], LONG[40_000:60_000], LONG[60_000:], ONE], [b"one"]),
    "one too long in three pieces": ([ONE, LONGER[:40_000], LONGER[40_000:70_000], LONGER[70_000:], ONE], [b"one"]),
    "a long one, and much behind it": ([ONE, LONG[:-1], LONG[-1:] + said(b"x" * 90_000) + ONE], [LONG_BODY]),
    "a head in two pieces": ([ONE, ONE[:30], ONE[30:], ONE], [b"one"]),
    "a byte of the next": ([ONE, ONE + b"P", ONE[1:], ONE], [b"one"]),
    "two at once": ([ONE, ONE + ONE, ONE], [b"one"]),
    "the first of two at once": ([ONE + ONE, ONE], [b"one"]),
    "one whose body came later": ([ONE[:-1], ONE[-1:], ONE], [b"one"]),
    "from the second piece on another one's": ([ONE[:9], ONE[9:], ONE, ONE], [b"one"]),
    "empty lines before it": ([ONE, b"\r\n", ONE, b"\r\n" + ONE, ONE], [b"one", b"one"]),
    "another path": ([ONE, ONE.replace(b"/v1", b"/v2"), ONE.replace(b"/v1", b"/v2")], [b"one"]),
    "another key": ([ONE, ONE.replace(b"Bearer k", b"Bearer l"), ONE], []),
    "a line more": ([ONE, said(b"one", with_line(b"X-Last: 1\r\nX-More: 2")), ONE], []),
    "another length behind": ([ONE, said(b"one", with_line(b"Content-Length: 3")), ONE], []),
    "no length": ([b"GET / HTTP/1.1\r\nHost: wye\r\n\r\n"] * 3, []),
    "in pieces of their own lengths": ([said(b"0\r\n\r\n", with_line(b"Transfer-Encoding: chunked"))] * 2, []),
    "to be the last": ([said(b"one", with_line(b"Connection: close"))] * 2, []),
    "an older version": ([ONE.replace(b"HTTP/1.1", b"HTTP/1.0")] * 2, []),
    "older, but kept": ([said(b"one", with_line(b"Connection: keep-alive")).replace(b"/1.1", b"/1.0")] * 2, []),
    "kept, as it says": ([said(b"one", with_line(b"Connection: keep-alive"))] * 2, [b"one"]),
    "one that asks first": ([said(b"one", with_line(b"Expect: 100-continue"))] * 2, []),
    "an offer of another protocol": ([said(b"one", with_line(b"Connection: upgrade\r\nUpgrade: h2c"))] * 2, [b"one"]),
    "an offer behind another request": ([BEHIND + OFFER, OFFER.replace(b"upgrade: h2c\r\n", b"")], []),
    "an offer behind one that is known": ([ONE, ONE, ONE + OFFER, ONE, OFFER], [b"one", b"one"]),
    "behind trailers that end the connection": ([ONE, TRAILED, ONE], []),
    "behind trailers that came with the one before": ([ONE + TRAILED, ONE], []),
    "a header twice": ([said(b"one", with_line(b"X-Last: 1\r\nX-Last: 2"))] * 2, []),
    "a header in two lines": ([said(b"one", with_line(b"X-Last: 1\r\n 2"))] * 2, []),
    "a line ended by LF": ([said(b"one", with_line(b"X: 1\nX-Last: 1"))] * 2, []),
    "lines ended by LF": ([ONE.replace(b"\r\n", b"\n")] * 2, []),
    "an empty head within a body": ([said(ONE), said(ONE)], [ONE]),
    "a head too long to keep": ([said(b"one", with_line(b"X: " + b"y" * MAX_HEAD_BYTES))] * 2, []),
    "too many that differ": (
        [said(b"one", with_line(b"X-Last: %d" % n)) for n in range(connection.MAX_LEARNED)] + [ONE, ONE],
        [],
    ),
    "not HTTP": ([ONE, b"\x16\x03\x01", ONE], []),
}


@pytest.mark.parametrize("name", SEQUENCES)
async def test_what_is_known_again(name: str, known: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, expected = SEQUENCES[name]
    await compare(pieces, monkeypatch)
    assert known == expected


@pytest.mark.parametrize("at", range(1, len(ONE)))
async def test_a_request_in_two_pieces(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await compare([ONE, ONE[:at], ONE[at:], ONE], monkeypatch)
    await compare([ONE + ONE[:at], ONE[at:] + ONE, ONE], monkeypatch)


async def test_requests_that_do_not_wait(known: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    for rounds in range(6):
        await compare([ONE, said(b"two and more"), ONE, ONE], monkeypatch, rounds)
    assert known


async def test_a_known_request_waits_for_the_answer_before_its_own(known: list[bytes]) -> None:
    begun: list[asyncio.Event] = []

    async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(asyncio.Event())
        await begun[-1].wait()
        await echo(scope, receive, send)

    served, wire = connected(slowly)
    for number, _ in enumerate("abc", 1):
        served.data_received(ONE)
        served.data_received(ONE)
        for which in (-1, 0):
            for _ in range(6):
                await asyncio.sleep(0)
            assert len(begun) == 2 * number + which
            begun[-1].set()
        for _ in range(6):
            await asyncio.sleep(0)
        assert wire.said.count(b"HTTP/1.1 200") == 2 * number
    assert known == [b"one"] * 2
    served.connection_lost(None)


async def test_requests_cut_anywhere(known: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    kinds = [said(b""), ONE, said(b"x" * 100), said(ONE), ONE.replace(b"/v1", b"/v2"), *SEQUENCES["no length"][0][:1]]
    for _ in range(150):
        pieces = [b""]
        for kind in chance.choices(kinds, k=8):
            cuts = sorted(chance.sample(range(len(kind)), k=chance.choice((0, 0, 1, 2))))
            first, *more = [kind[a:b] for a, b in pairwise([0, *cuts, len(kind)])]
            if chance.random() < 0.8:
                pieces.append(first)
            else:
                pieces[-1] += first
            pieces += more
        await compare([piece for piece in pieces if piece], monkeypatch)
    assert len(known) > 50
