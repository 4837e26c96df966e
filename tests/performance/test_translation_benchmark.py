"""What translation costs stays in proportion, and its benchmark measures streams that are told whole."""

from __future__ import annotations

from io import StringIO
from statistics import median

import pytest
from rich.console import Console

from benchmarks.translation import (
    BOUND_US,
    CHUNKS,
    Pair,
    cpu_s,
    markdown,
    measure,
    pairs,
    passed_through,
    relayed,
    streaming,
    table,
    translated,
    wire,
)
from wye.canon.fold import fold
from wye.canon.parts import Text
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS

CHAT = DIALECTS["openai_chat"]
DIALECTS_THAT_STREAM = streaming()
TIMES = 8.0
"""What a translated stream may cost, by the CPU of the same stream of OpenAI's passed through."""
WORDS = "".join(f" word{i}" for i in range(CHUNKS))


def told(dialect: Dialect, said: bytes) -> str:
    decoder = dialect.stream_decoder()
    (text,) = fold(decoder.feed(said) + decoder.close()).choices[0].parts
    assert isinstance(text, Text)
    return text.text


def finished(course: object) -> bytes:
    with pytest.raises(StopIteration) as end:
        course.send(None)  # type: ignore[attr-defined]
    return end.value.value


@pytest.mark.parametrize("upstream", DIALECTS_THAT_STREAM, ids=lambda dialect: dialect.name)
def test_every_pair_tells_the_whole_stream(upstream: Dialect) -> None:
    chunks = wire(upstream)
    assert len(chunks) >= CHUNKS
    assert finished(relayed(passed_through(upstream, chunks))) == b"".join(chunks)
    for caller in DIALECTS_THAT_STREAM:
        assert told(caller, finished(relayed(translated(Pair(upstream, caller), chunks)))) == WORDS


def test_only_what_cannot_stream_is_left_out() -> None:
    assert DIALECTS.keys() - {dialect.name for dialect in DIALECTS_THAT_STREAM} == {"bedrock_stability"}


@pytest.mark.parametrize("dialect", DIALECTS_THAT_STREAM, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("direction", ["from", "to"])
def test_a_translated_stream_costs_a_few_times_what_passing_one_through_costs(dialect: Dialect, direction: str) -> None:
    """The two are measured right after each other, so that a busy neighbour slows both."""
    pair = Pair(dialect, CHAT) if direction == "from" else Pair(CHAT, dialect)
    chunks, base = wire(pair.upstream), wire(CHAT)
    ratios: list[float] = []
    for _ in range(25):
        passed = cpu_s(lambda: passed_through(CHAT, base))
        ratios.append(cpu_s(lambda: translated(pair, chunks)) / passed)
    assert median(ratios) <= TIMES


def test_the_tables_hold_every_pair() -> None:
    dialects = [CHAT, DIALECTS["anthropic_messages"], DIALECTS["bedrock_titan"]]
    of = pairs(dialects)
    assert len(of) == 6
    figures = measure(of, rounds=1)
    assert figures.keys() == {pair.name for pair in of}
    figures |= {of[0].name: BOUND_US + 1, of[2].name: 1.0, of[3].name: 2.0}
    lines = markdown(dialects, figures).splitlines()
    assert lines[0] == "| upstream | openai_chat | anthropic_messages | titan |"
    assert lines[3] == "| anthropic_messages | 1.0 |  | 2.0 |"
    printed = StringIO()
    Console(file=printed, width=100).print(table(dialects, figures))
    shown = [line for line in printed.getvalue().splitlines() if "│" in line]
    assert [("FAIL" in line, "pass" in line) for line in shown][:2] == [(True, False), (False, True)]
