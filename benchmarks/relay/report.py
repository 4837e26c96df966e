"""From figures to lines that say whether a promise holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.relay.measure import Growth, Round
from benchmarks.relay.scenarios import MEMORY, MEMORY_BOUND_MIB, Scenario


@dataclass(frozen=True)
class Line:
    scenario: str
    nginx_us: float | None
    wye_us: float | None
    value: float
    """The median of the rounds' ratios to `against`; for memory the growth in MiB, from what is there after the
    warm-up."""
    against: str
    bound: float | None
    unit: str = "x"
    floor_us: float | None = None
    """Of a relay in Python that does nothing else."""
    spread: tuple[float, float] | None = None
    """Between these was the ratio in the middle half of the rounds."""

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept; None where nothing is promised."""
        return None if self.bound is None else self.value <= self.bound

    def cells(self) -> list[str]:
        verdict = {True: "[green]pass[/]", False: "[red]FAIL[/]", None: ""}[self.holds]
        return [
            self.scenario,
            *map(_figure, (self.nginx_us, self.floor_us, self.wye_us)),
            f"{self.value:.2f}{self.unit}",
            "" if self.spread is None else "{:.2f}-{:.2f}".format(*self.spread),
            self.against,
            "" if self.bound is None else f"{self.bound:g}{self.unit}",
            verdict,
        ]


def _figure(us: float | None) -> str:
    if us is None:
        return ""
    return f"{us:,.0f}" if us >= 1000 else f"{us:.1f}"


def report(scenarios: Sequence[Scenario], rounds: Sequence[Round]) -> list[Line]:
    """One line a scenario. A ratio is taken within each round: a busy neighbour then hits both of its sides."""
    lines: list[Line] = []
    for scenario in scenarios:
        wye = [figures[scenario.name, "wye"] for figures in rounds]
        base = (scenario.name, "nginx") if scenario.against == "nginx" else (scenario.against, "wye")
        ratios = [figures[scenario.name, "wye"] / figures[base] for figures in rounds]
        low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        others = {
            name: median(figures[scenario.name, name] for figures in rounds)
            for name in ("nginx", "floor")
            if (scenario.name, name) in rounds[0]
        }
        lines.append(
            Line(
                scenario.name,
                others.get("nginx"),
                median(wye),
                median(ratios),
                scenario.against,
                scenario.bound,
                floor_us=others.get("floor"),
                spread=(low, high),
            )
        )
    return lines


def memory_line(growth: Growth) -> Line:
    grown = growth.after_mib - growth.before_mib
    against = f"{growth.before_mib:.1f} MiB"
    return Line(MEMORY, None, None, grown, against, MEMORY_BOUND_MIB, " MiB")
