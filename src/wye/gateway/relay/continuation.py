"""An answer that broke off goes on at another deployment, where its route says so.

The next one is asked with the text so far as the beginning of its own answer, and what it adds is joined to it: one
start, one id, one text without a seam, one sum of figures. Only text goes on, never a call's arguments or a thought,
and only at deployments that take the assistant's last message as such a beginning.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from wye.canon.events import Delta, Event, Failure, Finish, PartEnd, PartStart, Start, TextDelta, UsageReport
from wye.canon.parts import Part, Text, Thinking
from wye.canon.request import ChatRequest, Message
from wye.canon.usage import Usage, total_of
from wye.dialects.dialect import StreamEncoder
from wye.gateway.deployment import Deployment, Route
from wye.gateway.exchange import Exchange, Outlet, Stream, Whole
from wye.gateway.relay.answer import say_in_headers
from wye.gateway.settle import Settlement
from wye.kernel import clock
from wye.kernel.errors import NoDeployment, UpstreamError, WyeError

Ask = Callable[[Exchange, Route], Awaitable[Whole | Stream]]

MAX_CHARACTERS = 1_000_000
"""Of an answer that can go on: its text is kept for as long as it is told."""
_MAX_OVERLAP = 1000
"""Characters of white space that are looked for at a seam."""


async def continuing(exchange: Exchange, route: Route, ask: Ask, settlement: Settlement) -> Whole | Stream:
    """What `ask` answers, as a stream that goes on elsewhere if it breaks off. Raises what `ask` raises."""
    if not exchange.has_canonical():
        return await ask(exchange, route)
    request, listener = exchange.canonical(), exchange.listener

    def encoder() -> StreamEncoder:
        return listener or exchange.speaks.stream_encoder(request, exchange.losses)

    def start(event: Start) -> Start:
        return event if listener is not None else say_in_headers(exchange, event, streamed=True)

    exchange.listener = seam = Seam(encoder, start)
    stream = await ask(exchange, route)
    return stream if isinstance(stream, Whole) else ContinuedStream(exchange, route, ask, settlement, seam, stream)


class Seam(StreamEncoder):
    """Takes the events of several answers in place of the caller's encoder, and says them to it as those of one."""

    def __init__(self, encoder: Callable[[], StreamEncoder], start: Callable[[Start], Start]) -> None:
        self._new_encoder = encoder
        self._start = start
        self._encoder: StreamEncoder | None = None
        self._held: list[Event] | None = []
        """What an attempt has told that may still fail unheard; None once it is heard."""
        self.failure: WyeError | None = None
        """Why an answer that was heard broke off."""
        self._pieces: list[str] = []
        self._characters = 0
        self._only_text = True
        self._part: Part | None = None
        """The one under way."""
        self._parts = 0
        self._joins = False
        """Whether this answer goes on with another."""
        self._shift: int | None = None
        """From this answer's numbers of parts to the caller's; None before its first part."""
        self._overlap = ""
        """White space that was said, but is not known to this answer: it may say it again."""
        self._before: Usage | None = None
        """What the answers before this one have used."""
        self._usage: Usage | None = None

    @property
    def text(self) -> str | None:
        """What was said so far; None where it is not text alone, or not to be gone on with."""
        if not self._only_text or isinstance(self._part, Thinking):
            return None
        return "".join(self._pieces)

    def encode(self, event: Event) -> bytes:
        """Take an event of the answer under way. Raises its failure while nothing of it is heard."""
        if isinstance(event, Failure):
            if self._held is not None:
                raise event.error
            self.failure = event.error
            return b""
        if self._held is None:
            return self._say(event)
        if isinstance(event, Start):
            self._held.clear()
        self._held.append(event)
        return b""

    def hear(self) -> bytes:
        """The answer under way is the caller's from now on: what was held of it."""
        held, self._held = self._held or [], None
        return b"".join([self._say(event) for event in held])

    def hold(self) -> None:
        """Another answer is asked for."""
        self._held = []

    def join(self, before: Usage | None, overlap: str) -> None:
        """It has begun well, and goes on with those that used so much."""
        self._joins, self._shift, self._overlap = True, None, overlap
        self._before, self._usage, self.failure = before, None, None

    def fail(self, error: WyeError) -> bytes:
        """The error that ends the caller's stream."""
        return self._to().encode(Failure(error))

    def _say(self, event: Event) -> bytes:
        if self._joins:
            return b"".join([self._tell(joined) for joined in self._joined(event)])
        return self._tell(self._start(event) if isinstance(event, Start) else event)

    def _tell(self, event: Event) -> bytes:
        match event:
            case PartStart():
                self._part, self._parts = event.part, event.index + 1
                self._only_text = self._only_text and isinstance(event.part, Text | Thinking)
                if isinstance(event.part, Text):
                    self._keep(event.part.text)
            case PartEnd():
                self._part = None
            case TextDelta():
                self._keep(event.text)
            case Finish():
                self._only_text = False
            case _:
                pass
        return self._to().encode(event)

    def _to(self) -> StreamEncoder:
        if self._encoder is None:
            self._encoder = self._new_encoder()
        return self._encoder

    def _keep(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            self._only_text = False
            self._pieces.clear()
        elif self._only_text:
            self._pieces.append(text)

    def _joined(self, event: Event) -> list[Event]:
        """An event of an answer that goes on, as one of the answer that the caller hears."""
        match event:
            case Start():
                self._usage = event.usage
                return []
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                return [replace(event, usage=total_of([self._before, self._usage]) or event.usage)]
            case Finish():
                return [*self._ended(), event]
            case PartStart() if self._shift is None:
                if isinstance(event.part, Text) and isinstance(self._part, Text):
                    self._shift = self._parts - 1 - event.index
                    return self._joined(TextDelta(event.index, event.part.text))
                self._shift = self._parts - event.index
                return [*self._ended(), replace(event, index=self._parts)]
            case TextDelta():
                text = self._new(event.text)
                return [replace(event, index=event.index + (self._shift or 0), text=text)] if text else []
            case PartEnd() if isinstance(event.part, Text):
                return [PartEnd(event.index + (self._shift or 0))]  # it knows but its own half of the text
            case _ if isinstance(event, PartStart | PartEnd | Delta):
                return [replace(event, index=event.index + (self._shift or 0))]
            case _:
                return [event]

    def _ended(self) -> list[Event]:
        return [PartEnd(self._parts - 1)] if self._part is not None else []

    def _new(self, text: str) -> str:
        """What of a text the caller has not heard yet."""
        overlap = self._overlap
        both = min(len(overlap), len(text))
        known = next((i for i in range(both) if overlap[i] != text[i]), both)
        self._overlap = overlap[known:] if known == len(text) else ""
        return text[known:]


class ContinuedStream:
    """Implements `exchange.Stream`: one upstream's answer, and what others add where it breaks off."""

    def __init__(
        self, exchange: Exchange, route: Route, ask: Ask, settlement: Settlement, seam: Seam, stream: Stream
    ) -> None:
        self._exchange = exchange
        self._route = route
        self._ask = ask
        self._settlement = settlement
        self._seam = seam
        self._stream = stream
        self._begun = seam.hear()
        self._used: Usage | None = None
        self._broken: list[Deployment | None] = []
        self._over = False
        self.failed = False

    @property
    def usage(self) -> Usage | None:
        return total_of([self._used, self._stream.usage]) if self._used is not None else self._stream.usage

    async def relay(self, outlet: Outlet) -> None:
        seam = self._seam
        while True:
            outlet.say(self._begun)
            await self._stream.relay(outlet)
            failure = seam.failure
            if failure is None:
                break
            self._stream.close()
            if not await self._goes_on(failure):
                self.failed = True
                outlet.say(seam.fail(failure))
                break
        self._over = True

    def cut(self, error: WyeError) -> bytes:
        if self._over:
            return b""
        self._over = True
        return self._seam.fail(error)

    def close(self) -> None:
        self._stream.close()

    async def _goes_on(self, failure: WyeError) -> bool:
        """Whether another deployment has begun to go on. What it is asked for in vain is no concern of the caller's."""
        exchange, seam = self._exchange, self._seam
        request, said, broken = exchange.canonical(), seam.text, exchange.serving
        if said is None or not isinstance(failure, UpstreamError) or not failure.retryable or not _may(request):
            return False
        self._broken.append(broken)
        exchange.note(f"{broken.id if broken else '?'} broke off after {len(said)} characters: {failure.code}")
        beginning = said.rstrip()  # Claude takes none that ends in white space
        asking = replace(exchange, lost=None, reservation=None)
        if beginning:
            asking.request = _with_beginning(request, beginning)
        for deployment in self._plan(beginning):
            seam.hold()
            try:
                stream = await self._ask(asking, self._route.only([deployment], retries=0))
            except WyeError as error:
                exchange.note(f"{deployment.id} does not go on: {error.status} {error.code}")
                continue
            finally:
                exchange.attempts, exchange.failures = asking.attempts, asking.failures
            assert not isinstance(stream, Whole), "a stream was asked for"
            self._used = self.usage
            self._settlement.broke_off(exchange, failure)
            exchange.serving, exchange.deployment, exchange.asked_s = asking.serving, asking.deployment, asking.asked_s
            for loss in asking.losses:
                exchange.losses.add(loss.field, loss.reason, loss.severity)
            self._stream = stream
            seam.join(self._used, said[len(beginning) :][:_MAX_OVERLAP])
            self._begun = seam.hear()
            return True
        return False

    def _plan(self, beginning: str) -> list[Deployment]:
        try:
            plan = self._route.plan(clock.monotonic_s(), len(self._exchange.body) // 4)
        except NoDeployment:
            return []
        return [d for d in plan if d not in self._broken and (d.takes_prefill or not beginning)]


def _may(request: ChatRequest) -> bool:
    """Whether an answer to this is a text that another can go on with: a grammar would begin anew."""
    is_text = request.output is None or request.output.type == "text"
    is_free = request.tool_choice is None or request.tool_choice.mode in ("auto", "none")
    return is_text and is_free and request.n in (None, 1)


def _with_beginning(request: ChatRequest, beginning: str) -> ChatRequest:
    """The request for the rest of an answer, without more thinking: upstreams refuse that beside a beginning."""
    messages = [*request.messages]
    last = messages[-1] if messages else None
    if last is not None and last.role == "assistant" and last.parts and isinstance(last.parts[-1], Text):
        text = last.parts[-1]  # the caller has begun the answer itself
        messages[-1] = replace(last, parts=[*last.parts[:-1], replace(text, text=text.text + beginning)])
    else:
        messages.append(Message("assistant", [Text(beginning)]))
    left = request.max_tokens
    if left is not None:
        left = max(1, left - len(beginning.encode()) // 4)  # about four bytes a token
    return replace(request, messages=messages, max_tokens=left, reasoning=None)
