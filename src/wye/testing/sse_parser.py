"""Server-sent events for tests: lines and streams as decoded values.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from wye.kernel.json import JsonObject, as_list, as_object, decode
from wye.kernel.sse import SseDecoder

DONE: Literal["[DONE]"] = "[DONE]"
Event = JsonObject | Literal["[DONE]"]


class SseParser:
    """Takes text or bytes. Data that are no JSON raise ValueError, which says where."""

    def parse_line(self, line: str | bytes) -> Any:
        """What one line says: the decoded data, "[DONE]", or None for a line without data."""
        text = line.decode() if isinstance(line, bytes) else line
        name, _, value = text.rstrip("\r\n").partition(":")
        return self._data(value.removeprefix(" ").encode()) if name == "data" else None

    def parse_stream(self, stream: str | bytes | Iterable[str | bytes]) -> list[Event]:
        """The events of a whole stream, or of its chunks (or lines without their ends) however they are cut."""
        pieces = [stream] if isinstance(stream, str | bytes) else list(stream)
        chunks = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        if chunks and not any(b"\n" in chunk or b"\r" in chunk for chunk in chunks):
            chunks = [chunk + b"\n" for chunk in chunks]  # lines, as clients' `iter_lines` gives them
        decoder = SseDecoder()
        frames = [frame for chunk in chunks for frame in decoder.feed(chunk)] + decoder.close()
        return [self._data(frame.data) for frame in frames]

    def extract_content(self, events: str | bytes | Iterable[Any]) -> str:
        """The text of an answer from the events of a stream (or the stream itself), in any of the formats."""
        if isinstance(events, str | bytes):
            events = self.parse_stream(events)
        return "".join(_text(event) for event in map(as_object, events) if event is not None)

    def _data(self, data: bytes) -> Any:
        return DONE if data.strip() == b"[DONE]" else decode(data)


def _text(event: JsonObject) -> str:
    if event.get("type") == "response.output_text.delta":
        return str(event.get("delta", ""))
    if isinstance(event.get("outputText"), str):
        return event["outputText"]
    delta = as_object((as_object(event.get("contentBlockDelta")) or event).get("delta"))
    if delta is not None:
        return delta.get("text") or ""
    texts: list[str] = []
    for choice in map(as_object, as_list(event.get("choices")) or ()):
        said = as_object((choice or {}).get("delta")) or {}
        texts.append(said.get("content") or (choice or {}).get("text") or "")
    return "".join(texts)
