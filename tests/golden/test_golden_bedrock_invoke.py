"""The corpus of InvokeModel's families: decoded and encoded again, each case says the same, in either framing."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from wye.canon.events import End, Event
from wye.canon.extras import FORM, Extras
from wye.canon.fold import fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import ToolCall
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse, Choice
from wye.dialects.bedrock_invoke.families import FAMILIES
from wye.dialects.bedrock_invoke.metrics import MEMBER
from wye.dialects.dialect import Dialect, Quirks
from wye.kernel import eventstream, json, sse

GOLDEN = Path(__file__).parent
NAMED = {dialect.name: dialect for dialect in FAMILIES}


def cases(kind: str, suffix: str = "json") -> list[Any]:
    return [
        pytest.param(dialect, path, id=f"{dialect.name}: {path.stem}")
        for dialect in FAMILIES
        for path in sorted((GOLDEN / dialect.name / kind).glob(f"*.{suffix}"))
    ]


def load(path: Path) -> dict[str, Any]:
    return json.decode(path.read_bytes())


def framed(dialect: Dialect, chunks: list[bytes]) -> bytes:
    """A stream as an upstream sends it; Bedrock pads its frames."""
    if dialect.as_sse is None:
        return b"".join(sse.frame(chunk) for chunk in chunks)
    payloads = [json.encode({"bytes": b64encode(chunk).decode(), "p": "abc"}) for chunk in chunks]
    return b"".join(eventstream.message("chunk", payload) for payload in payloads)


def events_of(dialect: Dialect, wire: bytes, size: int) -> list[Event]:
    decoder = dialect.stream_decoder()
    events = [event for start in range(0, len(wire), size) for event in decoder.feed(wire[start : start + size])]
    return events + decoder.close()


def encoded(dialect: Dialect, events: list[Event]) -> bytes:
    losses = Losses()
    encoder = dialect.stream_encoder(ChatRequest(model="", messages=[]), losses)
    wire = b"".join(encoder.encode(event) for event in events)
    assert losses == []
    return wire


def formless(all_extras: list[Extras | None]) -> Extras:
    """Members, wherever in the answer they are kept, without how it was spelled."""
    kept: Extras = {}
    for extras in all_extras:
        for name, members in (extras or {}).items():
            own = {member: value for member, value in members.items() if member != FORM}
            kept[name] = {**kept.get(name, {}), **own}
    return {name: members for name, members in kept.items() if members}


def meaning(answer: ChatResponse) -> ChatResponse:
    """Without the ids and the time, which many families do not tell."""
    choices: list[Choice] = []
    for choice in answer.choices:
        parts = [replace(part, id="") if isinstance(part, ToolCall) else part for part in choice.parts]
        choices.append(replace(choice, parts=parts, extras=None))
    extras = formless([answer.extras, *(choice.extras for choice in answer.choices)])
    return replace(answer, id="", created=None, usage=None, choices=choices, extras=extras)


def timeless(body: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """Without the id and the time that had to be made."""
    return {name: value for name, value in body.items() if name in like or name not in ("id", "created")}


@pytest.mark.parametrize(("dialect", "path"), cases("requests"))
def test_a_request_comes_out_as_it_came_in_or_as_its_note_says(dialect: Dialect, path: Path) -> None:
    case = load(path)
    losses = Losses()
    assert ("said" in case) == ("note" in case)
    said = dialect.encode_request(dialect.decode_request(case["wire"]), losses, Quirks())
    assert said == case.get("said", case["wire"])
    assert losses == []
    assert case == load(path), "decoding changed the body"
    again = dialect.decode_request(said)
    assert dialect.encode_request(again, losses, Quirks()) == said


@pytest.mark.parametrize(("dialect", "path"), cases("responses"))
def test_an_answer_comes_out_as_it_came_in_or_as_its_note_says(dialect: Dialect, path: Path) -> None:
    case = load(path)
    losses = Losses()
    answer = dialect.decode_response(case["wire"])
    expected = case.get("said", case["wire"])
    assert timeless(dialect.encode_response(answer, losses), expected) == expected
    assert losses == []
    assert case == load(path), "decoding changed the body"
    assert dialect.tap.usage_of(json.encode(case["wire"])) == answer.usage
    if dialect is not NAMED["bedrock_stability"]:
        assert meaning(fold(events_of(dialect, encoded(dialect, unfold(answer)), 1 << 20))) == meaning(answer)


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("framing", ["native", "as_sse"])
@pytest.mark.parametrize(("dialect", "path"), cases("streams", "jsonl"))
def test_a_stream_holds_the_same_answer_however_it_is_cut(
    dialect: Dialect, path: Path, framing: str, size: int
) -> None:
    if framing == "as_sse":
        assert dialect.as_sse is not None
        dialect = dialect.as_sse
    wire = framed(dialect, path.read_bytes().splitlines())
    events = events_of(dialect, wire, size)
    assert isinstance(events[-1], End)
    answer = dialect.decode_response(load(path.parents[1] / "responses" / f"{path.stem}.json")["wire"])
    told = fold(events)
    assert meaning(told) == meaning(answer)
    if answer.usage is not None:
        assert told.usage is not None
        assert told.usage == answer.usage
    again = fold(events_of(dialect, encoded(dialect, events), size))
    assert meaning(again) == meaning(told)
    assert again.usage == told.usage


@pytest.mark.parametrize(("dialect", "path"), cases("streams", "jsonl"))
def test_the_last_chunk_tells_the_figures(dialect: Dialect, path: Path) -> None:
    chunks = path.read_bytes().splitlines()
    events = events_of(dialect, framed(dialect, chunks), 1 << 20)
    usage = fold(events).usage
    came = json.decode(chunks[-1]).get(MEMBER)
    *before, last = [json.decode(chunk) for chunk in chunks_in(encoded(dialect, events))]
    assert not any(MEMBER in chunk for chunk in before)
    assert (MEMBER in last) == (usage is not None)
    if came is not None:
        assert last[MEMBER] == {**came, **{name: value for name, value in last[MEMBER].items() if name not in came}}
        assert usage is not None
        assert (usage.output_tokens, usage.cached_tokens or 0) == (
            came["outputTokenCount"],
            came.get("cacheReadInputTokenCount", 0),
        )


def chunks_in(wire: bytes) -> list[bytes]:
    return [b64decode(json.decode(message.payload)["bytes"]) for message in eventstream.parse(wire)]
