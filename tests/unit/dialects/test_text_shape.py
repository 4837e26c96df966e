"""Frames that differ in their text alone are passed on without being parsed again: no other may be taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wye.dialects.registry import DIALECTS
from wye.dialects.text_shape import TextShape
from wye.kernel.sse import frame, is_plain


def chat(text: str, **members: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return frame(json.dumps({"id": "c", "choices": [choice], **members}, separators=(",", ":")).encode())


def claude(text: str, index: int = 0) -> bytes:
    delta = {"type": "text_delta", "text": text}
    return frame(
        json.dumps({"type": "content_block_delta", "index": index, "delta": delta}).encode(), "content_block_delta"
    )


def learned(whole: bytes) -> TextShape:
    shape = TextShape()
    shape.learn(whole)
    return shape


@pytest.mark.parametrize("say", [chat, claude])
@pytest.mark.parametrize(
    "text",
    [" ", "word", "two words, and a {brace}", "é", '"', "\\", "\n", "\x7f", '\\", "usage": {', "😀", "x" * 10_000],
)
def test_another_text_fits(say: Any, text: str) -> None:
    assert learned(say("Vines")).text(say(text)) == text
    assert learned(say('"a\\b"é')).text(say(text)) == text
    assert learned(say("")).text(say(text)) == text


@pytest.mark.parametrize(
    "other",
    [
        chat("a", usage=None), chat("a")[:-1], chat("a") + chat("b"), claude("a"), b"", b"a",
        chat("a").replace(b'"a"', b'"a"b"'), chat("a").replace(b'"a"', b'"\x00"'), chat("a").replace(b'"a"', b'"\n\n"'),
        chat("a").replace(b'"a"', b'"a"\n\n'), chat("a").replace(b'"a"', b' "a"'), chat("a").replace(b'"a"', b"1"),
        chat("é").replace(b"\\u00e9", b"\xff"), chat("é").replace(b"\\u00e9", b"\\ud800"),
        chat("é").replace(b"\\u00e9", b"\\x"), chat("a").replace(b'"a"', b'"\\"'),
        chat("a").replace(b'"finish_reason":null', b'"finish_reason":"stop"'), b"event: error\n" + chat("a"),
        chat("a").replace(b'"a"', b'"a'), chat("")[: len(chat("")) - 3], chat("").replace(b'""', b'"'),
    ],
)  # fmt: skip
def test_nothing_else_does(other: bytes) -> None:
    assert learned(chat("Vines")).text(other) == ""


@pytest.mark.parametrize("any_", [b"", b"a", b"\n", b'""', chat("a")])
def test_who_has_learned_nothing_knows_none(any_: bytes) -> None:
    assert TextShape().text(any_) == ""
    assert learned(frame(b'{"usage":{}}')).text(any_) == ""


def test_where_each_frame_differs_it_is_given_up() -> None:
    shape = TextShape()
    for number in range(20):
        shape.learn(chat("a", number=number))
    assert shape.text(chat("b", number=19)) == ""


@pytest.mark.parametrize(
    "dialect", [d for d in DIALECTS.values() if d.framing.content_type.startswith(b"text/")], ids=lambda d: d.name
)
@pytest.mark.parametrize("say", [chat, claude])
def test_what_fits_has_no_marker_and_is_plain(dialect: Any, say: Any) -> None:
    taught = say("Vines")
    if dialect.tap.markers.search(taught) is None:
        for text in ("usage: {", "finish_reason: stop", "[DONE]", "error", "data: {}", "response.completed"):
            assert learned(taught).text(say(text)) == text
            assert dialect.tap.markers.search(say(text)) is None
            assert is_plain(say(text))
