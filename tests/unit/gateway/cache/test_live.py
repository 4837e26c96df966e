"""Who listens to an answer under way is told its end, or that it has none: never nothing."""

from __future__ import annotations

import pytest

from wye.canon.events import End, Event, Failure, Finish, PartEnd, PartStart, Start, TextDelta
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest
from wye.dialects.openai_chat import DIALECT
from wye.gateway.cache.live import Listener, Live
from wye.kernel.errors import StreamCut

SAID: list[Event] = [Start("c", "m"), PartStart(0, Text("")), TextDelta(0, "Hello"), PartEnd(0), Finish("stop")]
DONE = b"data: [DONE]\n\n"


class Outlet:
    def __init__(self) -> None:
        self.said = b""

    def say(self, data: bytes) -> bool:
        self.said += data
        return True

    async def drained(self) -> None: ...


async def heard(last: list[Event], failure: BaseException | None) -> tuple[bytes, bool]:
    live, outlet = Live(), Outlet()
    live.listeners = 1
    listener = Listener(live, DIALECT.stream_encoder(ChatRequest(model="m", messages=[]), Losses()))
    live.open(None, 1, [])
    live.hear([*SAID, *last])
    live.finish(failure)
    await listener.relay(outlet)
    listener.close()
    return outlet.said, listener.failed


async def test_an_answer_with_its_end_is_told_as_it_is() -> None:
    said, failed = await heard([End()], None)
    assert said.endswith(DONE)
    assert b"error" not in said
    assert not failed


@pytest.mark.parametrize("failure", [None, RuntimeError("closed"), StreamCut("cut"), MemoryError()])
async def test_one_that_was_left_without_an_end_ends_in_an_error(failure: BaseException | None) -> None:
    said, failed = await heard([], failure)
    assert said.count(b'"error"') == 1
    assert failed


async def test_a_failure_that_was_told_is_not_told_again() -> None:
    said, failed = await heard([Failure(StreamCut("cut"))], None)
    assert said.count(b'"error"') == 1
    assert failed
