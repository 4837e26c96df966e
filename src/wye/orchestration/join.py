"""Several answers become one: how debate and ensemble end."""

from __future__ import annotations

from msgspec.structs import replace

from wye.kernel.errors import WyeError
from wye.orchestration import prompts
from wye.orchestration.agreement import most_agreed
from wye.orchestration.handoff import Section
from wye.orchestration.run import Facts, Failed, Run


async def join(run: Run, answers: list[tuple[str, str]], name: str, instructions: str, step: str, facts: Facts) -> None:
    """Let the first model that answered make one answer of all. A single answer needs nobody; where the joining fails,
    the answer that agrees most with the others stands, and says why."""
    if len(answers) == 1:
        await run.tell(answers[0][1], "stop", {**facts, "agreement_score": None})
        return
    model = answers[0][0]
    work = [Section(prompts.NOTES_OF.format(number=i), text) for i, (_, text) in enumerate(answers, 1)]
    handoff = replace(run.handoff, step=step, work=work)
    try:
        await run.hand_on(name, model, instructions, handoff, last=facts)
    except WyeError as error:
        if run.spoken:
            raise
        run.failed.append(Failed(model, name, error))
        best = answers[most_agreed([text for _, text in answers])][1]
        await run.tell(best, "length", {**facts, "partial": True, "reason": error.message})
