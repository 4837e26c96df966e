"""A sample is always one that its schema allows, judged by a validator that is not ours."""

from __future__ import annotations

import time
from typing import Any

import jsonschema
import pytest

from wye.testing.schema_sample import sample

SCHEMAS: dict[str, tuple[dict[str, Any], Any]] = {
    "text": ({"type": "string"}, "text"),
    "named": ({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}, {"city": "city"}),
    "only required": (
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["b"]},
        {"b": 1},
    ),
    "none required": ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
    "unknown required": ({"type": "object", "required": ["x"]}, {"x": "x"}),
    "enum": ({"enum": ["c", "f"]}, "c"),
    "const": ({"const": 7}, 7),
    "default": ({"type": "string", "default": "d"}, "d"),
    "examples": ({"type": "string", "examples": ["e"]}, "e"),
    "any of": ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
    "several types": ({"type": ["integer", "null"]}, 1),
    "minimum": ({"type": "integer", "minimum": 18}, 18),
    "minimum below": ({"type": "integer", "minimum": -5}, -5),
    "above": ({"type": "integer", "exclusiveMinimum": 3}, 4),
    "maximum": ({"type": "number", "maximum": -2.5}, -2.5),
    "below": ({"type": "integer", "exclusiveMaximum": 0}, -1),
    "below much": ({"type": "integer", "exclusiveMaximum": 100}, 1),
    "array": ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
    "no array": ({"type": "array", "maxItems": 0}, []),
    "tuple": ({"items": False, "prefixItems": [{"type": "string"}, {"type": "null"}]}, ["text", None]),
    "lengths": ({"type": "string", "minLength": 6}, "textxx"),
    "short": ({"type": "string", "maxLength": 2}, "te"),
    "email": ({"type": "string", "format": "email"}, "somebody@example.com"),
    "reference": ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "boolean"}}}, True),
    "foreign reference": ({"$ref": "https://example.com/schema"}, "text"),
    "all of": (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
                {"$ref": "#/$defs/b"},
            ],
            "$defs": {"b": {"properties": {"b": {"type": "integer"}}, "required": ["b"]}},
        },
        {"a": None, "b": 1},
    ),
    "anything": ({}, "text"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_sample_is_valid_and_always_the_same(name: str) -> None:
    schema, expected = SCHEMAS[name]
    found = sample(schema)
    assert found == expected
    if name != "foreign reference":
        jsonschema.validate(found, schema)


def test_a_schema_that_refers_to_itself_has_an_end() -> None:
    properties = {key: {"$ref": "#"} for key in "lr"}
    node = {"type": "object", "properties": properties, "required": ["l", "r"]}
    started_s = time.process_time()
    assert sample(node)["l"]["l"]["l"]
    assert sample({"type": "array", "minItems": 10**9})[0] == "text"
    assert sample({"$ref": "#"}) is None
    assert time.process_time() - started_s < 1


def test_no_schema_is_a_text() -> None:
    assert sample(None) == "text"
