"""Every case of the corpus (tests/golden), as its own dialect decodes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wye.canon.events import Event
from wye.dialects.dialect import Dialect
from wye.kernel import json, sse

CORPUS = Path(__file__).parents[1] / "golden"


def paths(dialect: Dialect, kind: str) -> list[Path]:
    return sorted((CORPUS / dialect.name / kind).glob("*.*"))


def body(path: Path) -> dict[str, Any]:
    case = json.decode(path.read_bytes())
    return case["wire"] if isinstance(case.get("wire"), dict) else case


def stream(path: Path) -> bytes:
    """As server-sent events, which every dialect has; a line of a .jsonl is one event's data."""
    data = path.read_bytes()
    return data if path.suffix == ".sse" else b"".join(sse.frame(line) for line in data.splitlines())


def as_sse(dialect: Dialect) -> Dialect:
    return dialect.as_sse or dialect


def events_of(dialect: Dialect, wire: bytes, size: int = 1 << 20) -> list[Event]:
    decoder = dialect.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()
