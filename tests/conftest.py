"""What every test may use. Nothing here starts anything before a test asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded provider answers, where a checkout has it beside it."""
    folder = SHARED / "recordings"
    if not (folder / "index.json").is_file():
        pytest.skip("no recordings beside this checkout (../shared/recordings)")
    return folder


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of captured client requests, where a checkout has it beside it."""
    folder = SHARED / "captures"
    if not folder.is_dir():
        pytest.skip("no captures beside this checkout (../shared/captures)")
    return folder
