"""`python -m benchmarks.translation`: what it costs to say a stream in another dialect, for every pair of dialects.

The figure is CPU time (user and system) per chunk of a stream of 100 chunks, each a word of text in a piece of its own,
as a model produces them: the relay's translated stream, less the relay's passed-through stream of the same bytes. No
network takes part. Both are taken in turns, and of each the least of all rounds counts: what is more was a neighbour's.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from wye.canon.events import End, Event, Finish, PartEnd, PartStart, Start, TextDelta, UsageReport
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest
from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.gateway.exchange import Outlet
from wye.gateway.relay.passthrough import PassthroughStream
from wye.gateway.relay.stream import RelayedStream
from wye.gateway.relay.translate import TranslatedStream
from wye.kernel.errors import BadRequest
from wye.ports.transport import Clocks, Sink

CHUNKS = 100
BOUND_US = 10.0
"""What a chunk may cost more than one that is passed through."""

REQUEST = ChatRequest(model="m", messages=[], stream=True, include_usage=True)
EVENTS: list[Event] = [
    Start("msg-1", "m", 1_790_000_000, Usage(19)),
    PartStart(0, Text("")),
    *(TextDelta(0, f" word{i}") for i in range(CHUNKS)),
    PartEnd(0),
    Finish("stop"),
    UsageReport(Usage(19, CHUNKS)),
    End(),
]


class Pair(NamedTuple):
    upstream: Dialect
    caller: Dialect

    @property
    def name(self) -> str:
        return f"{self.upstream.name} to {self.caller.name}"


class Arriving:
    """Implements `ports.transport.Reply`: an answer whose chunks are all here."""

    status = 200
    headers: Mapping[bytes, bytes] = {}

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks
        self._at = 0

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        self._at += 1
        return self._chunks[self._at - 1]

    async def pour(self, sink: Sink, clock: str) -> bool:
        for chunk in self._chunks[self._at :]:
            sink.take(chunk)
        return True

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        return b"".join(self._chunks)

    def close(self) -> None:
        pass


class Mouth(Outlet):
    """A caller who takes all at once."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def say(self, data: bytes) -> bool:
        self.said.append(data)
        return True

    async def drained(self) -> None:
        pass


def streaming() -> list[Dialect]:
    """The dialects that stream, each in the frames of its own."""
    found: list[Dialect] = []
    for dialect in DIALECTS.values():
        try:
            dialect.stream_decoder()
        except BadRequest:
            continue
        found.append(dialect)
    return found


def pairs(dialects: list[Dialect]) -> list[Pair]:
    return [Pair(one, other) for one in dialects for other in dialects if one is not other]


def wire(dialect: Dialect) -> list[bytes]:
    """The stream of an upstream, chunk by chunk."""
    encoder = dialect.stream_encoder(REQUEST, Losses())
    return [said for event in EVENTS if (said := encoder.encode(event))]


def passed_through(dialect: Dialect, chunks: list[bytes]) -> RelayedStream:
    return PassthroughStream(Arriving(chunks), Clocks(), dialect, "req-1", hide_usage=False)


def translated(pair: Pair, chunks: list[bytes]) -> RelayedStream:
    encoder = pair.caller.stream_encoder(REQUEST, Losses())
    return TranslatedStream(Arriving(chunks), Clocks(), pair.upstream.stream_decoder(), encoder, None)


async def relayed(stream: RelayedStream) -> bytes:
    mouth = Mouth()
    await stream.open()
    await stream.relay(mouth)
    assert not stream.failed
    return b"".join(mouth.said)


def cpu_s(make: Callable[[], RelayedStream]) -> float:
    """CPU of one stream from its making to its end. Nothing in it ever waits, so it needs no event loop."""
    begun = time.process_time()
    course = relayed(make())
    try:
        course.send(None)
    except StopIteration:
        return time.process_time() - begun
    raise RuntimeError("The stream waited for something")


def measure(of: list[Pair], rounds: int) -> dict[str, float]:
    """For each pair: CPU in microseconds per chunk beyond what passing through costs."""
    chunks = {pair.upstream.name: wire(pair.upstream) for pair in of}
    makes: dict[str, Callable[[], RelayedStream]] = {}
    for pair in of:
        said = chunks[pair.upstream.name]
        makes[pair.upstream.name] = lambda pair=pair, said=said: passed_through(pair.upstream, said)
        makes[pair.name] = lambda pair=pair, said=said: translated(pair, said)
    least = dict.fromkeys(makes, float("inf"))
    gc.disable()
    try:
        for _ in range(rounds):
            for name, make in makes.items():
                least[name] = min(least[name], cpu_s(make))
            gc.collect()
    finally:
        gc.enable()
    return {pair.name: (least[pair.name] - least[pair.upstream.name]) * 1e6 / CHUNKS for pair in of}


def short(dialect: Dialect) -> str:
    return dialect.name.removeprefix("bedrock_")


def markdown(dialects: list[Dialect], figures: dict[str, float]) -> str:
    lines = [
        "| upstream | " + " | ".join(map(short, dialects)) + " |",
        "|---" * (len(dialects) + 1) + "|",
    ]
    for one in dialects:
        cells = [f"{figures[Pair(one, other).name]:.1f}" if one is not other else "" for other in dialects]
        lines.append(f"| {short(one)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table(dialects: list[Dialect], figures: dict[str, float]) -> Table:
    """One line an upstream's dialect: of the callers' dialects the cheapest, the mean and the dearest."""
    shown = Table(title=f"CPU per chunk, in microseconds more than passing it through (bound: {BOUND_US:g})")
    for column in ("upstream", "least", "mean", "most", "with", ""):
        shown.add_column(column, justify="left" if column in ("upstream", "with") else "right", no_wrap=True)
    for one in dialects:
        costs = {other.name: figures[Pair(one, other).name] for other in dialects if one is not other}
        dearest = max(costs, key=lambda name: costs[name])
        mean = sum(costs.values()) / len(costs)
        verdict = "[green]pass[/]" if costs[dearest] <= BOUND_US else "[red]FAIL[/]"
        least, most = f"{min(costs.values()):.1f}", f"{costs[dearest]:.1f}"
        shown.add_row(one.name, least, f"{mean:.1f}", most, dearest, verdict)
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="rounds of all pairs, in turn (default: 60)")
    parser.add_argument("--markdown", action="store_true", help="print every pair, as a table in Markdown")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a pair costs more than the bound")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    dialects = streaming()
    console = Console()
    with console.status("measuring ..."):
        figures = measure(pairs(dialects), chosen.rounds)
    if chosen.markdown:
        print(markdown(dialects, figures))
    else:
        console.print(table(dialects, figures))
    return 1 if chosen.check and max(figures.values()) > BOUND_US else 0


if __name__ == "__main__":
    sys.exit(main())
