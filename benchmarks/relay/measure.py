"""The figures themselves: gateways take short turns at the same load, and the kernel says what each has used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.relay.load import Load
from benchmarks.relay.processes import cpu_s, rss_bytes, run_load
from benchmarks.relay.scenarios import MEMORY_REQUESTS, MEMORY_WARM_UP, Scenario
from benchmarks.relay.wye_gateway import PASSED_THROUGH

_MIB = 1 << 20


Round = Mapping[tuple[str, str], float]
"""CPU microseconds per request, by the scenario's name and the gateway's."""


def measure(
    scenarios: Sequence[Scenario], gateways: Mapping[str, tuple[int, int]], rounds: int, requests: int | None = None
) -> list[Round]:
    """In each round all gateways (name to its port and process id) take a turn at each scenario.

    Raises RunFailed when an answer was wrong.
    """
    turns = [(scenario, name) for scenario in scenarios for name in gateways if scenario.by_nginx or name == "wye"]
    for scenario, name in turns:
        run_load(_load(scenario, gateways[name][0], requests or scenario.requests))
    measured: list[Round] = []
    for number in range(rounds):
        # There and back: what gets slower within a round hits none of them more often than another.
        figures: dict[tuple[str, str], float] = {}
        for scenario, name in turns if number % 2 == 0 else reversed(turns):
            port, pid = gateways[name]
            count = requests or scenario.requests
            before_s = cpu_s(pid)
            run_load(_load(scenario, port, count))
            figures[scenario.name, name] = (cpu_s(pid) - before_s) / count * 1e6
        measured.append(figures)
    return measured


def _load(scenario: Scenario, port: int, requests: int) -> Load:
    connections = min(scenario.connections, requests)
    return Load(port, scenario.model, requests, connections, scenario.stream, scenario.large)


@dataclass(frozen=True)
class Growth:
    """Resident memory in MiB after a warm-up, and after so many more requests."""

    requests: int
    before_mib: float
    after_mib: float


def memory(port: int, pid: int, requests: int | None = None) -> Growth:
    """What small calls leave behind in the memory of a gateway. Raises RunFailed when an answer was wrong."""
    count = requests or MEMORY_REQUESTS
    run_load(Load(port, PASSED_THROUGH, MEMORY_WARM_UP, 16))
    before = rss_bytes(pid)
    run_load(Load(port, PASSED_THROUGH, count, min(16, count)))
    return Growth(count, before / _MIB, rss_bytes(pid) / _MIB)
