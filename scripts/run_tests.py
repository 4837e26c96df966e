"""All tests, with the coverage that this project promises: floors 0 to 2 whole, everything at least 90 %.

With arguments it only passes them to pytest: `make test ARGS="-k stream"`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FLOORS = ("kernel", "canon", "dialects", "catalog")
ROOT = Path(__file__).parent.parent


def run(*command: str) -> int:
    # Set where nothing is to be left behind, it has every process that a test starts compile all of Wye anew.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    if arguments := sys.argv[1:]:
        return run("pytest", *arguments)
    parallel = ("-n", "4", "--durations=15")
    measured = ("--dist", "worksteal", "--cov", "--cov-report=")
    status = run("pytest", "-m", "not requires_model and not sweep", *parallel, *measured)
    # These lines are covered by other tests: measured, the same would take several times as long.
    print("\nThe sweeps: very many inputs, and what is carried between dialects:", flush=True)
    swept = run("pytest", "-m", "sweep", *parallel, "--dist", "loadgroup")
    # A real model wants the cores for itself: one more busy process, and its threads wait for each other.
    print("\nThe tests with real models, one after another:", flush=True)
    models = run("pytest", "-m", "requires_model", "--cov", "--cov-append", "--cov-report=", "--durations=10")
    floors = ",".join(f"src/wye/{floor}/*" for floor in FLOORS)
    print("\nFloors 0 to 2 must be covered whole:", flush=True)
    low = run("coverage", "report", "--skip-covered", "--show-missing", f"--include={floors}", "--fail-under=100")
    print("\nEverything must be covered to 90 % or more:", flush=True)
    lower = run("coverage", "report", "--skip-covered", "--fail-under=90")
    return status or swept or models or low or lower


if __name__ == "__main__":
    sys.exit(main())
