"""One model: the one that was asked for, or the one whose role fits the task."""

from __future__ import annotations

from wye.orchestration.run import Run


async def single(run: Run) -> None:
    [model] = run.plan.models
    await run.answer_as_asked("answer", model, last={})
