"""All tests, with the coverage that this project promises: floors 0 to 2 whole, everything at least 90 %.

With arguments it only passes them to pytest: `make test ARGS="-k stream"`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

FLOORS = ("kernel", "canon", "dialects", "catalog")
SERVED = ("tests/contract", "tests/flow", "tests/integration")
"""Tests that mostly wait: for servers, databases and processes of their own."""
QUICK = "not requires_model and not sweep"
DATA = (".coverage-served", ".coverage-computed", ".coverage-models")
"""What was covered, by the run that saw it."""
GIVING_WAY = ("nice", "-n", "5")
ROOT = Path(__file__).parent.parent

Done = subprocess.CompletedProcess[bytes]


def run(*command: str, data: str = ".coverage", aside: bool = False) -> Done:
    """With `aside` it gives way to what runs beside it, and what it says is kept, to be told later."""
    # Set where nothing is to be left behind, it has every process that a test starts compile all of Wye anew.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [*(GIVING_WAY if aside else ()), sys.executable, "-m", *command],
        cwd=ROOT,
        env={**environment, "COVERAGE_FILE": str(ROOT / data)},
        check=False,
        stdout=subprocess.PIPE if aside else None,
        stderr=subprocess.STDOUT if aside else None,
    )


def tell(headline: str, kept: Future[Done] | None = None) -> None:
    print(f"\n{headline}:", flush=True)
    if kept is not None:
        sys.stdout.buffer.write(kept.result().stdout)
        sys.stdout.flush()


def main() -> int:
    if arguments := sys.argv[1:]:
        return run("pytest", *arguments).returncode
    served, computed, models = DATA
    measured = ("--cov", "--cov-report=", "--durations=10")
    elsewhere = [f"--ignore={folder}" for folder in SERVED]
    tell("Servers, flows and drivers; beside them what only computes, which is told afterwards")
    with ThreadPoolExecutor() as beside:
        # In one process each, which take the cores while those wait, and have time: some of those measure it.
        patient = ("pytest", "--timeout=300", "-m")
        pure = beside.submit(run, *patient, QUICK, *elsewhere, *measured, data=computed, aside=True)
        # These lines are covered by other tests: measured, the same would take several times as long.
        sweeps = beside.submit(run, *patient, "sweep", "--durations=10", aside=True)
        parallel = ("-n", "4", "--dist", "worksteal")
        status = run("pytest", "-m", QUICK, *SERVED, *parallel, *measured, data=served).returncode
    tell("What only computes", pure)
    tell("The sweeps: very many inputs, and what is carried between dialects", sweeps)
    # A real model wants the cores for itself: one more busy process, and its threads wait for each other.
    tell("The tests with real models, one after another")
    local = run("pytest", "-m", "requires_model", *measured, data=models).returncode
    run("coverage", "combine", "--quiet", *DATA)
    floors = ",".join(f"src/wye/{floor}/*" for floor in FLOORS)
    tell("Floors 0 to 2 must be covered whole")
    low = run("coverage", "report", "--skip-covered", "--show-missing", f"--include={floors}", "--fail-under=100")
    tell("Everything must be covered to 90 % or more")
    lower = run("coverage", "report", "--skip-covered", "--fail-under=90")
    asides = pure.result().returncode or sweeps.result().returncode
    return status or asides or local or low.returncode or lower.returncode


if __name__ == "__main__":
    sys.exit(main())
