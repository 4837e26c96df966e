"""From one dialect to another, through the canonical form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from wye.canon.events import Event, Failure, Rewrite, Start
from wye.canon.fold import fold, unfold
from wye.canon.free_text import as_functions, as_texts
from wye.dialects.dialect import Dialect, StreamDecoder, StreamEncoder, demand_whole
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange, Stream, Whole
from wye.gateway.relay.answer import heard, json_answer, raise_refusal, say_in_headers, whole_answer
from wye.gateway.relay.stream import RelayedStream
from wye.kernel import clock
from wye.kernel.chunked import framed
from wye.kernel.errors import WyeError
from wye.kernel.json import encode
from wye.ports.provider import Call
from wye.ports.transport import Clocks, HeaderMap, Reply


async def translate(exchange: Exchange, deployment: Deployment, upstream: Dialect) -> Stream | Whole:
    """One attempt, in the upstream's dialect. Raises WyeError; a stream that is returned has its first content."""
    provider = deployment.provider
    request = exchange.canonical()
    if upstream is not exchange.dialect:
        demand_whole(request, exchange.dialect)
    exchange.losses.clear()
    asked, texts = request, None
    if not (upstream.custom_tools and provider.quirks.custom_tools):
        asked, texts = as_functions(request, exchange.losses), as_texts(request)
    adapted = await provider.adapt(
        msgspec.structs.replace(
            asked,
            model=deployment.model,
            stream=bool(exchange.stream),
            include_usage=True if exchange.stream and provider.quirks.stream_usage else None,
        ),
        exchange.losses,
    )
    rewrite = _one_after_the_other(adapted.rewrite, texts)
    asked = adapted.request
    headers: HeaderMap = exchange.headers if upstream is exchange.dialect else {}
    if upstream.headers is not None:
        asked, said = upstream.headers.encode_request(asked, exchange.losses)
        headers = {**headers, **said}
    body = encode(upstream.encode_request(asked, exchange.losses, provider.quirks))
    if exchange.strict:
        exchange.losses.refuse()
    call = Call(
        upstream.name,
        deployment.model,
        body,
        bool(exchange.stream),
        clocks=deployment.clocks,
        priority=adapted.priority,
        caller=headers,
    )
    reply = await provider.call(call)
    heard(exchange, deployment, reply.headers)
    try:
        if reply.status >= 400:
            await raise_refusal(reply, upstream)
        if upstream.headers is not None and upstream.headers.decode_answer is not None:
            told = upstream.headers.decode_answer(reply.headers)
            if told is not None:
                rewrite = _one_after_the_other(partial(_with_headers, told), rewrite)
        if exchange.stream:
            if exchange.listener is None and exchange.speaks.headers is not None:
                rewrite = _one_after_the_other(rewrite, partial(_in_headers, exchange))
            stream = TranslatedStream(
                reply,
                deployment.clocks,
                upstream.stream_decoder(),
                exchange.listener or exchange.speaks.stream_encoder(request, exchange.losses),
                rewrite,
            )
            await stream.open()
            return stream
        response = upstream.decode_response(await json_answer(reply, deployment.clocks))
        reply.close()
        if rewrite is not None:
            response = fold(rewrite(unfold(response)))
        if exchange.listener is not None:
            for event in unfold(response):
                exchange.listener.encode(event)
            return Whole(b"", response.usage)
        return whole_answer(exchange, request, response)
    except BaseException:
        reply.close()
        raise


def _one_after_the_other(first: Rewrite | None, second: Rewrite | None) -> Rewrite | None:
    if first is None or second is None:
        return first or second
    return lambda events: second(first(events))


def _with_headers(told: Start, events: list[Event]) -> list[Event]:
    return [event.after(told) if isinstance(event, Start) else event for event in events]


def _in_headers(exchange: Exchange, events: list[Event]) -> list[Event]:
    return [say_in_headers(exchange, event, streamed=True) if isinstance(event, Start) else event for event in events]


class TranslatedStream(RelayedStream):
    """Decodes the upstream's stream and says it in the caller's dialect."""

    def __init__(
        self,
        reply: Reply,
        clocks: Clocks,
        decoder: StreamDecoder,
        encoder: StreamEncoder,
        rewrite: Rewrite | None,
    ) -> None:
        super().__init__(reply, clocks)
        self._decoder = decoder
        self._encoder = encoder
        self._rewrite = rewrite
        self._under_way = decoder.under_way if rewrite is None else None
        self._tell: Callable[[str], bytes] | None = None
        """Says one more piece of what is under way; None while it is to go the long way."""

    def take(self, data: bytes) -> bool:
        if self._tell is not None and self._under_way is not None and (text := self._under_way.text(data)):
            self._move()
            return self._give(self._tell(text))
        return self._give(self._said(data))

    def take_chunks(self, chunks: bytes) -> bool | None:
        tell, say, under_way = self._tell, self._say_chunks, self._under_way
        if tell is None or say is None or under_way is None:
            return None
        if text := under_way.text_of_chunk(chunks):
            said = tell(text)
        elif texts := under_way.texts_of_chunks(chunks):
            said = b"".join(map(tell, texts))
        else:
            return None
        self.deadline_s = clock.monotonic_s() + self._gap_s
        return say(framed(said)) if said else True

    def _said(self, chunk: bytes) -> bytes:
        events = self._decoder.feed(chunk) if chunk else self._decoder.close()
        known = len(events) == 1 and self._under_way is not None and self._under_way.known
        self._tell = None
        if self._rewrite is not None:
            events = self._rewrite(events)
        said: list[bytes] = []
        for event in events:
            self._note(event)
            said.append(self._encoder.encode(event))
        if known:
            self._tell = self._encoder.further(events[0])
        if not chunk:
            self._over = True
        return b"".join(said)

    def _error(self, error: WyeError) -> bytes:
        return self._encoder.encode(Failure(error))
