"""Whatever a client or an upstream puts in the place of a member, a codec understands it or says so: nothing else is
ever raised, and a stream that has begun always goes on.

The corpus of each dialect, with one value after the other replaced or left out, told in every dialect in turn.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.vendors import invoke_stream
from wye.canon.events import End, Failure
from wye.canon.fold import unfold
from wye.canon.free_text import as_functions
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Dialect, Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import BadRequest, CallerError, UpstreamError
from wye.kernel.json import encode

GOLDEN = Path(__file__).parent
ODD: list[Any] = [
    *(None, True, -1, 1.5, 10**20, "", "\u00e9", [], {}, [1], ["a"], [None], [{}], [[]]),
    *({"type": "x"}, {"type": []}, {"a": 1}, [{"type": "text"}], [{"type": "text", "text": 1}]),
]
LEFT_OUT = object()
SPOKEN = {name: dialect for name, dialect in DIALECTS.items() if (GOLDEN / name / "requests").is_dir()}
TOLD = [dialect for dialect in SPOKEN.values() if dialect.name != "bedrock_stability"]
"""Those that answers can be told in; that one answers in pictures."""
by_dialect = pytest.mark.parametrize("name", SPOKEN)
STREAMED = [name for name in SPOKEN if (GOLDEN / name / "streams").is_dir()]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def changed(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    whole = copy.deepcopy(value)
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    if odd is LEFT_OUT:
        del inner[path[-1]]
    else:
        inner[path[-1]] = odd
    return whole


def variants(value: Any, random: Random, most: int) -> Iterator[Any]:
    found = list(places(value))
    for path in random.sample(found, min(len(found), most)):
        for odd in (LEFT_OUT, *random.sample(ODD, 2)):
            yield changed(value, path, odd)


def corpus(name: str, kind: str) -> list[Path]:
    return sorted((GOLDEN / name / kind).iterdir())


def wire_of(path: Path) -> Any:
    value = json.loads(path.read_text())
    return value.get("wire", value)


@by_dialect
def test_requests(name: str) -> None:
    random, others = Random(name), cycle(SPOKEN.values())
    for path in corpus(name, "requests"):
        for body in variants(wire_of(path), random, 20):
            before = copy.deepcopy(body)
            try:
                request = SPOKEN[name].decode_request(body)
                assert body == before
                other = next(others)
                if not other.custom_tools:
                    request = as_functions(request, Losses())
                encode(other.encode_request(request, Losses(), Quirks()))
            except CallerError:
                continue


@by_dialect
def test_answers(name: str) -> None:
    random, others = Random(name), cycle(TOLD)
    for path in corpus(name, "responses"):
        for body in variants(wire_of(path), random, 20):
            try:
                answer = SPOKEN[name].decode_response(body)
            except UpstreamError:
                continue
            other = next(others)
            with suppress(BadRequest):  # a picture whose format nobody tells
                encode(other.encode_response(answer, Losses()))
                told(other, unfold(answer))


def told(dialect: Dialect, events: list[Any]) -> bytes:
    encoder = dialect.stream_encoder(ChatRequest(model="m", messages=[], include_usage=True), Losses())
    return b"".join(encoder.encode(event) for event in events)


def frames_of(path: Path) -> list[tuple[str, Any]]:
    """What stands before the data of each frame, and the data; a frame that is no JSON is left as it is."""
    if path.suffix == ".jsonl":
        return [("", json.loads(line)) for line in path.read_text().splitlines() if line.strip()]
    frames: list[tuple[str, Any]] = []
    for frame in path.read_text().replace("\r\n", "\n").split("\n\n"):
        head = "".join(f"{line}\n" for line in frame.split("\n") if line.startswith("event:"))
        data = "\n".join(line[5:].lstrip() for line in frame.split("\n") if line.startswith("data:"))
        frames.append((head, json.loads(data)) if data.startswith("{") else (frame, None))
    return frames


def bytes_of(frames: list[tuple[str, Any]], *, binary: bool) -> bytes:
    if binary:
        return b"".join(invoke_stream(event for _, event in frames))
    return "".join(
        f"{head}\n\n" if event is None else f"{head}data: {json.dumps(event)}\n\n" for head, event in frames
    ).encode()


@pytest.mark.parametrize("name", STREAMED)
def test_streams(name: str) -> None:
    random, others = Random(name), cycle(TOLD)
    for path in corpus(name, "streams"):
        frames = frames_of(path)
        binary = path.suffix == ".jsonl"
        dialect = SPOKEN[name] if binary else SPOKEN[name].as_sse or SPOKEN[name]
        for i, (head, event) in enumerate(frames):
            for odd in variants(event, random, 3) if event is not None else ():
                decoder = dialect.stream_decoder()
                stream = bytes_of([*frames[:i], (head, odd), *frames[i + 1 :]], binary=binary)
                events = decoder.feed(stream) + decoder.close()
                assert isinstance(events[-1], End | Failure)
                told(next(others), events)
