"""What all streams of a family's own chunks have in common, as server-sent events."""

from __future__ import annotations

from abc import ABC, abstractmethod

from wye.canon.events import End, Event, Failure
from wye.dialects.aws_errors import error_type, refusal
from wye.kernel.errors import BadAnswer, StreamCut, WyeError
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode
from wye.kernel.sse import Frame, frame


class ChunkDecoder(ABC):
    """Implements `framing.ChunkReader`; a family's own understands one chunk."""

    def __init__(self) -> None:
        self._over = False

    @abstractmethod
    def chunk(self, chunk: JsonObject, events: list[Event]) -> None:
        """The events of one chunk. Raises BadAnswer for one that makes no sense."""

    @abstractmethod
    def complete(self) -> bool:
        """Whether nothing of the answer is missing, should the stream end now."""

    def read(self, frames: list[Frame]) -> list[Event]:
        events: list[Event] = []
        try:
            for found in frames:
                if not self._over:
                    self._decode(found.data, found.event, events)
        except WyeError as error:
            self._over = True
            events.append(Failure(error))
        return events

    def close(self) -> list[Event]:
        """Most families do not say which chunk is the last."""
        if self._over:
            return []
        self._over = True
        if self.complete():
            return [End()]
        return [Failure(StreamCut("The upstream ended the stream before the answer was complete"))]

    def end(self, events: list[Event]) -> None:
        """The last chunk has come."""
        events += self.close()

    def _decode(self, data: bytes, name: str | None, events: list[Event]) -> None:
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
