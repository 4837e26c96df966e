"""The lines that `wye chat` shows while several models work."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from wye.cli.steps import Steps


def shown(*told: tuple[str, str, str, str], answered: bool = True, terminal: bool = True) -> list[str]:
    """The lines that stay, of (step, model, state, error)."""
    out = StringIO()
    steps = Steps(Console(file=out, force_terminal=terminal, width=100, color_system=None))
    for step, model, state, error in told:
        steps.tell({"step": step, "model": model, "state": state, **({"error": error} if error else {})})
    if answered:
        steps.answered()
    steps.end()
    *_, last = re.split(r"\x1b\[\d*A", out.getvalue())  # each time it is drawn begins above the last
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).replace("\r", "\n").split("\n")
    return [line.strip() for line in lines if line.strip()]


def test_each_step_is_a_line_until_it_is_done() -> None:
    assert shown(
        ("answer", "a[b]", "started", ""),
        ("answer", "c", "started", ""),
        ("answer", "c", "failed", "the model is [away]"),
        ("answer", "a[b]", "done", ""),
        ("reconcile", "a[b]", "started", ""),
    ) == [
        "✓ answer     a[b] 0:00:00",
        "✗ answer     c    0:00:00 the model is [away]",
        "✓ reconcile  a[b] 0:00:00",
    ]


def test_a_step_that_never_ended_is_not_done() -> None:
    line = shown(("answer", "a", "started", ""), answered=False)[-1]
    assert line.endswith("answer     a 0:00:00")
    assert line[0] not in "✓✗"


@pytest.mark.parametrize("state", ["waiting", "done", "failed"])
def test_what_has_not_started_is_not_shown(state: str) -> None:
    assert shown(("answer", "a", state, "")) == []


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    assert shown(("answer", "a", "started", ""), terminal=False) == []
