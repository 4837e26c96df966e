"""A caller by ASGI's messages, for servers other than Wye's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.waiting import turns
from wye.api.caller import DIRECT, AsgiCaller, caller_of, header_map

Messages = list[dict[str, Any]]


class Server:
    """What the application is told, in order; after that nothing, until `leave`."""

    def __init__(self, *told: dict[str, Any], deaf: bool = False) -> None:
        self.told = list(told)
        self.deaf = deaf
        self.heard: Messages = []
        self.receives = 0
        self._left = asyncio.Event()

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Any:
        self.receives += 1
        if self.told:
            return self.told.pop(0)
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.deaf:
            raise ConnectionResetError
        self.heard.append(dict(message))

    def caller(self, *headers: tuple[bytes, bytes]) -> AsgiCaller:
        return AsgiCaller({"type": "http", "headers": list(headers)}, self.receive, self.send)


def request(body: bytes | None, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "more_body": more} | ({} if body is None else {"body": body})


@pytest.mark.parametrize(
    ("told", "pieces"),
    [
        ([request(b"hello")], [b"hello", b""]),
        ([request(b"")], [b""]),
        ([request(None)], [b""]),
        ([request(b"he", more=True), request(b"llo")], [b"he", b"llo", b""]),
        ([request(b"he", more=True), request(b"", more=True), request(b"llo")], [b"he", b"llo", b""]),
        ([request(b"he", more=True), request(b"")], [b"he", b""]),
        ([request(b"he", more=True), {"type": "http.disconnect"}], [b"he", None]),
        ([{"type": "http.disconnect"}], [None]),
    ],
)
async def test_a_body_is_read_piece_by_piece_to_its_end(told: Messages, pieces: list[bytes | None]) -> None:
    server = Server(*told)
    caller = server.caller()
    assert [await caller.read() for _ in pieces] == pieces
    assert caller.left is (pieces[-1] is None)
    if not caller.left:
        assert await caller.read() == b""
        assert server.receives == len(told), "the end is known: to ask once more would wait for the caller to leave"


async def test_an_answer_in_pieces_becomes_messages_as_it_is_taken() -> None:
    server = Server()
    caller = server.caller()
    caller.begin(200, b"x-a: b: c\r\nx-d: \r\n", None)
    assert not caller.say(b"one"), "only to wait sends it"
    assert server.heard == []
    await caller.drained()
    caller.say(b"two")
    caller.say(b"three")
    await caller.drained()
    await caller.drained()
    await caller.end()
    assert server.heard == [
        {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b: c"), (b"x-d", b"")]},
        {"type": "http.response.body", "body": b"one", "more_body": True},
        {"type": "http.response.body", "body": b"two", "more_body": True},
        {"type": "http.response.body", "body": b"three", "more_body": True},
        {"type": "http.response.body", "body": b""},
    ]


async def test_a_whole_answer_is_two_messages() -> None:
    server = Server()
    caller = server.caller()
    caller.begin(404, b"", 5)
    caller.say(b"hello")
    await caller.end()
    assert server.heard == [
        {"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"5")]},
        {"type": "http.response.body", "body": b"hello", "more_body": False},
    ]


async def test_an_answer_of_nothing_has_an_end_too() -> None:
    server = Server()
    caller = server.caller()
    caller.begin(204, b"", None)
    await caller.end()
    assert [message["type"] for message in server.heard] == ["http.response.start", "http.response.body"]


async def test_work_is_cancelled_when_its_caller_leaves() -> None:
    server = Server(request(b""), request(b"late"))
    caller = server.caller()

    async def work() -> None:
        await caller.read()
        caller.cancel_if_left()
        await asyncio.sleep(30)

    working = asyncio.create_task(work())
    await turns(5)
    assert not working.done()
    server.leave()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert caller.left


@pytest.mark.parametrize("ends", [True, False], ids=["it ends", "it fails"])
async def test_nobody_watches_for_a_caller_whose_work_is_over(ends: bool) -> None:
    server = Server()
    caller = server.caller()

    async def work() -> None:
        caller.cancel_if_left()
        await asyncio.sleep(0)
        if not ends:
            raise ValueError
        caller.begin(204, b"", None)
        await caller.end()

    before = asyncio.all_tasks()
    await asyncio.gather(asyncio.create_task(work()), return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    server.leave()
    assert not caller.left


async def test_a_server_that_refuses_a_message_says_that_the_caller_left() -> None:
    caller = Server(deaf=True).caller()
    caller.begin(200, b"", None)
    caller.say(b"one")
    with pytest.raises(ConnectionResetError):
        await caller.drained()
    assert caller.left


async def test_a_server_of_our_own_is_spoken_to_directly() -> None:
    server = Server()
    own = server.caller()
    scope: dict[str, Any] = {"type": "http", "headers": []}
    assert isinstance(caller_of(scope, server.receive, server.send), AsgiCaller)
    scope["extensions"] = {"other": {}}
    assert isinstance(caller_of(scope, server.receive, server.send), AsgiCaller)
    scope["extensions"] = {DIRECT: own}
    assert caller_of(scope, server.receive, server.send) is own


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        ([(b"a", b"1"), (b"b", b"2")], {b"a": b"1", b"b": b"2"}),
        ([(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"a", b"4")], {b"a": b"1, 3, 4", b"b": b"2"}),
    ],
)
def test_a_header_that_comes_twice_has_both_values(
    headers: list[tuple[bytes, bytes]], found: dict[bytes, bytes]
) -> None:
    assert header_map(headers) == found
