"""Answers in parallel, and one model that weighs them."""

from __future__ import annotations

from wye.orchestration import prompts
from wye.orchestration.agreement import mean_agreement
from wye.orchestration.join import join
from wye.orchestration.run import Run


async def debate(run: Run) -> None:
    """`confidence` is the agreement of those who answered, times their share of those who were asked."""
    answers = await run.together("answer", run.plan.models)
    agreement = mean_agreement([text for _, text in answers])
    facts = {
        "agreement_score": round(agreement, 3),
        "confidence": round(agreement * len(answers) / len(run.plan.models), 3),
    }
    await join(run, answers, "reconcile", prompts.RECONCILER, prompts.ANSWER, facts)
