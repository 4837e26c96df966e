"""A small value that a JSON Schema allows, always the same one: what a model without a mind answers.

https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

from typing import Any, cast

from wye.kernel.json import JsonObject, as_list, as_object

_MAX_VALUES = 1000
_MAX_DEPTH = 50
"""Schemas may refer to themselves: beyond so many values, or so deep, each further one is null."""
_MAX_LENGTH = 1000
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "email": "somebody@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: JsonObject | None) -> Any:
    """`pattern`, `multipleOf` and `not` are not looked at. Where nothing tells a text, it is the name of its member."""
    return _Sampler(schema or {}).value(schema or {}, "text")


class _Sampler:
    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._left = _MAX_VALUES
        self._depth = 0

    def value(self, schema: Any, name: str) -> Any:
        self._left -= 1
        members = as_object(schema)
        if members is None or self._left < 0 or self._depth > _MAX_DEPTH:
            return None
        self._depth += 1
        found = self._value(members, name)
        self._depth -= 1
        return found

    def _value(self, members: JsonObject, name: str) -> Any:
        for given in ("const", "default"):
            if given in members:
                return members[given]
        for given in ("enum", "examples"):
            if values := as_list(members.get(given)):
                return values[0]
        if "$ref" in members:
            return self.value(self._resolved(members), name)
        for given in ("anyOf", "oneOf"):
            if choices := as_list(members.get(given)):
                return self.value(choices[0], name)
        if parts := as_list(members.get("allOf")):
            members = _merged(members, [self._resolved(part) for part in parts])
        match _kind(members):
            case "object":
                return self._object(members)
            case "array":
                return self._array(members, name)
            case "integer" | "number":
                return _number(members)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                text = _FORMATS.get(str(members.get("format")), name)
                return text.ljust(_count(members, "minLength", 0), "x")[: _count(members, "maxLength", _MAX_LENGTH)]

    def _object(self, members: JsonObject) -> JsonObject:
        properties = as_object(members.get("properties")) or {}
        required = as_list(members.get("required"))
        wanted = properties if required is None else [key for key in required if isinstance(key, str)]
        return {key: self.value(properties.get(key, {}), key) for key in wanted}

    def _array(self, members: JsonObject, name: str) -> list[Any]:
        first = as_list(members.get("prefixItems")) or []
        count = max(_count(members, "minItems", 0), len(first), 1)
        items = [*first, *[members.get("items", {})] * (count - len(first))]
        return [self.value(item, name) for item in items[: _count(members, "maxItems", _MAX_LENGTH)]]

    def _resolved(self, schema: Any) -> Any:
        """What a `$ref` points at within the schema; one that leads elsewhere allows anything."""
        reference = (as_object(schema) or {}).get("$ref")
        if reference is None:
            return schema
        found: Any = self._root if str(reference).startswith("#") else {}
        for step in str(reference).split("/")[1:]:
            found = (as_object(found) or {}).get(step.replace("~1", "/").replace("~0", "~"), {})
        return found


def _kind(members: JsonObject) -> Any:
    kind = members.get("type")
    if kinds := as_list(kind):
        kind = kinds[0]
    if kind is None:
        kind = "object" if "properties" in members else "array" if "items" in members else "string"
    return kind


def _number(members: JsonObject) -> int | float:
    least, above = members.get("minimum"), members.get("exclusiveMinimum")
    most, below = members.get("maximum"), members.get("exclusiveMaximum")
    if isinstance(least, int | float):
        return least
    if isinstance(above, int | float):
        return above + 1
    if isinstance(most, int | float):
        return min(1, most)
    return min(1, below - 1) if isinstance(below, int | float) else 1


def _count(members: JsonObject, name: str, otherwise: int) -> int:
    value = members.get(name)
    return min(value, _MAX_LENGTH) if isinstance(value, int) else otherwise


def _merged(members: JsonObject, parts: list[Any]) -> JsonObject:
    """What all the parts of an `allOf` say together, as far as objects go."""
    whole = {name: value for name, value in members.items() if name != "allOf"}
    for part in map(as_object, parts):
        for name, value in (part or {}).items():
            mine = whole.get(name)
            if isinstance(mine, dict) and isinstance(value, dict):
                whole[name] = {**cast("JsonObject", mine), **cast("JsonObject", value)}
            elif isinstance(mine, list) and isinstance(value, list):
                whole[name] = [*cast("list[Any]", mine), *cast("list[Any]", value)]
            else:
                whole.setdefault(name, value)
    return whole
