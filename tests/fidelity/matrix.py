"""The matrix: dialect in x dialect out x {request, answer, stream} x feature; each cell from all cases that tell it."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

from tests.fidelity import corpus, translation, turns
from tests.fidelity.corpus import Kind
from tests.fidelity.translation import Outcome
from wye.dialects.registry import DIALECTS

KINDS: tuple[Kind, ...] = ("requests", "responses", "streams")
Verdict = Literal["carried", "partly", "lost", "refused", "silent"]


class Told(NamedTuple):
    case: str
    outcome: Outcome


@cache
def told(one: str, other: str, kind: Kind) -> list[Told]:
    """What became of every fact of a dialect's cases in another dialect."""
    say = {"requests": translation.request, "responses": translation.answer, "streams": translation.stream}[kind]
    return [
        Told(case.name, outcome)
        for case in corpus.cases(one, kind)
        for outcome in say(DIALECTS[one], DIALECTS[other], case.wire)
    ]


def cell(one: str, other: str, kind: Kind, feature: str) -> Verdict | None:
    """None where the first dialect has no words for the feature."""
    return verdict(told(one, other, kind), feature)


@cache
def come_back(upstream: str, client: str) -> list[Told]:
    """What becomes of thoughts and calls that an upstream's answers tell a client, when its next turn brings them."""
    return [
        Told(case.name, outcome)
        for kind in KINDS[1:]
        for case in corpus.cases(upstream, kind)
        for outcome in turns.come_back(DIALECTS[upstream], DIALECTS[client], kind, case.wire)
    ]


def verdict(found: list[Told], feature: str) -> Verdict | None:
    states = {item.outcome.state for item in found if item.outcome.fact.feature == feature}
    if "silent" in states:
        return "silent"
    if "carried" in states:
        return "carried" if len(states) == 1 else "partly"
    return None if not states else "refused" if states == {"refused"} else "lost"
