"""Answers in parallel, and one model that joins them, told how far they agree."""

from __future__ import annotations

import msgspec

from wye.orchestration import prompts
from wye.orchestration.agreement import disagreements, mean_agreement
from wye.orchestration.join import join
from wye.orchestration.run import Run


async def ensemble(run: Run) -> None:
    answers = await run.together("answer", run.plan.models)
    agreement = mean_agreement([text for _, text in answers])
    apart = disagreements(answers)
    facts = {"agreement_score": round(agreement, 3), "disagreements": msgspec.to_builtins(apart)}
    number = {model: i + 1 for i, (model, _) in enumerate(answers)}
    consensus = [prompts.CONSENSUS.format(agreement=agreement)] if len(answers) > 1 else []
    for each in apart:
        first, second = (number[model] for model in each.models)
        consensus.append(prompts.APART.format(first=first, second=second))
    step = " ".join([*consensus, prompts.ANSWER])
    await join(run, answers, "synthesize", prompts.SYNTHESIZER, step, facts)
