"""Conditions on attributes."""

from __future__ import annotations

from typing import Any

import pytest

from wye.kernel.errors import BadRequest
from wye.knowledge.filters import decode_filter

HELD = {"region": "eu", "year": 2025.0, "draft": False}


def one(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        (one("eq", "region", "eu"), True),
        (one("eq", "region", "us"), False),
        (one("ne", "region", "us"), True),
        (one("ne", "nothing", "us"), True),
        (one("eq", "nothing", "us"), False),
        (one("eq", "year", 2025), True),
        (one("gt", "year", 2024), True),
        (one("gt", "year", 2025), False),
        (one("gte", "year", 2025), True),
        (one("lt", "year", 2025), False),
        (one("lt", "year", 2025.5), True),
        (one("lte", "year", 2025), True),
        (one("lt", "region", "fr"), True),
        (one("gt", "region", 1), False),
        (one("lt", "nothing", 1), False),
        (one("eq", "draft", False), True),
        (one("eq", "draft", 0), False),
        (one("gte", "draft", 0), False),
        (one("in", "region", ["us", "eu"]), True),
        (one("in", "region", []), False),
        (one("in", "year", ["2025", 2025]), True),
        (one("in", "draft", [0, "False"]), False),
        (one("in", "draft", [0, False]), True),
        (one("nin", "region", ["us"]), True),
        (one("nin", "region", ["eu"]), False),
        (one("nin", "nothing", ["eu"]), True),
        ({"type": "and", "filters": [one("eq", "region", "eu"), one("gt", "year", 2030)]}, False),
        ({"type": "or", "filters": [one("eq", "region", "eu"), one("gt", "year", 2030)]}, True),
        ({"type": "and", "filters": [{"type": "or", "filters": [one("ne", "year", 1)]}]}, True),
    ],
)
def test_a_filter_fits_or_not(asked: dict[str, Any], fits: bool) -> None:
    assert decode_filter(asked, "filters").fits(HELD) is fits


class Compared(str):
    """A text that counts with how many others it is compared."""

    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        self.times += 1
        return str.__eq__(self, other)


def test_what_a_file_holds_is_not_compared_with_each_of_many_values() -> None:
    wanted = decode_filter(one("in", "key", [str(i) for i in range(1000)]), "filters")
    for held, fits in ((Compared("999"), True), (Compared("none"), False)):
        assert wanted.fits({"key": held}) is fits
        assert held.times < 10


def nested(depth: int) -> dict[str, Any]:
    found = one("eq", "a", 1)
    for _ in range(depth - 1):
        found = {"type": "and", "filters": [found]}
    return found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (1, "filters must be an object"),
        ({}, "filters.type is required"),
        ({"type": "eq", "value": 1}, "filters.key is required"),
        (one("like", "a", "b"), "filters.type must be one of eq, ne, gt, gte, lt, lte, in, nin, and, or"),
        (one("eq", "a", [1]), "filters.value must be a string, number or boolean"),
        (one("eq", "a", None), "filters.value must be"),
        (one("in", "a", "b"), "filters.value must be an array"),
        (one("in", "a", [{}]), "filters.value must be an array"),
        (one("in", "a", ["b"] * 1001), "at most 1000"),
        ({"type": "and", "filters": []}, "filters.filters must be an array of filters"),
        ({"type": "or"}, "filters.filters must be an array of filters"),
        ({"type": "or", "filters": [one("eq", "a", 1), one("eq", "a", {})]}, "filters.filters[1].value"),
        ({"type": "and", "filters": [one("eq", "a", 1)] * 100}, "at most 100 conditions"),
        (nested(9), "more than 8 levels"),
        (nested(400), "more than 8 levels"),
    ],
)
def test_what_is_no_filter_is_refused(asked: Any, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_filter(asked, "filters")
    assert said in refused.value.message


def test_the_deepest_filter_is_taken() -> None:
    assert decode_filter(nested(8), "filters").fits({"a": 1})
