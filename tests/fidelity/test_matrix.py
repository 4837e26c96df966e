"""Every dialect said in every other one, over the whole corpus: each fact is carried, reported as lost, or refused.

There is no fourth state. A new dialect joins by its line in the registry and its corpus.
"""

from __future__ import annotations

import pytest

from scripts import fidelity
from tests.fidelity import corpus, matrix
from tests.fidelity.corpus import NO_STREAMS, Kind
from tests.fidelity.facts import FEATURES
from wye.dialects.registry import DIALECTS

pytestmark = pytest.mark.xdist_group("fidelity")  # one process: a case is said in another dialect only once


@pytest.mark.parametrize("kind", matrix.KINDS)
@pytest.mark.parametrize("other", DIALECTS)
@pytest.mark.parametrize("one", DIALECTS)
def test_nothing_is_lost_silently(one: str, other: str, kind: Kind) -> None:
    silent = [
        (item.case, item.outcome.fact.at, item.outcome.fact.value)
        for item in matrix.told(one, other, kind)
        if item.outcome.state == "silent"
    ]
    assert silent == []


@pytest.mark.parametrize("kind", matrix.KINDS)
@pytest.mark.parametrize("one", DIALECTS)
def test_a_dialect_loses_nothing_to_itself(one: str, kind: Kind) -> None:
    lost = {case for case, outcome in matrix.told(one, one, kind) if outcome.state != "carried"}
    # Of two limits on the length of an answer the newer is sent.
    assert lost == ({"both_limits"} if (one, kind) == ("openai_chat", "requests") else set())


@pytest.mark.parametrize("kind", matrix.KINDS)
@pytest.mark.parametrize("one", DIALECTS)
def test_every_dialect_has_cases(one: str, kind: Kind) -> None:
    assert bool(corpus.own(one, kind)) == ((one, kind) not in {(name, "streams") for name in NO_STREAMS})


def test_the_page_is_what_these_tests_find() -> None:
    assert fidelity.TARGET.read_text() == fidelity.page(), "run `make fidelity`"


def test_every_feature_is_told_by_several_dialects() -> None:
    for feature in FEATURES:
        tellers = {
            one
            for one in DIALECTS
            for kind in matrix.KINDS
            if matrix.cell(one, "openai_chat", kind, feature) is not None
        }
        assert len(tellers) >= 2, feature
