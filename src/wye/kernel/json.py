"""The one door to JSON: one set of limits, one kind of error.

Decoding refuses what RFC 8259 refuses (NaN, lone surrogates, trailing bytes) and nesting deeper than the interpreter's
recursion limit, so a hostile body costs an error and not the process. https://www.rfc-editor.org/rfc/rfc8259
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from wye.kernel.errors import BadAnswer, BadRequest

Raw = msgspec.Raw
"""JSON text that was found but not decoded; encoding writes it as it is."""

JsonObject = dict[str, Any]

_decoder = msgspec.json.Decoder()
_object_decoder = msgspec.json.Decoder(dict[str, Raw])
_encoder = msgspec.json.Encoder()

encode = _encoder.encode
"""A value as compact UTF-8 JSON bytes."""


class JsonError(ValueError):
    """The bytes are no JSON; the message says why and where."""


def decode(data: bytes | bytearray | memoryview | str) -> Any:
    """Decode one JSON value. Raises JsonError."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JsonError(str(error)) from None
    except RecursionError:
        raise JsonError("JSON is nested too deeply") from None


def split_object(data: bytes) -> dict[str, Raw]:
    """The top level of a JSON object, each member's value left as the bytes it is: one pass, nothing copied.

    Raises JsonError, also when the value is not an object.
    """
    try:
        return _object_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JsonError(str(error)) from None
    except RecursionError:
        raise JsonError("JSON is nested too deeply") from None


class _Any(msgspec.Struct):
    """Any object: its members are looked over, not kept."""


_any_decoder = msgspec.json.Decoder(_Any)


def is_object(data: bytes) -> bool:
    """Whether the bytes are one JSON object."""
    try:
        if not data.isascii():
            data.decode()  # the decoder does not look into text that it passes over
        _any_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def decode_body(data: bytes) -> JsonObject:
    """A request's body as a JSON object. Raises BadRequest with words for the person who sent it."""
    try:
        value = decode(data)
    except JsonError as error:
        raise BadRequest(f"The request body is not valid JSON: {error}", code="invalid_json") from None
    body = as_object(value)
    if body is None:
        raise BadRequest(f"The request body must be a JSON object, not {type_name(value)}", code="invalid_json")
    return body


def demand_utf8(answer: bytes) -> None:
    """Raises BadAnswer for an upstream's answer that no caller could decode."""
    if not answer.isascii():
        try:
            answer.decode()
        except UnicodeDecodeError as error:
            raise BadAnswer(f"The upstream's answer is not valid JSON: {error}") from None


def decode_answer(data: bytes) -> JsonObject:
    """An upstream's answer as a JSON object. Raises BadAnswer."""
    try:
        value = decode(data)
    except JsonError as error:
        raise BadAnswer(f"The upstream's answer is not valid JSON: {error}") from None
    answer = as_object(value)
    if answer is None:
        raise BadAnswer(f"The upstream's answer is {type_name(value)}, not a JSON object")
    return answer


def encode_text(value: Any) -> str:
    """A value as compact JSON text."""
    return _encoder.encode(value).decode()


def formatted(data: bytes) -> str:
    """JSON as people read it, indented. Raises JsonError."""
    try:
        return msgspec.json.format(data, indent=2).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JsonError(str(error)) from None
    except RecursionError:
        raise JsonError("JSON is nested too deeply") from None


def as_object(value: Any) -> JsonObject | None:
    """A decoded value that is an object; None for any other."""
    return value if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType] - JSON's keys are text


def as_list(value: Any) -> list[Any] | None:
    """A decoded value that is an array; None for any other."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def type_name(value: Any) -> str:
    """The JSON name of a decoded value's type, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
