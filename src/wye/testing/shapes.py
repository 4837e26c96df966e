"""What a JSON value must look like, written as a value of the same form, and what is wrong with one that does not.

A shape is a type, a set of the words allowed, `[shape]` for a list, a dict for an object (a name that ends in `?` may
be absent or null), `(shape, ...)` for any of several, or None for null. Members that it does not name may be anything.
"""

from __future__ import annotations

from typing import Any, cast

from wye.kernel.json import as_list, as_object, encode_text, type_name

_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "a boolean", dict: "an object", list: "an array"}


def faults_of(value: Any, shape: Any, path: str = "") -> list[str]:
    """Each as `path: what must be there, and what is`; none for a value of this shape."""
    match shape:
        case None:
            return [] if value is None else [_wrong(path, "null", value)]
        case dict():
            return _of_object(value, cast("dict[str, Any]", shape), path)
        case list():
            items = as_list(value)
            if items is None:
                return [_wrong(path, "an array", value)]
            (inner,) = cast("list[Any]", shape)
            return [fault for i, item in enumerate(items) for fault in faults_of(item, inner, f"{path}[{i}]")]
        case tuple():
            found = [faults_of(value, one, path) for one in cast("tuple[Any, ...]", shape)]
            return [] if any(not faults for faults in found) else min(found, key=_depth)
        case set() | frozenset():
            words = cast("set[Any]", shape)
            if any(value == word for word in words):
                return []
            return [f"{path or 'it'} must be one of {', '.join(sorted(map(str, words)))}, and is {_shown(value)}"]
        case _:
            return [] if _is_a(value, shape) else [_wrong(path, _NAMES[shape], value)]


def _depth(faults: list[str]) -> tuple[int, int]:
    """Of several shapes that do not fit, the one whose faults lie deepest was meant."""
    return -max(fault.partition(" ")[0].count(".") for fault in faults), len(faults)


def _of_object(value: Any, shape: dict[str, Any], path: str) -> list[str]:
    members = as_object(value)
    if members is None:
        return [_wrong(path, "an object", value)]
    faults: list[str] = []
    for given, inner in shape.items():
        name = given.removesuffix("?")
        at = f"{path}.{name}" if path else name
        if name not in members:
            faults += [] if given.endswith("?") else [f"{at} is missing"]
        elif not (given.endswith("?") and members[name] is None):
            faults += faults_of(members[name], inner, at)
    return faults


def _is_a(value: Any, kind: type) -> bool:
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _wrong(path: str, expected: str, value: Any) -> str:
    return f"{path or 'it'} must be {expected}, and is {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return encode_text(value)[:80]
    return type_name(value)
