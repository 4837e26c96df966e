"""Cases in the words of each dialect: the corpus of tests/golden, and what other dialects' cases are in its words.

A dialect's own cases come first. Where they say nothing of what it has words for, the cases of others, said in its
words, make up for it: a dialect whose folder is thin is looked at as closely as any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from tests.fidelity.facts import facts
from wye.canon.events import Event
from wye.canon.fold import fold
from wye.canon.free_text import as_functions
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.dialects.dialect import Dialect, Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel import json, sse
from wye.kernel.errors import WyeError

CORPUS = Path(__file__).parents[1] / "golden"
MODEL = "m-1"
NO_STREAMS = {"bedrock_stability"}
Kind = Literal["requests", "responses", "streams"]


class Case(NamedTuple):
    name: str
    wire: Any
    """A body as an object, or a stream's bytes, framed as server-sent events."""


def as_sse(dialect: Dialect) -> Dialect:
    return dialect.as_sse or dialect


def events_of(dialect: Dialect, wire: bytes, size: int = 1 << 20) -> list[Event]:
    """What a stream of server-sent events says, read in pieces of `size` bytes."""
    decoder = as_sse(dialect).stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


def understood(dialect: Dialect, kind: Kind, wire: Any) -> ChatRequest | ChatResponse:
    """A case as its dialect decodes it."""
    if kind == "requests":
        return dialect.decode_request({"model": MODEL, **wire})
    return dialect.decode_response(wire) if kind == "responses" else fold(events_of(dialect, wire))


@cache
def own(dialect: str, kind: Kind) -> list[Case]:
    return [Case(path.stem, _read(path)) for path in sorted((CORPUS / dialect / kind).glob("*.*"))]


def _read(path: Path) -> Any:
    data = path.read_bytes()
    if path.suffix == ".json":
        case = json.decode(data)
        return case["wire"] if isinstance(case.get("wire"), dict) else case
    return data if path.suffix == ".sse" else b"".join(sse.frame(line) for line in data.splitlines())


@cache
def cases(dialect: str, kind: Kind) -> list[Case]:
    """Its own, and as few of the others' as tell of all else that it has words for."""
    mine = own(dialect, kind)
    known = _features(DIALECTS[dialect], kind, mine)
    found = list(_said_in(DIALECTS[dialect], kind))
    while found:
        best = max(found, key=lambda item: len(item[1] - known))
        if not best[1] - known:
            break
        mine = [*mine, best[0]]
        known |= best[1]
    return mine


def _features(dialect: Dialect, kind: Kind, found: Iterable[Case]) -> set[str]:
    """Of what the cases tell: features, and the members in which they are told."""
    told = (fact for case in found for fact in facts(understood(dialect, kind, case.wire)))
    return {f"{fact.feature} {fact.member.partition('.')[0]}" for fact in told if fact.feature != "unknown"}


def _said_in(dialect: Dialect, kind: Kind) -> Iterable[tuple[Case, set[str]]]:
    """Other dialects' cases in the words of this one, each with the features that are left of it."""
    say: Callable[[Dialect, Any], Any] = {"requests": _ask, "responses": _tell, "streams": _stream}[kind]
    for other in DIALECTS.values():
        for case in own(other.name, kind) if other is not dialect else ():
            try:
                wire = say(dialect, understood(other, kind, case.wire) if kind != "streams" else (other, case.wire))
                said = Case(f"{other.name}: {case.name}", wire)
                yield said, _features(dialect, kind, [said])
            except WyeError:
                continue  # not in this dialect


def _ask(dialect: Dialect, request: ChatRequest) -> dict[str, Any]:
    request = replace(request, extras=None)
    request = request if dialect.custom_tools else as_functions(request, Losses())
    return json.decode(json.encode(dialect.encode_request(request, Losses(), Quirks(custom_tools=True))))


def _tell(dialect: Dialect, answer: ChatResponse) -> dict[str, Any]:
    return json.decode(json.encode(dialect.encode_response(answer, Losses())))


def _stream(dialect: Dialect, source: tuple[Dialect, bytes]) -> bytes:
    asked = ChatRequest(model=MODEL, messages=[], stream=True, include_usage=True)
    encoder = as_sse(dialect).stream_encoder(asked, Losses())
    return b"".join(encoder.encode(event) for event in events_of(*source))
