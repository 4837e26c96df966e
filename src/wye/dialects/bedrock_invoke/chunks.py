"""What all streams of a family's own chunks have in common, as server-sent events."""

from __future__ import annotations

from abc import ABC, abstractmethod

from wye.canon.events import End, Event, Failure
from wye.dialects.aws_errors import error_type, refusal
from wye.kernel.errors import BadAnswer, StreamCut, WyeError
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode
from wye.kernel.sse import Frame, SseDecoder, frame


class ChunkDecoder(ABC):
    """Implements `dialects.dialect.StreamDecoder`; a family's own reads its chunks."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._over = False

    @abstractmethod
    def chunk(self, chunk: JsonObject, events: list[Event]) -> None:
        """The events of one chunk. Raises BadAnswer for one that makes no sense."""

    @abstractmethod
    def complete(self) -> bool:
        """Whether nothing of the answer is missing, should the stream end now."""

    def feed(self, chunk: bytes) -> list[Event]:
        events: list[Event] = []
        if not self._over:
            try:
                self._frames(self._sse.feed(chunk), events)
            except WyeError as error:
                self._fail(error, events)
        return events

    def close(self) -> list[Event]:
        """Most families do not say which chunk is the last."""
        events: list[Event] = []
        if self._over:
            return events
        try:
            self._frames(self._sse.close(), events)
            if not self._over:
                self.end(events)
        except WyeError as error:
            self._fail(error, events)
        return events

    def end(self, events: list[Event]) -> None:
        """The last chunk has come. Raises StreamCut."""
        if not self.complete():
            raise StreamCut("The upstream ended the stream before the answer was complete")
        self._over = True
        events.append(End())

    def _fail(self, error: WyeError, events: list[Event]) -> None:
        self._over = True
        events.append(Failure(error))

    def _frames(self, frames: list[Frame], events: list[Event]) -> None:
        for data, name in frames:
            if self._over:
                return
            try:
                chunk = as_object(decode(data))
            except JsonError as error:
                raise BadAnswer(f"The upstream sent a stream chunk that is not valid JSON: {error}") from None
            if chunk is None:
                raise BadAnswer("The upstream sent a stream chunk that is not a JSON object")
            if name == "error":
                raise refusal(str(chunk.get("__type", "")), chunk)
            self.chunk(chunk, events)


def encode_stream_error(error: WyeError, request_id: str) -> bytes:
    """Outside of AWS's frames, which have a place for the type, it is a member, as in AWS's older protocols."""
    return frame(encode({"__type": error_type(error), "message": error.message}), "error")
