"""A leaky bucket: what goes in, what is left, and when there is room again."""

import pytest

from wye.kernel.bucket import Bucket

MINUTE_S = 60.0


@pytest.mark.parametrize(
    ("taken", "amount", "left"),
    [
        ([], 1, 9),
        ([], 10, 0),
        ([], 25, 0),
        ([4, 5], 1, 0),
        ([4, 5], 2, -1),
        ([25], 0, -1),
        ([1], 0, 9),
    ],
    ids=["one", "all", "more than all", "the last", "too much", "overdrawn", "nothing"],
)
def test_taking(taken: list[int], amount: int, left: int) -> None:
    bucket = Bucket(10, MINUTE_S, 0.0)
    for earlier in taken:
        bucket.take(earlier, 0.0)
    assert bucket.take(amount, 0.0) == left


def test_what_was_taken_comes_back_evenly() -> None:
    bucket = Bucket(10, MINUTE_S, 100.0, level=10)
    assert [bucket.take(1, 100.0 + after_s) for after_s in (5.0, 6.5, 7.0, 30.0)] == [-1, 0, -1, 3]
    assert not bucket.is_empty(50.0)
    assert bucket.is_empty(200.0)
    assert bucket.take(1, 1000.0) == 9


@pytest.mark.parametrize(("amount", "wait_s"), [(1, 6.0), (5, 30.0), (10, 60.0), (1000, 60.0)])
def test_how_long_to_wait(amount: int, wait_s: float) -> None:
    bucket = Bucket(10, MINUTE_S, 0.0)
    bucket.take(10, 0.0)
    assert bucket.take(amount, 0.0) == -1
    assert bucket.wait_s(amount) == pytest.approx(wait_s)
    assert bucket.take(amount, wait_s + 0.001) >= 0


def test_a_correction_is_never_refused() -> None:
    bucket = Bucket(10, MINUTE_S, 0.0)
    bucket.take(5, 0.0)
    bucket.correct(-2, 6.0)
    assert bucket.take(1, 6.0) == 7
    bucket.correct(50, 6.0)
    assert bucket.take(1, 6.0) == -1
    bucket.correct(-100, 6.0)
    assert bucket.take(1, 6.0) == 9


def test_of_no_capacity_nothing_is_taken() -> None:
    bucket = Bucket(0, MINUTE_S, 0.0)
    assert [bucket.take(amount, after_s) for amount, after_s in ((1, 0.0), (0, 0.0), (1, 1000.0))] == [-1, 0, -1]
    assert bucket.wait_s(1) == 0.0
