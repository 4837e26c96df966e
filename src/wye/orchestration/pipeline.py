"""Stages one after another, each given what the one before it made: draft, refine, validate, expand."""

from __future__ import annotations

from msgspec.structs import replace

from wye.kernel.errors import WyeError
from wye.orchestration import prompts
from wye.orchestration.handoff import Section, notes_of
from wye.orchestration.run import Facts, Failed, Run

_INSTRUCTIONS = {"refine": prompts.REFINE, "validate": prompts.VALIDATE, "expand": prompts.EXPAND}


async def pipeline(run: Run) -> None:
    """A stage after the first that fails leaves the text of the one before it as the answer, which says so."""
    models = run.plan.models
    stages = stages_of(len(models))
    text = await run.answer_as_asked(stages[0], models[0])
    handoff = run.handoff
    for i in range(1, len(models)):
        stage, model, is_last = stages[i], models[i], i + 1 == len(models)
        step = f"Step {i + 1} of {len(models)}: {stage}."
        handoff = replace(handoff, step=step, work=[Section("Text in hand", text)])
        instructions = _INSTRUCTIONS[stage]
        try:
            if not is_last:
                said = await run.hand_on(stage, model, f"{instructions}\n{prompts.STAGE_NOTES}", handoff)
                refined, decisions, problems = notes_of(said)
                text = refined or text
                handoff = replace(handoff, decisions=[*handoff.decisions, *decisions], open_errors=problems)
                continue
            facts: Facts = {"completed_steps": len(models), "total_steps": len(models), "partial": False}
            await run.hand_on(stage, model, instructions, handoff, last=facts)
        except WyeError as error:
            if run.spoken:
                raise
            run.failed.append(Failed(model, stage, error))
            facts = {"completed_steps": i, "total_steps": len(models), "partial": True, "reason": error.message}
            await run.tell(text, "length", facts)
            return


def stages_of(count: int) -> list[str]:
    """What each of so many models does."""
    if count <= 4:
        return ["draft", "refine", "validate", "expand"][:count]
    return ["draft", *["refine"] * (count - 3), "validate", "expand"]
