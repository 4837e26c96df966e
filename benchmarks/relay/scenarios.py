"""What is measured, how much of it, and what the project promises about it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.relay.wye_gateway import PASSED_THROUGH, TRANSLATED


@dataclass(frozen=True)
class Scenario:
    name: str
    requests: int
    """Of a turn, which is short: a neighbour that is busy for a while is so for all gateways."""
    connections: int
    bound: float | None
    """Promised at most, as a multiple of `against`."""
    against: str
    """`nginx`: its figure for the same scenario; else the name of another scenario, and Wye's figure for it."""
    model: str = PASSED_THROUGH
    stream: bool = False
    large: bool = False

    @property
    def by_nginx(self) -> bool:
        """nginx cannot translate."""
        return self.model == PASSED_THROUGH


SCENARIOS = [
    Scenario("small", 6_000, 16, 4.0, "nginx"),
    Scenario("stream", 60, 8, 1.8, "nginx", stream=True),
    Scenario("prompt64k", 2_400, 16, 5.0, "nginx", large=True),
    Scenario("translated", 3_000, 16, None, "small", model=TRANSLATED),
    Scenario("translated-stream", 60, 8, 1.3, "stream", model=TRANSLATED, stream=True),
]

MEMORY = "memory"
MEMORY_REQUESTS = 100_000
MEMORY_WARM_UP = 10_000
MEMORY_BOUND_MIB = 5.0
"""Growth over MEMORY_REQUESTS that still counts as flat: what the allocator keeps of a burst."""

NAMES = [*(scenario.name for scenario in SCENARIOS), MEMORY]
