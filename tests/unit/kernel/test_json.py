import pytest

from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.json import (
    JsonError,
    decode,
    decode_body,
    demand_utf8,
    encode,
    encode_text,
    formatted,
    is_object,
    split_object,
    type_name,
)

BAD = {
    "nothing": b"",
    "text": b"hello",
    "cut off": b'{"a": [1, 2',
    "trailing": b"{} {}",
    "not a number": b'{"a": NaN}',
    "lone surrogate": b'{"a": "\\ud800"}',
    "invalid UTF-8": b'{"a": "\xff"}',
    "too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_json_is_refused_with_words(name: str) -> None:
    with pytest.raises(JsonError) as raised:
        decode(BAD[name])
    assert str(raised.value)
    with pytest.raises(BadRequest, match="not valid JSON"):
        decode_body(BAD[name])


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"true"])
def test_a_body_must_be_an_object(body: bytes) -> None:
    with pytest.raises(BadRequest, match="must be a JSON object"):
        decode_body(body)


def test_an_object_is_split_without_decoding_its_members() -> None:
    members = split_object(b'{"model": "m", "x": {"deep": [1, 2.50]}, "x": 3}')
    assert bytes(members["model"]) == b'"m"'
    assert bytes(members["x"]) == b"3"
    assert encode(split_object(b'{"a":1.50,"b":"\\u00e9"}')) == b'{"a":1.50,"b":"\\u00e9"}'


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"a"', b'{"\xff": 1}', b'{"a":' + b"[" * 100_000])
def test_splitting_refuses_what_is_no_object(body: bytes) -> None:
    with pytest.raises(JsonError):
        split_object(body)


def test_encoding_is_compact() -> None:
    assert encode({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()
    assert encode_text({"a": None}) == '{"a":null}'


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a number"),
        ("x", "a string"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_types_have_the_names_that_json_gives_them(value: object, name: str) -> None:
    assert type_name(value) == name


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"{}", True),
        (b' {"a": [1, {"b": null}]}\n\n', True),
        ('{"a": "\u00e9"}'.encode(), True),
        (b'{"a": "\xff"}', False),
        (b"[DONE]", False),
        (b"[1]", False),
        (b'{"a": ', False),
        (b"{} {}", False),
        (b'{"a":' + b"[" * 100_000, False),
    ],
)
def test_an_object_is_told_from_anything_else_without_decoding_it(data: bytes, whole: bool) -> None:
    assert is_object(data) is whole


def test_an_answer_that_is_no_text_is_refused() -> None:
    demand_utf8(b'{"a": "plain"}')
    demand_utf8('{"a": "\u00e9"}'.encode())
    with pytest.raises(BadAnswer, match="position 7"):
        demand_utf8(b'{"a": "\xff"}')


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100_000], ids=["cut", "binary", "deep"])
def test_formatting_refuses_what_is_no_json(data: bytes) -> None:
    assert formatted(b'{"a":1.50}') == '{\n  "a": 1.50\n}'
    with pytest.raises(JsonError):
        formatted(data)
