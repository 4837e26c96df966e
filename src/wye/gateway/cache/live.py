"""One answer under way that several callers hear: those who come late hear what was said, then the rest as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from wye.canon.events import End, Event, Failure, Start, UsageReport
from wye.canon.fold import fold
from wye.canon.loss import Loss, Losses
from wye.canon.response import ChatResponse
from wye.canon.usage import Usage
from wye.dialects.dialect import StreamEncoder
from wye.gateway.cache.control import Status
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange, Outlet
from wye.kernel import clock
from wye.kernel.errors import BadAnswer, StreamCut, WyeError

MAX_BYTES = 64 * 1024 * 1024
"""Of one answer, about: what is longer breaks off."""
_EVENT_BYTES = 200


class Live(StreamEncoder):
    """Takes an answer's events in place of a caller's encoder, and lets any number of callers hear them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.opened = False
        """Whether the answer has begun well; then the next three are known."""
        self.deployment: Deployment | None = None
        self.attempts = 0
        self.losses = Losses()
        self.asked: Exchange | None = None
        """The call that is made for it here."""
        self.status: Status = "miss"
        """What its first caller is told: the answer may be kept, or under way at another replica."""
        self.done = False
        self.failure: BaseException | None = None
        """Why there is no answer at all. One that breaks off has a Failure among its events."""
        self.listeners = 0
        self.task: asyncio.Task[None] | None = None
        self._bytes = 0
        self._waiting: list[asyncio.Future[None]] = []

    def open(self, deployment: Deployment | None, attempts: int, losses: Sequence[Loss]) -> None:
        self.deployment, self.attempts = deployment, attempts
        self.losses[:] = losses
        self.opened = True
        self._wake()

    def encode(self, event: Event) -> bytes:
        """Take one event; nothing is to be said for it here. Raises BadAnswer when the answer has no end."""
        self.hear([event])
        return b""

    def hear(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Start) and event.created is None:
                # Else each caller's encoder would say its own time, and the same answer would have several.
                event = msgspec.structs.replace(event, created=clock.unix_s())  # noqa: PLW2901
            self._bytes += _EVENT_BYTES + len(getattr(event, "text", ""))
            if self._bytes > MAX_BYTES:
                raise BadAnswer(f"The upstream's answer is longer than {MAX_BYTES // 2**20} MiB")
            self.events.append(event)
        self._wake()

    def finish(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.done = True
        self._wake()

    def leave(self) -> None:
        """A caller hears no longer. When nobody does, nobody needs the answer."""
        self.listeners -= 1
        if not self.listeners and not self.done and self.task is not None:
            self.task.cancel()

    async def more(self) -> None:
        """Return when something has happened."""
        if self.done:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class Listener:
    """Implements `exchange.Stream`: a live answer, or one that is over, in one caller's dialect."""

    def __init__(self, live: Live, encoder: StreamEncoder) -> None:
        self._live = live
        self._encoder = encoder
        self._open = True
        self._over = False
        self.usage: Usage | None = None
        self.failed = False

    async def relay(self, outlet: Outlet) -> None:
        live, encode, position = self._live, self._encoder.encode, 0
        while True:
            while position < len(live.events):
                event = live.events[position]
                position += 1
                self._note(event)
                said = encode(event)
                if said and not outlet.say(said):
                    await outlet.drained()
            if live.done:
                if not self._over:
                    self.failed = True
                    outlet.say(self.cut(_why(live)))
                return
            await live.more()

    def cut(self, error: WyeError) -> bytes:
        if self._over:
            return b""
        self._over = True
        return self._encoder.encode(Failure(error))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._live.leave()

    def _note(self, event: Event) -> None:
        match event:
            case Start() | UsageReport() if event.usage is not None:
                self.usage = event.usage if self.usage is None else self.usage.updated(event.usage)
            case Failure():
                self.failed = self._over = True
            case End():
                self._over = True
            case _:
                pass


def _why(live: Live) -> WyeError:
    """Why an answer that had begun has no end."""
    return live.failure if isinstance(live.failure, WyeError) else StreamCut("The answer broke off within Wye")


async def begun(live: Live) -> None:
    """Wait until there is something to tell. Raises why there never will be."""
    while not (live.opened or live.done):
        await live.more()
    if live.failure is not None:
        raise live.failure


async def whole(live: Live) -> ChatResponse:
    """Wait for the end. Raises the failure that it ended in."""
    while not live.done:
        await live.more()
    if live.failure is not None:
        raise live.failure
    return fold(live.events)
