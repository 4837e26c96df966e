"""The figures themselves: gateways take turns at the same load, and the kernel says what each has used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.relay.load import Load
from benchmarks.relay.processes import cpu_s, rss_bytes, run_load
from benchmarks.relay.scenarios import MEMORY_REQUESTS, MEMORY_WARM_UP, Scenario
from benchmarks.relay.wye_gateway import PASSED_THROUGH

_MIB = 1 << 20


def measure(
    scenario: Scenario, gateways: Mapping[str, tuple[int, int]], rounds: int, requests: int | None = None
) -> dict[str, float]:
    """CPU microseconds per request of each gateway (name to its port and process id): the median of the rounds.

    Raises RunFailed when an answer was wrong.
    """
    count = requests or scenario.requests
    for port, _ in gateways.values():
        run_load(_load(scenario, port, max(1, count // 10)))
    rounds_us: dict[str, list[float]] = {name: [] for name in gateways}
    for _ in range(rounds):
        for name, (port, pid) in gateways.items():
            before_s = cpu_s(pid)
            run_load(_load(scenario, port, count))
            rounds_us[name].append((cpu_s(pid) - before_s) / count * 1e6)
    return {name: median(each) for name, each in rounds_us.items()}


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
