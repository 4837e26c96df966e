"""The same dialect on both sides: whole frames go through as the bytes they are; a tap decodes the few that matter."""

from __future__ import annotations

from wye.canon.events import End, Failure, Finish
from wye.canon.seal import has_seals
from wye.dialects.dialect import SSE, Dialect
from wye.dialects.text_shape import TextShape
from wye.gateway.deployment import Deployment
from wye.gateway.exchange import Exchange, Stream, Whole
from wye.gateway.relay.answer import BESIDE_ANSWERS, MAX_ANSWER_BYTES, heard, raise_refusal
from wye.gateway.relay.stream import RelayedStream
from wye.kernel import clock
from wye.kernel.errors import StreamCut, WyeError
from wye.kernel.json import demand_utf8, encode
from wye.ports.provider import Call
from wye.ports.transport import Clocks, HeaderMap, Reply


def passes(exchange: Exchange, deployment: Deployment) -> bool:
    """Whether a request goes to this deployment, and its answer to the caller, as the bytes they are."""
    dialect = exchange.dialect
    if deployment.speaks(dialect) is not dialect or not deployment.provider.passthrough:
        return False
    if exchange.listener is not None or (exchange.answer_dialect or dialect) is not dialect:
        return False
    return not has_seals(exchange.body)


async def pass_through(exchange: Exchange, deployment: Deployment) -> Stream | Whole:
    """One attempt. Raises WyeError; a stream that is returned has its first content."""
    dialect, clocks = exchange.dialect, deployment.clocks
    call, hide_usage = call_of(exchange, deployment)
    if exchange.sent is not None:
        call.sent, exchange.sent = exchange.sent, None
    reply = await deployment.provider.call(call)
    if not reply.headers.keys().isdisjoint(BESIDE_ANSWERS):
        heard(exchange, deployment, reply.headers)
    try:
        if reply.status >= 400:
            await raise_refusal(reply, dialect)
        if exchange.stream:
            pass_on(exchange, reply.headers)
            stream = PassthroughStream(reply, clocks, dialect, exchange.request_id, hide_usage)
            await stream.open()
            return stream
        body = await reply.read_all(MAX_ANSWER_BYTES, clocks.headers_s)
        reply.close()
        return whole(exchange, reply.headers, body)
    except BaseException:
        reply.close()
        raise


def call_of(exchange: Exchange, deployment: Deployment) -> tuple[Call, bool]:
    """What to ask, and whether usage that nobody asked for is to be kept from the caller."""
    dialect = exchange.dialect
    hide_usage = False
    if dialect.model_in_path:
        body = exchange.body
    else:
        members = exchange.members.copy()
        members["model"] = deployment.model_json
        if exchange.stream and dialect.tap.ask_usage is not None and deployment.provider.quirks.stream_usage:
            hide_usage = dialect.tap.ask_usage(members)
        body = encode(members)
    streamed, clocks = bool(exchange.stream), deployment.clocks
    call = Call(dialect.name, deployment.model, body, streamed, clocks=clocks, caller=exchange.headers)
    return call, hide_usage


def whole(exchange: Exchange, headers: HeaderMap, body: bytes) -> Whole:
    """An upstream's whole answer as the caller's. Raises BadAnswer, and then nothing is noted."""
    demand_utf8(body)  # the tap looks into few members
    dialect = exchange.dialect
    usage = dialect.tap.usage_of(body)
    if (codec := dialect.headers) is not None:
        pass_on(exchange, headers)
        if usage is None and codec.decode_answer is not None:
            start = codec.decode_answer(headers)
            usage = start.usage if start is not None else None
    return Whole(body, usage)


def pass_on(exchange: Exchange, headers: HeaderMap) -> None:
    """Keep what an answer says in its headers for the caller."""
    codec = exchange.dialect.headers
    if codec is not None and codec.passed_on is not None:
        passed_on = codec.passed_on
        exchange.answer_headers = {name: value for name, value in headers.items() if name.startswith(passed_on)}


class PassthroughStream(RelayedStream):
    """Only whole frames are sent on, so that a stream which breaks off still ends in a clean error event."""

    def __init__(self, reply: Reply, clocks: Clocks, dialect: Dialect, request_id: str, hide_usage: bool) -> None:
        super().__init__(reply, clocks)
        self._dialect = dialect
        self._request_id = request_id
        self._unasked = dialect.tap.unasked_usage if hide_usage else None
        self._find = dialect.tap.markers.search
        self._splitter = dialect.framing.splitter()
        self._begun = self._splitter.held
        """Of a frame that has not ended."""
        self._is_plain = dialect.framing.is_plain
        self._decoder = dialect.stream_decoder()
        self._shape = TextShape()
        self._finished = False

    def take(self, data: bytes) -> bool:
        if self._shape.text(data) and not self._begun:
            # Most chunks are one more frame of a text under way: these few lines are all that they cost.
            assert self._outlet is not None
            self.deadline_s = clock.monotonic_s() + self._gap_s
            return self._outlet.say(data)
        whole = self._splitter.feed(data)
        if whole and self._content and self._is_text(whole):
            self._move()
            return self._give(whole)
        return self._give(self._tapped(whole)) if whole else True

    def take_chunks(self, chunks: bytes) -> bool | None:
        say = self._say_chunks
        if say is None or self._begun or not (self._shape.text_of_chunk(chunks) or self._shape.texts_of_chunks(chunks)):
            return None
        self.deadline_s = clock.monotonic_s() + self._gap_s
        return say(chunks)

    def _is_text(self, whole: bytes) -> bool:
        if self._find(whole) is not None or not self._is_plain(whole):
            return False
        if self._dialect.framing is SSE:  # AWS's frames have lengths and checksums to be looked at
            self._shape.learn(whole)
        return True

    def _said(self, chunk: bytes) -> bytes:
        if not chunk:
            return self._end()
        whole = self._splitter.feed(chunk)
        return self._tapped(whole) if whole else b""

    def _tapped(self, whole: bytes) -> bytes:
        """Decode frames for what they tell; gives back those that the caller should see.

        Before the first content every frame is decoded, after it only those that the dialect says matter.
        """
        seen: list[bytes] = []
        for frame in self._dialect.framing.split(whole):
            if not self._content or self._find(frame) is not None or not self._is_plain(frame):
                for event in self._decoder.feed(frame):
                    self._note(event)
                    if type(event) is Failure:
                        return b"".join([*seen, self._error(event.error)])
                    if type(event) is Finish or type(event) is End:
                        self._finished = True
            if self._unasked is None or self._unasked.search(frame) is None:
                seen.append(frame)
            if self._over:
                break
        return b"".join(seen)

    def _end(self) -> bytes:
        """The upstream ended its stream: what is still owed to a complete answer. Raises StreamCut for any other."""
        tail = self._splitter.close()
        owed = self._tapped(tail) if tail else b""
        if not self._over:
            if not self._finished:
                raise StreamCut("The upstream ended the stream before the answer was complete")
            self._over = True
            owed += self._dialect.tap.terminator
        return owed

    def _error(self, error: WyeError) -> bytes:
        return self._dialect.encode_stream_error(error, self._request_id)
