from __future__ import annotations

from wye.canon.usage import Usage, total_of


def test_figures_of_several_answers_add_up_as_far_as_they_are_known() -> None:
    assert total_of([Usage(1, 2, None, 3, None, {"x": {"a": 1}}), None, Usage(4, None, 5)]) == Usage(5, 2, 5, 3)
    assert total_of([Usage()]) == Usage()


def test_without_figures_there_is_no_total() -> None:
    assert total_of([]) is None
    assert total_of([None, None]) is None
