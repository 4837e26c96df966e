"""The matrix bites: a member that a codec would forget to say or to read turns a cell red, for every member of every
dialect that has no reason to be redundant. Whether those are, `make fidelity ARGS=--mutate` looks at in full."""

from __future__ import annotations

import pytest

from tests.fidelity import matrix
from tests.fidelity.corpus import NO_STREAMS, Kind
from tests.fidelity.mutations import is_missed, members, name_of
from tests.fidelity.redundant import row_of
from wye.dialects.registry import DIALECTS

pytestmark = pytest.mark.xdist_group("fidelity_mutations")  # one process: what is said in one is said once
CASES = [(dialect, kind) for dialect in DIALECTS for kind in matrix.KINDS]


@pytest.mark.parametrize(("dialect", "kind"), CASES)
def test_a_member_that_is_forgotten_turns_a_cell_red(dialect: str, kind: Kind) -> None:
    needed = [path for path in members(dialect, kind) if row_of(f"{dialect} {kind} {name_of(path)}") is None]
    assert bool(needed) == (kind != "streams" or dialect not in NO_STREAMS)
    assert [name_of(path) for path in needed if not is_missed(dialect, kind, path)] == []
