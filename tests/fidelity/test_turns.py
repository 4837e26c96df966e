"""Thoughts and calls over two turns, between every two dialects that have thoughts."""

from __future__ import annotations

import pytest

from tests.fidelity import matrix
from tests.fidelity.turns import REPLAY

pytestmark = pytest.mark.xdist_group("fidelity")  # one process: what a case comes to is known to the page as well
TAKES_NO_CALLS = "bedrock_ai21"


@pytest.mark.parametrize("client", REPLAY)
@pytest.mark.parametrize("upstream", REPLAY)
def test_what_a_model_thought_and_called_comes_back_to_it(upstream: str, client: str) -> None:
    outcomes = [told.outcome for told in matrix.come_back(upstream, client)]
    sealed = {outcome.state for outcome in outcomes if outcome.fact.member in ("signature", "redacted")}
    assert sealed == ({"carried", "refused"} if upstream == TAKES_NO_CALLS else {"carried"})
    # Of calls only those that a provider ran may be lost, by name.
    lost = {outcome.reason for outcome in outcomes if outcome.state != "carried" and outcome.fact.member == "arguments"}
    assert all("provider r" in reason or upstream == TAKES_NO_CALLS for reason in lost)
    assert not any(outcome.state == "silent" for outcome in outcomes)
