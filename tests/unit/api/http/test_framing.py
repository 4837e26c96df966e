"""What a relay has framed already goes out as it is, but only to a caller whose answer is framed so."""

from __future__ import annotations

from typing import Any, cast

import pytest

from wye.api.http.call import Call, Carrier
from wye.kernel.chunked import framed


class Wire:
    """A connection and its transport: what is said to a caller."""

    def __init__(self) -> None:
        self.writable = True
        self.transport = self
        self.said = b""

    def write(self, data: bytes) -> None:
        self.said += data

    def date_line(self) -> bytes:
        return b""

    def finish(self, call: Call) -> None: ...


def begun(method: bytes = b"POST", version: str = "1.1", length: int | None = None) -> tuple[Call, Wire]:
    wire = Wire()
    call = Call(cast(Carrier, wire), method, b"/", version, {}, keep_alive=True, body=b"")
    call.begin(200, b"", length)
    return call, wire


def test_chunks_go_out_as_they_are() -> None:
    call, wire = begun()
    assert call.say_chunks is None, "the head comes first"
    call.say(b"one")
    say = call.say_chunks
    assert say is not None
    assert say(framed(b"two") + framed(b"three"))
    wire.writable = False
    assert not say(framed(b"four"))
    call.complete()
    body = wire.said.partition(b"\r\n\r\n")[2]
    assert body == b"".join(map(framed, (b"one", b"two", b"three", b"four"))) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "asked",
    [{"method": b"HEAD"}, {"version": "1.0"}, {"length": 6}],
    ids=["no body", "until the connection ends", "of a length"],
)
def test_an_answer_that_is_not_in_chunks_takes_none(asked: dict[str, Any]) -> None:
    call, wire = begun(**asked)
    call.say(b"one")
    assert call.say_chunks is None
    assert b"chunked" not in wire.said


def test_nothing_is_said_to_a_caller_who_left() -> None:
    call, wire = begun()
    call.say(b"one")
    say, said = call.say_chunks, wire.said
    call.on_lost()
    assert say is not None
    say(framed(b"two"))
    assert wire.said == said
