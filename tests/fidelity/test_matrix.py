"""Every dialect said in every other one, over the whole corpus: each fact is carried, reported as lost, or refused.

There is no fourth state. A new dialect joins by its line in the registry and its corpus.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.fidelity import corpus, translation
from tests.fidelity.translation import Outcome
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS

PAIRS = [
    pytest.param(one, other, id=f"{one.name} to {other.name}")
    for one in DIALECTS.values()
    for other in DIALECTS.values()
]


def silent(outcomes: list[Outcome]) -> list[Any]:
    return [(outcome.fact.at, outcome.fact.value) for outcome in outcomes if outcome.state == "silent"]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_nothing_of_a_request_is_lost_silently(one: Dialect, other: Dialect) -> None:
    cases = corpus.paths(one, "requests")
    assert cases
    found = {path.stem: silent(translation.request(one, other, corpus.body(path))) for path in cases}
    assert {case: facts for case, facts in found.items() if facts} == {}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_nothing_of_an_answer_is_lost_silently(one: Dialect, other: Dialect) -> None:
    cases = corpus.paths(one, "responses")
    assert cases
    found = {path.stem: silent(translation.answer(one, other, corpus.body(path))) for path in cases}
    assert {case: facts for case, facts in found.items() if facts} == {}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_nothing_of_a_stream_is_lost_silently(one: Dialect, other: Dialect) -> None:
    found = {
        path.stem: silent(translation.stream(one, other, corpus.stream(path))) for path in corpus.paths(one, "streams")
    }
    assert {case: facts for case, facts in found.items() if facts} == {}
