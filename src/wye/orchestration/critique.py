"""Generate, criticise, revise: until a critic finds nothing, or the rounds are over."""

from __future__ import annotations

import re

from msgspec.structs import replace

from wye.kernel.errors import WyeError
from wye.orchestration import prompts
from wye.orchestration.handoff import Handoff, Section
from wye.orchestration.run import Facts, Failed, Run

_CLEAN = re.compile(r"\bNO ISSUES(?: WERE)? FOUND\b", re.IGNORECASE)
_ISSUE = re.compile(r"^[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]+\S", re.MULTILINE)
_FOUND = re.compile(r"(?<!NO )\bISSUES FOUND\b", re.IGNORECASE)


async def critique(run: Run) -> None:
    """The first model writes, the others criticise in turn. Once there is a draft, what fails or is beyond the bounds
    ends the rounds: the latest draft is the answer then, and says why."""
    writer, *critics = run.plan.models
    rounds = run.plan.bounds.max_rounds
    draft = await run.answer_as_asked("generate", writer)
    facts: Facts = {"rounds": 0, "final_score": 1.0}
    step, model = "", writer
    try:
        for done in range(rounds):
            step, model = "critique", critics[done % len(critics)]
            found = await run.hand_on(step, model, prompts.CRITIC, _to_critic(run, draft), kind="critic")
            issues = issues_in(found)
            facts = {"rounds": done + 1, "final_score": round(1 / (1 + issues), 3)}
            if not issues:
                break
            step, model = "revise", writer
            handoff = _to_writer(run, draft, found)
            if done + 1 == rounds:
                await run.hand_on(step, model, prompts.REVISER, handoff, last=facts)
                return
            draft = await run.hand_on(step, model, prompts.REVISER, handoff)
    except WyeError as error:
        if run.spoken:
            raise
        run.failed.append(Failed(model, step, error))
        await run.tell(draft, "length", {**facts, "partial": True, "reason": error.message})
        return
    await run.tell(draft, "stop", facts)


def issues_in(review: str) -> int:
    """How many issues a review names: each point of a list, or one where it only complains."""
    if _CLEAN.search(review) and not _FOUND.search(review):
        return 0
    return max(1, len(_ISSUE.findall(review)))


def _to_critic(run: Run, draft: str) -> Handoff:
    work = [Section("Answer to review", draft)]
    return replace(run.handoff, step="Review the answer.", work=work)


def _to_writer(run: Run, draft: str, found: str) -> Handoff:
    work = [Section("Your answer", draft), Section(prompts.ISSUES, found)]
    return replace(run.handoff, step="Write the improved answer.", work=work)
