"""Load on a server: many calls at one time, and how each of them went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from math import ceil

import msgspec

from wye.canon.events import is_content
from wye.canon.fold import Fold
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message
from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect
from wye.kernel import clock
from wye.kernel.errors import UpstreamRefused, WyeError
from wye.kernel.json import decode_answer, encode
from wye.ports.provider import Call, Provider
from wye.ports.transport import Clocks, Reply

_MAX_ANSWER_BYTES = 64 * 1024 * 1024


class Question(msgspec.Struct, frozen=True):
    """What each call asks."""

    model: str
    prompt: str
    """`{n}` stands for the number of the call, so that no cache knows the answer."""
    max_tokens: int
    stream: bool
    timeout_s: float
    """Without a byte of the answer."""

    def request(self, number: int) -> ChatRequest:
        said = Message("user", [Text(self.prompt.replace("{n}", str(number)))])
        usage = True if self.stream else None
        return ChatRequest(
            model=self.model, messages=[said], max_tokens=self.max_tokens, stream=self.stream, include_usage=usage
        )


class Measured(msgspec.Struct, frozen=True):
    """One call that is over. Times are seconds since it began."""

    seconds: float
    first_s: float | None = None
    """To its first content; None for one that was not streamed."""
    output_tokens: int | None = None
    failure: str | None = None
    """What went wrong: the status and the code."""


class Load:
    """So many calls, `at_once` at a time, or as many as begin within `seconds`; and what is known of them so far."""

    def __init__(self, provider: Provider, dialect: Dialect, question: Question) -> None:
        self._provider = provider
        self._dialect = dialect
        self._question = question
        self._began_s = clock.monotonic_s()
        self._ended_s: float | None = None
        self.calls: list[Measured] = []
        self.running = 0

    @property
    def seconds(self) -> float:
        return (clock.monotonic_s() if self._ended_s is None else self._ended_s) - self._began_s

    async def run(self, calls: int, at_once: int, seconds: float | None) -> None:
        numbers = iter(range(1, calls + 1))
        self._began_s = clock.monotonic_s()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(calls, at_once)):
                    group.create_task(self._call_again(numbers, seconds))
        finally:
            self._ended_s = clock.monotonic_s()

    async def _call_again(self, numbers: Iterator[int], seconds: float | None) -> None:
        for number in numbers:
            if seconds is not None and self.seconds >= seconds:
                return
            self.running += 1
            try:
                self.calls.append(await self._call(number))
            finally:
                self.running -= 1

    async def _call(self, number: int) -> Measured:
        began_s = clock.monotonic_s()
        first_s: float | None = None
        try:
            reply = await self._begin(self._question.request(number))
            try:
                if not self._question.stream:
                    usage = await self._whole(reply)
                else:
                    fold = Fold()
                    async for content in self._streamed(reply, fold):
                        if content and first_s is None:
                            first_s = clock.monotonic_s() - began_s
                    usage = fold.response().usage
            finally:
                reply.close()
        except WyeError as error:
            return Measured(clock.monotonic_s() - began_s, failure=f"{error.status} {_word(error)}")
        tokens = usage.output_tokens if usage is not None else None
        return Measured(clock.monotonic_s() - began_s, first_s, tokens)

    async def _begin(self, request: ChatRequest) -> Reply:
        """Raises the server's refusal."""
        timeout_s = self._question.timeout_s
        body = encode(self._dialect.encode_request(request, Losses(), self._provider.quirks))
        clocks = Clocks(connect_s=timeout_s, headers_s=timeout_s)
        reply = await self._provider.call(
            Call(self._dialect.name, request.model, body, stream=request.stream, clocks=clocks)
        )
        if reply.status >= 400:
            try:
                told = await reply.read_all(_MAX_ANSWER_BYTES, timeout_s)
            finally:
                reply.close()
            raise self._dialect.decode_error(reply.status, reply.headers, told)
        return reply

    async def _whole(self, reply: Reply) -> Usage | None:
        body = await reply.read_all(_MAX_ANSWER_BYTES, self._question.timeout_s)
        return self._dialect.decode_response(decode_answer(body)).usage

    async def _streamed(self, reply: Reply, fold: Fold) -> AsyncIterator[bool]:
        """With each piece, whether it held content. Raises what broke the answer off."""
        decoder = self._dialect.stream_decoder()
        chunk = b"."
        while chunk:
            chunk = await reply.read(self._question.timeout_s)
            events = decoder.feed(chunk) if chunk else decoder.close()
            for event in events:
                fold.add(event)
            if fold.failure is not None:
                raise fold.failure
            yield any(map(is_content, events))


def _word(error: WyeError) -> str:
    """The server's own, where it told one."""
    return (error.kind if isinstance(error, UpstreamRefused) else None) or error.code


class Spread(msgspec.Struct, frozen=True):
    """Of the figures of many calls: nearest-rank percentiles."""

    p50: float
    p90: float
    p99: float
    max: float


class Summary(msgspec.Struct, frozen=True):
    calls: int
    failed: int
    seconds: float
    calls_per_s: float
    """Answered ones."""
    latency_s: Spread | None
    first_token_s: Spread | None
    tokens_per_s: Spread | None
    """Of one answer, from its first content on; of one that was not streamed, from its call on."""
    output_tokens: int
    output_tokens_per_s: float
    """Of all answers together."""
    failures: dict[str, int]
    """How many of each, the most first."""


def summary_of(load: Load) -> Summary:
    calls, seconds = [*load.calls], load.seconds
    answered = [call for call in calls if call.failure is None]
    tokens = sum(call.output_tokens or 0 for call in answered)
    speeds = [
        call.output_tokens / spoke_s
        for call in answered
        if call.output_tokens and (spoke_s := call.seconds - (call.first_s or 0.0)) > 0
    ]
    failures: dict[str, int] = {}
    for call in calls:
        if call.failure is not None:
            failures[call.failure] = failures.get(call.failure, 0) + 1
    return Summary(
        calls=len(calls),
        failed=len(calls) - len(answered),
        seconds=round(seconds, 3),
        calls_per_s=round(len(answered) / seconds, 2) if seconds else 0.0,
        latency_s=_spread([call.seconds for call in answered]),
        first_token_s=_spread([call.first_s for call in answered if call.first_s is not None]),
        tokens_per_s=_spread(speeds),
        output_tokens=tokens,
        output_tokens_per_s=round(tokens / seconds, 2) if seconds else 0.0,
        failures=dict(sorted(failures.items(), key=lambda of: -of[1])),
    )


def _spread(figures: list[float]) -> Spread | None:
    if not figures:
        return None
    ranked = sorted(figures)
    shares = (ranked[ceil(len(ranked) * share) - 1] for share in (0.5, 0.9, 0.99, 1.0))
    return Spread(*(round(figure, 4) for figure in shares))
