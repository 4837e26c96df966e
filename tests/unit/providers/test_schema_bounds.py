"""Schemas become grammars: one that would hold the engine's loop, or its memory, is refused with its path."""

from typing import Any

import pytest

from wye.kernel.errors import BadRequest
from wye.providers.local import check_schema

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "many enum values": ({"enum": list(range(501))}, "alternatives"),
    "many optional members": ({"properties": {f"p{i}": {} for i in range(501)}}, "alternatives"),
    "alternatives in all": ({"anyOf": [{"enum": list(range(300))}, {"enum": list(range(300))}]}, "alternatives"),
    "least over most": ({"type": "array", "minItems": 5, "maxItems": 2}, "minItems is more than maxItems"),
    "a pattern of least over most": ({"pattern": "^a{5,2}$"}, "more often than at most"),
    "many optional parts": ({"pattern": "^" + "a?" * 17 + "$"}, "optional parts"),
    "optional parts in counted groups": ({"pattern": "^([a-z]?[a-z]?){16}b$"}, "optional parts"),
    "nested repetitions": ({"pattern": "^((a{0,40}){0,40})$"}, "repeat at most"),
    "many repetitions": ({"type": "string", "maxLength": 1001}, "maxLength"),
    "deep": (
        {"items": {"items": {}}} | {"x": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]},
        "levels deep",
    ),
    "large": ({"description": "x" * 70_000}, "bytes of JSON"),
    "elsewhere": ({"$ref": "https://example.com"}, "within the schema"),
}
FINE: list[dict[str, Any]] = [
    {},
    {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(100)}},
    {"enum": list(range(200))},
    {"type": "array", "minItems": 2, "maxItems": 5},
    {"pattern": r"^\d{3}-\d{4}(-[a-z]+)?\?$"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": ["string", "null"]}}},
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_would_hold_the_engine_is_refused(name: str) -> None:
    schema, words = REFUSED[name]
    with pytest.raises(BadRequest, match=words) as raised:
        check_schema(schema, "tools[0].parameters")
    assert raised.value.param == "tools[0].parameters"


@pytest.mark.parametrize("schema", FINE)
def test_an_everyday_schema_passes(schema: dict[str, Any]) -> None:
    check_schema(schema, "x")
