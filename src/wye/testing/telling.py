"""A reply said in a dialect, at a speed: the pieces of an answer, and which of them hold content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from wye.canon.events import ArgumentsDelta, Event, PartStart, Ping, Start, TextDelta, ThinkingDelta, is_content
from wye.canon.fold import unfold
from wye.canon.loss import Losses
from wye.canon.parts import Part, Text, Thinking, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect
from wye.kernel import clock
from wye.kernel.errors import WyeError
from wye.kernel.ids import new_id
from wye.kernel.json import encode
from wye.testing.fake import End, FakeAnswer
from wye.testing.replies import Reply, input_tokens, signature, tokens_of

_ARGUMENTS_PIECE = 12
_ID_PREFIXES = {
    "openai_chat": "chatcmpl-",
    "openai_completions": "cmpl-",
    "openai_responses": "resp_",
    "anthropic_messages": "msg_",
    "bedrock_claude": "msg_bdrk_",
}
_CALL_PREFIXES = {"anthropic_messages": "toolu_", "bedrock_claude": "toolu_bdrk_", "bedrock_converse": "tooluse_"}
_SIGNED = ("anthropic_messages", "bedrock_claude", "bedrock_converse")
"""Where thoughts carry a signature."""


class Pace(msgspec.Struct, frozen=True):
    latency_s: float = 0.0
    """Until the head of an answer."""
    tokens_per_s: float | None = None
    """None for as fast as they can be sent; a whole answer waits for all of its tokens."""


class Told(msgspec.Struct):
    """An answer ready to be sent; a fault may still change it."""

    pieces: list[bytes | float]
    content: list[int]
    """Which of the pieces hold content; of a whole answer its second half."""
    stream: bool
    headers: dict[str, str]
    delay_s: float = 0.0

    def answer(self, end: End = "clean") -> FakeAnswer:
        length = None if self.stream or end != "clean" else self.size
        return FakeAnswer(self.pieces, headers=self.headers, end=end, length=length, delay_s=self.delay_s)

    @property
    def size(self) -> int:
        return sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))

    def at(self, share: float, tokens: float | None = None) -> int:
        """Which piece comes after so many pieces of content, or after this share of them."""
        count = int(tokens) if tokens is not None else int(len(self.content) * share)
        return self.content[min(count, len(self.content) - 1)] if self.content else len(self.pieces)


def response_of(dialect: Dialect, request: ChatRequest, replies: Sequence[Reply], tag: str) -> ChatResponse:
    """The whole answer with its figures; one choice for each reply."""
    for reply in replies:
        _as_vendor(reply, dialect, request)
    told = [reply.output_tokens for reply in replies]
    counted = [sum(map(_tokens, reply.parts)) for reply in replies]
    thought = sum(len(tokens_of(part.text)) for reply in replies for part in reply.parts if isinstance(part, Thinking))
    output = sum(own if given is None else given for given, own in zip(told, counted, strict=True))
    given = replies[0].input_tokens
    usage = Usage(input_tokens(request) if given is None else given, output, 0, 0, min(thought, output))
    choices = [Choice(reply.parts, reply.finish, i, reply.stop_sequence) for i, reply in enumerate(replies)]
    extras = {dialect.name: {"system_fingerprint": f"fp_{tag}"}} if dialect.name == "openai_chat" else None
    identity = new_id(_ID_PREFIXES.get(dialect.name, "bdrk_"))
    return ChatResponse(
        id=identity, model=request.model, choices=choices, created=clock.unix_s(), usage=usage, extras=extras
    )


def _tokens(part: Part) -> int:
    match part:
        case Text() | Thinking():
            return len(tokens_of(part.text))
        case ToolCall():
            return len(part.arguments) // 4 + 1
        case _:
            return 1


def _as_vendor(reply: Reply, dialect: Dialect, request: ChatRequest) -> None:
    """Ids of calls as this dialect's vendor forms them, and its thoughts: signed, or encrypted where it is asked."""
    for part in reply.parts:
        if isinstance(part, ToolCall):
            part.id = _CALL_PREFIXES.get(dialect.name, "call_") + part.id
        if not isinstance(part, Thinking):
            continue
        if dialect.name in _SIGNED:
            part.signature, part.origin = signature(part.text), "anthropic"
        elif dialect.name == "openai_responses":
            part.origin = "openai"
            wanted = (request.extras or {}).get(dialect.name, {}).get("include") or ()
            if "reasoning.encrypted_content" in wanted:
                part.redacted = signature(part.text)


def tell(dialect: Dialect, request: ChatRequest, response: ChatResponse, pace: Pace) -> Told:
    """Raises BadRequest for content that the dialect has no words for."""
    tokens = (response.usage.output_tokens if response.usage else None) or 0
    if request.stream:
        told = _streamed(dialect, request, response, pace)
    else:
        if dialect.echo is not None:
            response = dialect.echo(request, response)
        headers = {"content-type": "application/json"}
        if dialect.headers is not None and dialect.headers.encode_answer is not None:
            start = Start("", "", None, response.usage)
            _, said = dialect.headers.encode_answer(start, False, round(pace.latency_s * 1000))
            headers |= {name.decode(): value.decode() for name, value in said.items()}
        body = encode(dialect.encode_response(response, Losses()))
        wait_s = tokens / pace.tokens_per_s if pace.tokens_per_s else 0.0
        told = Told([body[: len(body) // 2], body[len(body) // 2 :]], [1], False, headers, wait_s)
    told.delay_s += pace.latency_s
    return told


def _streamed(dialect: Dialect, request: ChatRequest, response: ChatResponse, pace: Pace) -> Told:
    headers = {"content-type": dialect.framing.content_type.decode()}
    if dialect.headers is not None and dialect.headers.encode_answer is not None:
        _, said = dialect.headers.encode_answer(Start("", ""), True, None)
        headers |= {name.decode(): value.decode() for name, value in said.items()}
    encoder = dialect.stream_encoder(request, Losses())
    told = Told([], [], True, headers)
    for event in _paced(dialect, response):
        said = encoder.encode(event)
        if not said:
            continue
        if is_content(event):
            if pace.tokens_per_s:
                told.pieces.append(1 / pace.tokens_per_s)
            told.content.append(len(told.pieces))
        told.pieces.append(said)
    return told


def _paced(dialect: Dialect, response: ChatResponse) -> Iterable[Event]:
    """The events of an answer, token by token."""
    pinged = dialect.name != "anthropic_messages"
    for event in unfold(response):
        match event:
            case Start():
                input_figure = response.usage.input_tokens if response.usage else None
                yield msgspec.structs.replace(event, usage=Usage(input_figure, 1, 0, 0))
            case TextDelta() | ThinkingDelta() | ArgumentsDelta():
                split: Callable[[str], list[str]] = _cut if isinstance(event, ArgumentsDelta) else tokens_of
                for piece in split(event.text):
                    yield msgspec.structs.replace(event, text=piece)
            case PartStart() if not pinged:
                pinged = True
                yield event
                yield Ping()
            case _:
                yield event


def _cut(arguments: str) -> list[str]:
    return [arguments[i : i + _ARGUMENTS_PIECE] for i in range(0, len(arguments), _ARGUMENTS_PIECE)]


def refuse(dialect: Dialect, error: WyeError, request_id: str = "") -> FakeAnswer:
    """An error's answer in a dialect's words."""
    body = encode(dialect.encode_error(error, request_id))
    headers = {"content-type": "application/json"}
    if dialect.error_headers is not None:
        headers |= {name.decode(): value.decode() for name, value in dialect.error_headers(error)}
    if error.retry_after_s is not None:
        headers["retry-after"] = f"{error.retry_after_s:g}"
    return FakeAnswer([body], error.status, headers, length=len(body))
