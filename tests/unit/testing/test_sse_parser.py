"""The parser of server-sent events that tests use."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flow.streams import CALLERS, TEXT, WHOLE
from wye.testing.sse_parser import SseParser

PARSER = SseParser()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('data: {"a": 1}', {"a": 1}),
        (b'data: {"a": 1}\r\n', {"a": 1}),
        ('data:{"a": 1}\n', {"a": 1}),
        ("data: [DONE]", "[DONE]"),
        ("data: [DONE] \r\n", "[DONE]"),
        ("", None),
        ("\r\n", None),
        (": keep-alive", None),
        ("event: ping", None),
        ("id: 7", None),
        ("retry: 10", None),
        ("nonsense", None),
    ],
)
def test_lines(line: str | bytes, expected: Any) -> None:
    assert PARSER.parse_line(line) == expected


def test_a_line_that_is_no_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="malformed"):
        PARSER.parse_line("data: {a}")


STREAM = (
    b': hello\r\nevent: message\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    b"event: ping\r\n\r\nid: 4\r\n"
    b'data: {"b": "th\xc3\xa9"}\r\n\r\ndata: [DONE]\r\n\r\n'
)
EVENTS = [{"a": 1}, {"b": "thé"}, "[DONE]"]


@pytest.mark.parametrize("size", [1, 7, 64, len(STREAM)])
def test_streams_however_they_are_cut(size: int) -> None:
    assert PARSER.parse_stream(STREAM[i : i + size] for i in range(0, len(STREAM), size)) == EVENTS


def test_streams_as_text_or_as_lines() -> None:
    assert PARSER.parse_stream(STREAM.decode()) == EVENTS
    assert PARSER.parse_stream(STREAM) == EVENTS
    assert PARSER.parse_stream(STREAM.decode().splitlines()) == EVENTS
    assert PARSER.parse_stream([]) == []


@pytest.mark.parametrize("caller", [caller for caller in CALLERS if caller != "converse"])
def test_the_text_of_every_format(caller: str) -> None:
    stream = b"".join(WHOLE[caller])
    assert PARSER.extract_content(stream) == TEXT
    assert PARSER.extract_content(PARSER.parse_stream(stream)) == TEXT


def test_the_text_of_bedrocks_and_older_formats() -> None:
    converse = {"contentBlockDelta": {"delta": {"text": "a"}}}
    assert (
        PARSER.extract_content([converse, {"outputText": "b"}, {"choices": [{"text": "c"}]}, "[DONE]", None]) == "abc"
    )
    assert PARSER.extract_content([{"choices": [{"delta": {"content": None}}]}, {"choices": [{}]}, {"x": 1}]) == ""
