"""An answer as it is kept: its events in the order they came, so that it can be told again in any dialect."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from wye.canon.events import Aside, Delta, End, Event, Failure, Finish, PartEnd, PartStart, Ping, Start, UsageReport
from wye.canon.loss import Loss

KeptEvent = Start | PartStart | Delta | PartEnd | Finish | UsageReport | Aside | End
"""All but pings, which say nothing, and failures, which are not kept."""


class Entry(msgspec.Struct):
    events: list[KeptEvent]
    deployment: str
    """Who answered."""
    losses: list[Loss]
    """Of the request, on its way to the upstream."""
    stored_s: float
    """Unix time."""


class Said(msgspec.Struct, omit_defaults=True):
    """A piece of an answer under way, as one replica tells it to the others."""

    run: str
    """Whose telling it is: another run is another answer."""
    events: list[KeptEvent] = []
    deployment: str | None = None
    """In the first piece."""
    attempts: int = 0
    losses: list[Loss] = []
    end: bool = False
    """Nothing follows."""
    error: Broken | None = None


class Broken(msgspec.Struct):
    """Why there is no answer, or why it breaks off."""

    status: int
    code: str
    message: str
    retry_after_s: float | None = None


_encoder = msgspec.json.Encoder()
_entry_decoder = msgspec.json.Decoder(Entry)
_said_decoder = msgspec.json.Decoder(Said)


def encode_entry(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry | None:
    """None for what another version of Wye wrote and this one does not understand."""
    try:
        return _entry_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def encode_said(said: Said) -> bytes:
    return _encoder.encode(said)


def decode_said(data: bytes) -> Said | None:
    try:
        return _said_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def kept(events: Sequence[Event]) -> list[KeptEvent]:
    return [event for event in events if not isinstance(event, Ping | Failure)]
