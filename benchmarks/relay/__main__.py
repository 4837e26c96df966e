"""`python -m benchmarks.relay`: measure, print the table, and say which promises hold."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.relay.floor import floor
from benchmarks.relay.measure import Growth, measure, memory
from benchmarks.relay.nginx import nginx
from benchmarks.relay.processes import RunFailed, mock_upstream
from benchmarks.relay.report import Line, memory_line, report
from benchmarks.relay.scenarios import MEMORY, NAMES, SCENARIOS
from benchmarks.relay.wye_gateway import wye


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--requests", type=int, metavar="N", help="requests a turn, instead of each scenario's own")
    parser.add_argument("--rounds", type=int, default=15, help="in each, every gateway has a turn (default: 15)")
    parser.add_argument("--only", metavar="NAME,NAME", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is broken")
    chosen = parser.parse_args()
    chosen.only = chosen.only.split(",") if chosen.only else NAMES
    if unknown := set(chosen.only) - set(NAMES):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))} (there are {', '.join(NAMES)})")
    if chosen.rounds < 1 or (chosen.requests is not None and chosen.requests < 1):
        parser.error("--rounds and --requests must be at least 1")
    return chosen


def run(chosen: argparse.Namespace, console: Console) -> list[Line]:
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in chosen.only]
    # One that is judged against another takes turns with it.
    judges = {scenario.name if scenario.by_nginx else scenario.against for scenario in scenarios}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-benchmark-")))
        upstream = stack.enter_context(mock_upstream())
        gateways = {
            "nginx": stack.enter_context(nginx(upstream, folder)),
            "floor": stack.enter_context(floor(upstream, folder)),
            "wye": stack.enter_context(wye(upstream, folder)),
        }
        lines: list[Line] = []
        for judge in [scenario for scenario in SCENARIOS if scenario.name in judges]:
            together = [judge, *(scenario for scenario in scenarios if scenario.against == judge.name)]
            with console.status(f"{', '.join(scenario.name for scenario in together)} ..."):
                lines += report(together, measure(together, gateways, chosen.rounds, chosen.requests))
        if MEMORY in chosen.only:
            with console.status("memory ..."):
                growth: Growth = memory(*gateways["wye"], chosen.requests)
            lines.append(memory_line(growth))
    return lines


def main() -> int:
    chosen = options()
    console = Console()
    try:
        lines = run(chosen, console)
    except RunFailed as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        return 2
    # Close together: it is to fit a terminal of 80 columns.
    table = Table(title="CPU of the gateway, microseconds per request", box=SIMPLE, padding=0)
    for column in ("scenario", "nginx", "floor", "wye", "ratio", "spread", "of", "bound", ""):
        table.add_column(column, justify="left" if column in ("scenario", "of") else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line.cells())
    console.print(table)
    if chosen.json:
        machine = {"python": platform.python_version(), "machine": platform.platform()}
        chosen.json.write_text(json.dumps({**machine, "lines": [asdict(line) for line in lines]}, indent=2) + "\n")
    return 1 if chosen.check and any(line.holds is False for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
