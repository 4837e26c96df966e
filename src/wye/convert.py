"""The translation alone, for programs that need no gateway: requests, answers and streams from one dialect to another.

    asked = convert_request(body, to="anthropic")                            # send asked.body
    answer = convert_response(reply, to="openai", from_="anthropic", request=body)
    for piece in convert_stream(chunks, to="openai", from_="anthropic", request=body): ...

Dialects go by the names of `wye.dialects.registry`, or the shorter ones of `wye.dialects.detect`. A body is the bytes
of a JSON object, its text, or a dict, which is read as the JSON that it would be sent as; it is never changed, and
shares nothing with what comes out. Some dialects say a part beside their bodies, in `headers`. What the other dialect
cannot say is among the losses; `strict` refuses it where the loss may change the answer. Every error is a WyeError: of
the caller's own making (CallerError: BadRequest, Unprocessable, LossRefused), or of the answer's (UpstreamError:
BadAnswer, UpstreamRefused, StreamCut).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import overload

import msgspec

from wye.canon.events import End, Event, Failure, Start
from wye.canon.fold import fold, unfold
from wye.canon.free_text import as_functions, as_texts
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.detect import detect_any, named
from wye.dialects.dialect import Dialect, Quirks, StreamDecoder, demand_whole
from wye.kernel.errors import BadAnswer, BadRequest, LossRefused, WyeError
from wye.kernel.json import JsonObject, decode_answer, decode_body, encode

Body = JsonObject | bytes | bytearray | str


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    body: JsonObject
    losses: Losses
    """What could not be carried, in the order it was met."""
    dialect: str
    """That of the body, by its full name."""
    headers: dict[str, str]
    """What the dialect says beside its body: Bedrock's service tier, for one, and how many tokens an answer took."""


class ConvertedRequest(Converted, frozen=True, kw_only=True):
    source: str
    """The dialect it came in: the one that was named, or found by its form."""
    model: str
    """Where the dialect has it in the path (Bedrock's), the body does not repeat it; "" when nobody named one."""
    stream: bool
    """Whether a stream is asked for: likewise by another path there."""


def detect(body: Body) -> str:
    """The full name of the dialect of a request's body, by its form. Raises BadRequest when that does not tell."""
    return detect_any(_request_body(body)).name


def convert_request(
    body: Body,
    *,
    to: str,
    from_: str | None = None,
    model: str | None = None,
    stream: bool | None = None,
    strict: bool = False,
    quirks: Quirks | None = None,
    headers: Mapping[str, str] | None = None,
) -> ConvertedRequest:
    """A request in the words of `to`. Without `from_` its dialect is found by its form.

    `model` and `stream` stand for what the body says, or does not say because its dialect has it in the path. `quirks`
    are what the upstream wants differently within `to`, `headers` what the caller sent with the body. Raises BadRequest
    for what is malformed, in no known form, or holds content that `to` has no words for.
    """
    target = named(to, "to")
    members = _request_body(body)
    source = named(from_, "from_") if from_ is not None else detect_any(members)
    request = _decoded(source, members, model, stream)
    if not request.model and not target.model_in_path:
        raise BadRequest(
            f"{source.name} leaves the model to the path and {target.name} needs it: give it", param="model"
        )
    if headers is not None and source.headers is not None:
        request = source.headers.decode_request(request, _header_map(headers))
    if target is not source:
        demand_whole(request, source)
    losses = Losses()
    quirks = quirks or Quirks(custom_tools=True)
    if not (target.custom_tools and quirks.custom_tools):
        request = as_functions(request, losses)
    left, beside = request, dict[bytes, bytes]()
    if target.headers is not None:
        left, beside = target.headers.encode_request(request, losses)
    said = target.encode_request(left, losses, quirks)
    if strict:
        losses.refuse()
    return ConvertedRequest(
        body=said,
        losses=losses,
        dialect=target.name,
        source=source.name,
        model=request.model,
        stream=request.stream,
        headers=_as_texts(beside),
    )


def convert_response(
    body: Body,
    *,
    to: str,
    from_: str,
    request: Body | None = None,
    strict: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Converted:
    """A whole answer in the words of `to`.

    `request` is what the caller had asked, in `to` as well: some dialects repeat parts of it, and Bedrock's answers
    name no model. `headers` are the answer's: Bedrock's InvokeModel counts most families' tokens only there. Raises
    BadAnswer for what is no answer in `from_`, UpstreamRefused for an error that the body holds.
    """
    target, source = named(to, "to"), named(from_, "from_")
    asked = _decoded(target, _request_body(request)) if request is not None else None
    response = source.decode_response(decode_answer(_json(body, BadAnswer)))
    losses = Losses()
    if (beside := _told_beside(source, headers)) is not None:
        start = Start("", "", None, response.usage, response.service_tier, response.extras).after(beside)
        response.usage, response.service_tier, response.extras = start.usage, start.service_tier, start.extras
    if asked is not None:
        response.model = response.model or asked.model
        if (texts := as_texts(asked)) is not None:
            response = fold(texts(unfold(response)))
        if target.echo is not None:
            response = target.echo(asked, response)
    start = Start("", "", None, response.usage, response.service_tier, response.extras)
    left, told = _said_beside(target, start, streamed=False)
    response.service_tier, response.extras = left.service_tier, left.extras
    said = target.encode_response(response, losses)
    if strict:
        losses.refuse()
    return Converted(body=said, losses=losses, dialect=target.name, headers=told)


@overload
def convert_stream(
    chunks: Iterable[bytes],
    *,
    to: str,
    from_: str,
    request: Body | None = None,
    strict: bool = False,
    sse: bool = False,
    headers: Mapping[str, str] | None = None,
) -> ConvertedStream: ...
@overload
def convert_stream(
    chunks: AsyncIterable[bytes],
    *,
    to: str,
    from_: str,
    request: Body | None = None,
    strict: bool = False,
    sse: bool = False,
    headers: Mapping[str, str] | None = None,
) -> AsyncConvertedStream: ...
def convert_stream(
    chunks: Iterable[bytes] | AsyncIterable[bytes],
    *,
    to: str,
    from_: str,
    request: Body | None = None,
    strict: bool = False,
    sse: bool = False,
    headers: Mapping[str, str] | None = None,
) -> ConvertedStream | AsyncConvertedStream:
    """A stream in the words of `to`, as it comes: whole frames, for chunks that may be cut anywhere.

    Without `request` (as for `convert_response`) figures of usage are always told. `sse` says as server-sent events
    what AWS would frame in its own way; both are read. `headers` are the answer's. An answer that breaks off, or that
    nobody can understand, ends with the error event of `to`, and is `error` of the stream: it never looks complete.
    What `chunks` itself raises goes through.
    """
    target, source = named(to, "to"), named(from_, "from_")
    if sse:
        target = target.as_sse or target
    if request is not None:
        asked = _decoded(target, _request_body(request), stream=True)
    else:
        asked = ChatRequest(model="", messages=[], stream=True, include_usage=True)
    beside = _told_beside(source, headers)
    if isinstance(chunks, AsyncIterable):
        return AsyncConvertedStream(chunks, source, target, asked, beside, strict)
    return ConvertedStream(chunks, source, target, asked, beside, strict)


class _Stream:
    """What both kinds of streams have in common."""

    def __init__(
        self, source: Dialect, target: Dialect, asked: ChatRequest, beside: Start | None, strict: bool
    ) -> None:
        self.losses = Losses()
        """What could not be carried so far."""
        self.dialect = target.name
        self.content_type = target.framing.content_type.decode()
        self.headers: dict[str, str] = {}
        """What the dialect says beside the stream, once it has begun."""
        self.error: WyeError | None = None
        """Why the answer broke off."""
        self._source = source
        self._target = target
        self._decoder: StreamDecoder | None = None
        self._encoder = target.stream_encoder(asked, self.losses)
        self._texts = as_texts(asked)
        self._beside = beside
        self._strict = strict
        self._over = False

    def _fed(self, chunk: bytes) -> bytes:
        if not isinstance(chunk, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - texts and lines come easily
            raise BadRequest(f"A stream is chunks of bytes, not of {type(chunk).__name__}", param="chunks")
        if not chunk:
            return b""
        if self._decoder is None:
            self._decoder = _framed_as(chunk, self._source).stream_decoder()
        return self._said(self._decoder.feed(chunk))

    def _closed(self) -> bytes:
        self._over = True
        return self._said((self._decoder or self._source.stream_decoder()).close())

    def _begun(self, start: Start) -> Start:
        start = start if self._beside is None else start.after(self._beside)
        start, self.headers = _said_beside(self._target, start, streamed=True)
        return start

    def _said(self, events: list[Event]) -> bytes:
        said: list[bytes] = []
        for event in self._texts(events) if self._texts is not None else events:
            if isinstance(event, Failure):
                self.error = event.error
            self._over = self._over or isinstance(event, End | Failure)
            said.append(self._encoder.encode(self._begun(event) if isinstance(event, Start) else event))
        if self._strict:
            try:
                self.losses.refuse()
            except LossRefused:
                self._over = True
                raise
        return b"".join(said)


class ConvertedStream(_Stream, Iterator[bytes]):
    def __init__(
        self,
        chunks: Iterable[bytes],
        source: Dialect,
        target: Dialect,
        asked: ChatRequest,
        beside: Start | None,
        strict: bool,
    ) -> None:
        super().__init__(source, target, asked, beside, strict)
        self._chunks = iter(chunks)

    def __next__(self) -> bytes:
        while not self._over:
            try:
                said = self._fed(next(self._chunks))
            except StopIteration:
                said = self._closed()
            if said:
                return said
        raise StopIteration


class AsyncConvertedStream(_Stream, AsyncIterator[bytes]):
    def __init__(
        self,
        chunks: AsyncIterable[bytes],
        source: Dialect,
        target: Dialect,
        asked: ChatRequest,
        beside: Start | None,
        strict: bool,
    ) -> None:
        super().__init__(source, target, asked, beside, strict)
        self._chunks = aiter(chunks)

    async def __anext__(self) -> bytes:
        while not self._over:
            try:
                said = self._fed(await anext(self._chunks))
            except StopAsyncIteration:
                said = self._closed()
            if said:
                return said
        raise StopAsyncIteration


def _framed_as(chunk: bytes, dialect: Dialect) -> Dialect:
    """A message in AWS's framing begins with its length, whose first byte is 0 up to 16 MiB: no text begins so."""
    return dialect if dialect.as_sse is None or chunk.startswith(b"\0") else dialect.as_sse


def _decoded(
    dialect: Dialect, members: JsonObject, model: str | None = None, stream: bool | None = None
) -> ChatRequest:
    if model is not None:
        members = {**members, "model": model}
    if stream is not None:
        members = {**members, "stream": stream}
    return dialect.decode_request(members)


def _header_map(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {
        name.lower().encode("latin-1", "replace"): said.encode("latin-1", "replace") for name, said in headers.items()
    }


def _told_beside(dialect: Dialect, headers: Mapping[str, str] | None) -> Start | None:
    """What an answer's headers tell."""
    codec = dialect.headers
    if headers is None or codec is None or codec.decode_answer is None:
        return None
    return codec.decode_answer(_header_map(headers))


def _said_beside(dialect: Dialect, start: Start, *, streamed: bool) -> tuple[Start, dict[str, str]]:
    """What an answer's headers leave to its body, and the headers."""
    codec = dialect.headers
    if codec is None or codec.encode_answer is None:
        return start, {}
    left, headers = codec.encode_answer(start, streamed, None)
    return left, _as_texts(headers)


def _as_texts(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers.items()}


def _request_body(body: Body) -> JsonObject:
    return decode_body(_json(body, BadRequest))


def _json(body: Body, wrong: type[WyeError]) -> bytes:
    try:
        match body:
            case bytes() | bytearray():
                return bytes(body)
            case str():
                return body.encode()
            case _:
                return encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise wrong(f"The body cannot be said as JSON: {error}", code="invalid_json") from None
