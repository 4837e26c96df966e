"""From figures to lines that say whether a promise holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.relay.measure import Growth
from benchmarks.relay.scenarios import MEMORY, MEMORY_BOUND_MIB, Scenario


@dataclass(frozen=True)
class Line:
    scenario: str
    nginx_us: float | None
    wye_us: float | None
    value: float
    """The ratio to `against`; for memory the growth in MiB, from what is there after the warm-up."""
    against: str
    bound: float | None
    unit: str = "x"
    floor_us: float | None = None
    """Of a relay in Python that does nothing else."""

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept; None where nothing is promised."""
        return None if self.bound is None else self.value <= self.bound

    def cells(self) -> list[str]:
        verdict = {True: "[green]pass[/]", False: "[red]FAIL[/]", None: ""}[self.holds]
        return [
            self.scenario,
            "" if self.nginx_us is None else f"{self.nginx_us:,.1f}",
            "" if self.floor_us is None else f"{self.floor_us:,.1f}",
            "" if self.wye_us is None else f"{self.wye_us:,.1f}",
            f"{self.value:.2f}{self.unit}",
            self.against,
            "" if self.bound is None else f"{self.bound:g}{self.unit}",
            verdict,
        ]


def report(scenarios: Sequence[Scenario], figures: Mapping[str, Mapping[str, float]]) -> list[Line]:
    """One line a scenario. `figures`: scenario to gateway to CPU microseconds per request."""
    lines: list[Line] = []
    for scenario in scenarios:
        measured = figures[scenario.name]
        by_nginx = scenario.against == "nginx"
        base = measured["nginx"] if by_nginx else figures[scenario.against]["wye"]
        lines.append(
            Line(
                scenario.name,
                measured.get("nginx"),
                measured["wye"],
                # Runs too short for /proc's clock can show no CPU at all.
                measured["wye"] / base if base else float("inf"),
                "nginx" if by_nginx else f"wye {scenario.against}",
                scenario.bound,
                floor_us=measured.get("floor"),
            )
        )
    return lines


def memory_line(growth: Growth) -> Line:
    grown = growth.after_mib - growth.before_mib
    against = f"{growth.before_mib:.1f} MiB"
    return Line(MEMORY, None, None, grown, against, MEMORY_BOUND_MIB, " MiB")
