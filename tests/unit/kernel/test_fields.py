from collections.abc import Callable
from typing import Any

import pytest

from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields

VALUE = {
    "s": "text",
    "b": True,
    "i": 3,
    "whole": 4.0,
    "f": 2.5,
    "l": [1],
    "d": {"x": 1},
    "ss": ["a", "b"],
    "objects": [{"n": 1}, {"n": 2}],
    "null": None,
}


def test_each_member_is_taken_once_with_its_type_and_the_rest_is_left() -> None:
    fields = Fields(VALUE)
    assert fields.has("s")
    assert (fields.str("s"), fields.bool("b"), fields.int("i"), fields.int("whole")) == ("text", True, 3, 4)
    assert (fields.number("f"), fields.list("l"), fields.dict("d")) == (2.5, [1], {"x": 1})
    assert fields.strings("ss") == ["a", "b"]
    assert [item.int("n") for item in fields.each("objects")] == [1, 2]
    assert not fields.has("s")
    assert fields.str("s") is None
    assert fields.rest() == {"null": None}
    assert VALUE["s"] == "text", "the value that is read stays as it was"


def test_what_is_absent_or_null_is_none() -> None:
    fields = Fields({"x": None})
    assert fields.str("x") is None
    assert fields.fields("y") is None
    assert fields.any("y") is None
    assert fields.strings("y") is None
    assert fields.one_of("y", ("a",)) is None
    assert list(fields.each("y")) == []


def test_a_single_string_stands_for_a_list_of_one() -> None:
    assert Fields({"stop": "x"}).strings("stop") == ["x"]


WRONG: dict[str, tuple[Any, Callable[[Fields], Any], str]] = {
    "string": ({"a": 1}, lambda f: f.str("a"), "a must be a string, not a number"),
    "boolean": ({"a": 1}, lambda f: f.bool("a"), "a must be a boolean, not a number"),
    "integer": ({"a": True}, lambda f: f.int("a"), "a must be an integer, not a boolean"),
    "fraction": ({"a": 1.5}, lambda f: f.int("a"), "a must be an integer, not 1.5"),
    "number": ({"a": "1"}, lambda f: f.number("a"), "a must be a number, not a string"),
    "array": ({"a": {}}, lambda f: f.list("a"), "a must be an array, not an object"),
    "object": ({"a": []}, lambda f: f.dict("a"), "a must be an object, not an array"),
    "strings": ({"a": ["x", 1]}, lambda f: f.strings("a"), r"a\[1\] must be a string, not a number"),
    "each": ({"a": [1]}, lambda f: list(f.each("a")), r"a\[0\] must be an object, not a number"),
    "nested": ({"a": {"b": 1}}, lambda f: f.fields("a").str("b"), r"a\.b must be a string"),  # type: ignore[union-attr]
    "required": ({}, lambda f: f.required_str("a"), "a is required"),
    "one of": ({"a": "z"}, lambda f: f.one_of("a", ("x", "y")), "a must be one of 'x', 'y', not 'z'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_type_is_named_with_its_path(name: str) -> None:
    value, read, message = WRONG[name]
    with pytest.raises(BadRequest, match=message) as raised:
        read(Fields(value))
    assert raised.value.param
    assert raised.value.status == 400


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(BadRequest, match="The request body must be an object, not an array"):
        Fields([])
    assert Fields({"a": "x"}).required_str("a") == "x"
    assert Fields({"a": "x"}).one_of("a", ("x",)) == "x"
