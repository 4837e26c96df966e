"""Requests and streams of any family, for tests: as objects, whatever frames they come in."""

from __future__ import annotations

from typing import Any

from wye.canon.events import Event
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message
from wye.dialects.dialect import Dialect, Quirks
from wye.kernel import json, sse


def request(*messages: Message, **members: Any) -> ChatRequest:
    return ChatRequest(**{"model": "", "messages": list(messages) or [Message("user", [Text("Hi")])], **members})


def encode(dialect: Dialect, value: ChatRequest) -> tuple[dict[str, Any], dict[str, str]]:
    """What is said, and the severity of each loss by its field."""
    losses = Losses()
    said = dialect.encode_request(value, losses, Quirks())
    return said, {loss.field: loss.severity for loss in losses}


def as_sse(dialect: Dialect) -> Dialect:
    assert dialect.as_sse is not None
    return dialect.as_sse


def chunks(dialect: Dialect, events: list[Event], losses: Losses | None = None) -> list[dict[str, Any]]:
    """The chunks that are said; what ends the stream is left out."""
    encoder = as_sse(dialect).stream_encoder(request(), Losses() if losses is None else losses)
    frames = sse.parse(b"".join(encoder.encode(event) for event in events))
    return [json.decode(found.data) for found in frames if found.data != b"[DONE]"]


def decoded(dialect: Dialect, *said: Any) -> list[Event]:
    decoder = as_sse(dialect).stream_decoder()
    events = [event for chunk in said for event in decoder.feed(sse.frame(json.encode(chunk)))]
    return events + decoder.close()
