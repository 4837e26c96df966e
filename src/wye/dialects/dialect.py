"""What a dialect offers: plain functions on values, and stream codecs with `feed` / `encode` and `close`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import Pattern
from typing import Protocol

import msgspec

from wye.canon.embedding import EmbeddingRequest, EmbeddingResponse
from wye.canon.events import Event, Start
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.canon.usage import Usage
from wye.dialects.text_shape import TextShape
from wye.kernel import eventstream, sse
from wye.kernel.errors import BadRequest, UpstreamRefused, WyeError
from wye.kernel.json import JsonObject, Raw


class StreamDecoder(Protocol):
    """An upstream's stream, chunk by chunk, as events with the guarantees of `canon.events`."""

    @property
    def under_way(self) -> TextShape | None:
        """While it is known: a frame of this shape that comes next is one more piece like the last event, changes
        nothing here and need not be fed. None where no such frame is to be kept from the decoder."""
        return None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that these bytes complete. A frame that cannot be understood is a Failure, never an exception."""
        ...

    def close(self) -> list[Event]:
        """The upstream ended the stream: what was still owed (End, if the answer is complete; a Failure if not)."""
        ...


class StreamEncoder(Protocol):
    """Events as the bytes that a client of this dialect expects, framing included."""

    def encode(self, event: Event) -> bytes:
        """b"" where the dialect says nothing for this event. A Failure becomes the dialect's error event."""
        ...

    def further(self, event: Event) -> Callable[[str], bytes] | None:
        """Says the text of one more piece like this event, which was encoded last, until another is encoded.

        None where each is to be encoded.
        """
        return None


class Splitter(Protocol):
    """Cuts a stream where frames end."""

    held: bytearray
    """What has come of a frame that has not ended."""

    def feed(self, chunk: bytes) -> bytes:
        """All frames that are complete so far, in one piece; b"" when none has ended yet. Raises BadAnswer."""
        ...

    def close(self) -> bytes:
        """A last frame that its sender did not end, where the framing allows that; else b"". Raises StreamCut."""
        ...


class Framing(msgspec.Struct, frozen=True, kw_only=True):
    """How frames lie in the bytes of a stream: server-sent events, or AWS's binary event stream."""

    content_type: bytes
    splitter: Callable[[], Splitter]
    split: Callable[[bytes], list[bytes]]
    """Whole frames in one piece, one by one."""
    is_plain: Callable[[bytes], bool]
    """Whether whole frames are what any caller can parse, and none of them is an error: others are decoded first."""


SSE = Framing(
    content_type=b"text/event-stream; charset=utf-8", splitter=sse.FrameSplitter, split=sse.split, is_plain=sse.is_plain
)
EVENT_STREAM = Framing(
    content_type=eventstream.CONTENT_TYPE,
    splitter=eventstream.FrameSplitter,
    split=eventstream.split,
    is_plain=eventstream.is_plain,
)


class Quirks(msgspec.Struct, frozen=True):
    """What one upstream wants differently within the same dialect. A fact is a row, behaviour is code."""

    max_tokens_key: str = "max_tokens"
    """OpenAI's newer models take only `max_completion_tokens`; most compatible servers know only `max_tokens`."""
    developer_role: bool = False
    """Whether the role `developer` is understood; `system` is sent where it is not."""
    stream_usage: bool = True
    """Whether `stream_options.include_usage` may be asked for."""
    custom_tools: bool = False
    """Whether tools of free text are understood, where the dialect has them; functions of one text stand for them
    elsewhere."""
    reasoning_member: str = "reasoning_content"
    """Where chat models are shown their earlier reasoning again; "" where any such member is refused."""
    reasoning_details: bool = True
    """Whether `reasoning_details`, which may hold any vendor's reasoning, are understood or at least not refused."""
    default_max_tokens: int = 4096
    """Sent where the dialect requires a limit and the caller gave none."""


class HeaderCodec(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialect says beside the bodies. Header names are in lower case."""

    decode_request: Callable[[ChatRequest, Mapping[bytes, bytes]], ChatRequest]
    """A decoded body together with what its caller's headers ask for. Raises BadRequest."""
    encode_request: Callable[[ChatRequest, Losses], tuple[ChatRequest, dict[bytes, bytes]]]
    """What they leave to the body to say, and the headers to send."""
    decode_answer: Callable[[Mapping[bytes, bytes]], Start | None] | None = None
    """What they tell of an answer, as its start."""
    encode_answer: Callable[[Start, bool, int | None], tuple[Start, dict[bytes, bytes]]] | None = None
    """What they leave to the body to say, and the headers: of a stream, or of a whole answer, which may have taken so
    many milliseconds."""
    passed_on: bytes | None = None
    """How the names of headers begin that go through with an answer that passes through."""


class TapRules(msgspec.Struct, frozen=True, kw_only=True):
    """How a relay that passes bytes through still sees what it must: the frames that match are decoded, no others."""

    markers: Pattern[bytes]
    """Matches in every JSON frame that holds usage, a finish reason, the end, or an error; seldom in any other.

    A frame that is no JSON object, or is named `error`, is decoded in any case.
    """
    unasked_usage: Pattern[bytes] | None = None
    """Matches a frame that only reports usage, dropped when the client did not ask for it."""
    usage_of: Callable[[bytes], Usage | None]
    """The figures of a whole answer's bytes, looked up without decoding the rest.

    Raises BadAnswer when they are no answer, or the upstream's own error when they hold one.
    """
    terminator: bytes = b""
    """What ends a complete stream, for an upstream that forgot it."""
    ask_usage: Callable[[dict[str, Raw]], bool] | None = None
    """Makes a request (its top-level members, changed in place) ask for usage; whether it did not do so itself."""


class Dialect(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One is like no other: there are few, and they live as long as the process."""

    name: str
    """The key in extras, configuration and metrics: `openai_chat`."""

    decode_request: Callable[[JsonObject], ChatRequest]
    """Raises BadRequest or Unprocessable that name the member at fault. Never mutates the body."""
    encode_request: Callable[[ChatRequest, Losses, Quirks], JsonObject]
    """Adds to the losses; raises BadRequest for content that the dialect cannot say."""
    split: Callable[[JsonObject], list[JsonObject]] | None = None
    """A request that gives several inputs at once as the requests that it stands for; None where no request does."""
    decode_response: Callable[[JsonObject], ChatResponse]
    """Raises BadAnswer, or the upstream's own error when a 200 holds one."""
    encode_response: Callable[[ChatResponse, Losses], JsonObject]
    custom_tools: bool = False
    """Whether there are tools of free text."""
    cites: bool = False
    """Whether documents in a request may ask to be cited. Who speaks such a dialect cites them itself."""
    kept_by_vendor: Mapping[str, str] = {}
    """Members of a request that stand for words which only the vendor has, and the code of the error that says so."""
    echo: Callable[[ChatRequest, ChatResponse], ChatResponse] | None = None
    """An answer with what this dialect's answers repeat of their request; None where they repeat nothing."""

    decode_usage: Callable[[JsonObject], Usage]
    """The `usage` member of an answer. Figures of the wrong type count as unknown."""

    stream_decoder: Callable[[], StreamDecoder]
    stream_encoder: Callable[[ChatRequest, Losses], StreamEncoder]
    tap: TapRules
    model_in_path: bool = False
    """Whether a request's path names the model and asks for a stream, and its body says neither."""
    framing: Framing = SSE
    as_sse: Dialect | None = None
    """The same dialect framed as server-sent events, where its own framing is another."""

    headers: HeaderCodec | None = None
    """None where only bodies tell."""
    request_id_header: bytes | None = None
    """Where the dialect's own clients look for a request's id, if not in x-request-id."""
    decode_count: Callable[[JsonObject], ChatRequest] | None = None
    """A request to count the tokens of an input; None where the dialect has none."""
    encode_count: Callable[[int], JsonObject] | None = None

    encode_error: Callable[[WyeError, str], JsonObject]
    """An error's body, for a request id. The status is the error's own."""
    error_headers: Callable[[WyeError], list[tuple[bytes, bytes]]] | None = None
    """Headers by which the dialect's own clients know an error, where its body does not tell; names in lower case."""
    encode_stream_error: Callable[[WyeError, str], bytes]
    """The frame (or frames) that end a stream which has already begun."""
    decode_error: Callable[[int, Mapping[bytes, bytes], bytes], UpstreamRefused]
    """An upstream's answer of status >= 400 (headers in lower case), whatever its body: HTML and nothing included."""


def demand_whole(request: ChatRequest, dialect: Dialect) -> None:
    """Raise BadRequest for a request of this dialect that no other can say whole, since its vendor keeps a part of it:
    a model that was asked without that part would answer something else."""
    members = (request.extras or {}).get(dialect.name, {})
    for name, code in dialect.kept_by_vendor.items():
        if members.get(name) is not None:
            raise BadRequest(
                f"{name}: the upstream that answers for '{request.model}' keeps no conversations and no prompts: "
                "send all that was said in the request itself",
                param=name,
                code=code,
            )


class EmbeddingDialect(msgspec.Struct, frozen=True, kw_only=True):
    """A wire format of requests for vectors."""

    name: str
    """The key in extras and metrics: `openai_embeddings`."""
    kin: str
    """The name of the dialect whose errors and headers it shares."""
    inputs_per_call: int
    """How many inputs one request may hold."""
    model_in_path: bool = False
    """Whether a request's path names the model, and its body does not."""

    decode_request: Callable[[JsonObject], EmbeddingRequest]
    """Raises BadRequest or Unprocessable that name the member at fault. Never mutates the body."""
    encode_request: Callable[[EmbeddingRequest, Losses], JsonObject]
    """Adds to the losses; raises BadRequest for inputs and sizes that the model does not take."""
    decode_response: Callable[[JsonObject, Mapping[bytes, bytes]], EmbeddingResponse]
    """With the answer's headers, in lower case. Raises BadAnswer, or the upstream's own error when a 200 holds one."""
    encode_response: Callable[[EmbeddingRequest, EmbeddingResponse, Losses], JsonObject]
    usage_of: Callable[[bytes, Mapping[bytes, bytes]], Usage | None]
    """The figures of an answer's bytes, looked up without decoding its vectors. Raises as `decode_response` does."""
    as_asked: Callable[[dict[str, Raw], bytes], bytes] | None = None
    """An answer's bytes in the encoding that a request's members ask for, also where the upstream did not mind it."""
