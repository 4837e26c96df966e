"""Nothing of orchestration is imported before a request asks for it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from wye.wiring import create_app

def loaded():
    return sorted(m for m in sys.modules if m.startswith("wye.orchestration."))

panel = {"orchestration": {"mode": "debate", "models": ["gpt-4o", "claude-3-5-haiku-latest"]}}
app = create_app({"local": {"enabled": False}, "routes": {"panel": panel}})
router = app.pipeline.router
router.route("gpt-4o"), router.route("panel"), router.names()
print(loaded())
router.route("critique:gpt-4o+panel")
print("wye.orchestration.panel" in loaded(), "rich" in sys.modules)
"""


def test_known_names_import_nothing_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['wye.orchestration.late']", "True False"]
