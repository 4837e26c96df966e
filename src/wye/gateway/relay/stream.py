"""What every relayed stream has in common: the commit buffer, the last two clocks, and an honest end."""

from __future__ import annotations

from collections.abc import Callable

from wye.canon.events import (
    ArgumentsDelta,
    End,
    Event,
    Failure,
    Finish,
    Ping,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
    is_content,
)
from wye.canon.usage import Usage
from wye.gateway.exchange import Outlet
from wye.kernel import clock
from wye.kernel.errors import ClockExpired, UpstreamError, WyeError
from wye.ports.transport import Clocks, Reply

_PIECES = (TextDelta, ThinkingDelta, ArgumentsDelta)


class RelayedStream:
    """Implements `exchange.Stream`, and `transport.Sink` for the upstream's bytes: each piece goes to the caller in the
    same moment. A subclass says what it amounts to."""

    def __init__(self, reply: Reply, clocks: Clocks) -> None:
        self._reply = reply
        self._clocks = clocks
        self._held = b""
        self._content = False
        self._over = False
        self._gap_s = clocks.gap_s
        self._outlet: Outlet | None = None
        self._say_chunks: Callable[[bytes], bool] | None = None
        self.deadline_s = clock.monotonic_s() + clocks.gap_s
        self.usage: Usage | None = None
        self.failed = False

    async def open(self) -> None:
        """Read up to the first content, holding back what comes before it: until then another deployment may take over.

        Raises UpstreamError when the stream fails that early.
        """
        first_token_s = self._clocks.first_token_s
        deadline_s = clock.monotonic_s() + first_token_s
        while not self._content and not self._over:
            left_s = deadline_s - clock.monotonic_s()
            if left_s <= 0:
                raise ClockExpired("first_token_s", first_token_s)
            try:
                chunk = await self._reply.read(left_s, "first_token_s")
            except ClockExpired:
                raise ClockExpired("first_token_s", first_token_s) from None  # not only what was left of it
            self._held += self._said(chunk)

    async def relay(self, outlet: Outlet) -> None:
        self._outlet = outlet
        free = outlet.say(self._held)
        self._say_chunks = outlet.say_chunks
        self._held = b""
        self._move()
        while not self._over:
            if not free:
                full_s = clock.monotonic_s()
                await outlet.drained()
                self.deadline_s += clock.monotonic_s() - full_s  # the caller was slow, not the upstream
            try:
                if await self._reply.pour(self, "gap_s"):
                    outlet.say(self._said(b""))
            except UpstreamError as error:
                self.failed = self._over = True
                known = ClockExpired("gap_s", self._gap_s) if isinstance(error, ClockExpired) else error
                outlet.say(self._error(known))
            free = False

    def take(self, data: bytes) -> bool:
        return self._give(self._said(data))

    def take_chunks(self, chunks: bytes) -> bool | None:
        return None

    def _give(self, said: bytes) -> bool:
        assert self._outlet is not None
        return (not said or self._outlet.say(said)) and not self._over

    def cut(self, error: WyeError) -> bytes:
        if self._over:
            return b""
        self._over = True
        return self._error(error)

    def close(self) -> None:
        self._reply.close()

    def _said(self, chunk: bytes) -> bytes:
        """What the upstream's next bytes (b"" at its end) mean for the caller.

        Raises UpstreamError for a failure, as long as nothing of this chunk needs to be said before it.
        """
        raise NotImplementedError

    def _error(self, error: WyeError) -> bytes:
        """The bytes that end the caller's stream with an error."""
        raise NotImplementedError

    def _move(self) -> None:
        self.deadline_s = clock.monotonic_s() + self._gap_s

    def _note(self, event: Event) -> None:
        """Keep what the gateway must know of an event. Raises the failure in it while no content has come."""
        # By its type: to ask whether it is an instance of one takes a call of the structs' own type each time.
        kind = type(event)
        if kind is not Ping:
            self.deadline_s = clock.monotonic_s() + self._gap_s
        if kind in _PIECES and self._content:
            return  # nearly every event
        if type(event) is Start or type(event) is UsageReport:
            if event.usage is not None:
                self.usage = event.usage if self.usage is None else self.usage.updated(event.usage)
        elif type(event) is Failure:
            if not self._content:
                raise event.error
            self.failed = self._over = True
        elif kind is End:
            self._over = True
        elif not self._content and (kind is Finish or is_content(event)):
            self._content = True
